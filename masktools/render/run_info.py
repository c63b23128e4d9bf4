"""Run summaries as documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.numbers import count, magnitude, rate
from masktools.structure.configuration import flatten
from masktools.structure.flops import FlopSummary
from masktools.structure.summary import LayerSummary, RunSummary

__all__ = ["run_document"]


def run_document(result: RunSummary) -> Document:
    """Return what a run is: densities layer by layer, configuration, last lines of the log."""
    columns = (
        Column("name", "layer"),
        Column("shape", "shape"),
        Column("size", "weights", "count"),
        Column("active", "active", "count"),
        Column("density", "density", "rate"),
        Column("first_density", "at first", "rate"),
        Column("prunable", "prunable"),
    )
    rows = tuple((*_row(layer), layer.first_density, layer.prunable) for layer in result.layers)
    total = ("total", "", result.size, result.active, result.density, None, None)
    tables = [Table(f"{result.run}: {_epochs(result)}", columns, (*rows, total), _reading(result))]
    if result.flops is not None:
        tables.append(_flops(result.flops))
    facts = flatten(result.config) | {f"run.{key}": value for key, value in flatten(result.info).items()}
    if facts:
        tables.append(
            Table(
                "Configuration",
                (Column("key"), Column("value")),
                tuple((key, str(value)) for key, value in facts.items()),
                f"{len(facts)} recorded keys; what comes from run.json alone begins with run.",
            )
        )
    if result.metrics:
        tables.append(_log(result.metrics))
    notes = () if result.topology else ("no operator graph is stored, so connectivity cannot be measured.",)
    return Document("info", result.to_dict(), tuple(tables), notes)


def _row(layer: LayerSummary) -> tuple[Cell, ...]:
    return layer.name, "x".join(map(str, layer.shape)), layer.size, layer.active, layer.density


def _epochs(result: RunSummary) -> str:
    if len(result.epochs) == 1:
        return f"snapshot of epoch {result.epoch}"
    first, last = result.epochs[0], result.epochs[-1]
    return f"epoch {result.epoch} of {len(result.epochs)} snapshots (epochs {first} to {last})"


def _reading(result: RunSummary) -> str:
    dense = sum(layer.active == layer.size for layer in result.layers)
    return (
        f"density = {rate(result.density)}: {count(result.active)} of {count(result.size)} weights are active; "
        f"{dense} of {len(result.layers)} layers are dense."
    )


def _flops(result: FlopSummary) -> Table:
    columns = (Column("what", "FLOPs"), Column("sparse"), Column("dense"), Column("ratio", kind="rate"))
    rows = (
        ("forward pass, one example", result.forward, result.forward_dense, result.forward_ratio),
        ("training, all steps so far", result.training, result.training_dense, result.training_ratio),
    )
    return Table(
        "Cost",
        columns,
        tuple((what, magnitude(sparse, ""), magnitude(dense, ""), ratio) for what, sparse, dense, ratio in rows),
        "A multiplication with its addition is two FLOPs; dense means all weights, in as many steps.",
    )


def _log(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return the log turned on its side: a line a quantity, because there may be many, and a column a record."""
    flat = [flatten(record) for record in records]
    names = [name for name in dict.fromkeys(name for record in flat for name in record) if name != "epoch"]
    titles = [f"epoch {record['epoch']}" if "epoch" in record else f"record {i + 1}" for i, record in enumerate(flat)]
    columns = (Column("metric"), *(Column(title, kind="rate") for title in titles))
    rows = tuple((name, *(_cell(name, record.get(name)) for record in flat)) for name in names)
    return Table("Log", columns, rows, f"The last {len(records)} records, from {titles[0]} to {titles[-1]}.")


def _cell(name: str, value: object) -> Cell:
    if name.endswith(("_flops", "_flops_dense")) and isinstance(value, int | float):
        return magnitude(value, "")
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
