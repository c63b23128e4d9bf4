"""Run summaries as documents."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.configuration import parts_table, values_table
from masktools.render.document import Cell, Column, Document, Table
from masktools.render.numbers import count, magnitude, rate, show
from masktools.render.sparkline import sparkline
from masktools.run_files import planned_epoch
from masktools.structure.configuration import flatten
from masktools.structure.flops import FlopSummary
from masktools.structure.summary import LayerSummary, RunSummary

__all__ = ["run_document"]


def run_document(result: RunSummary, log: Sequence[Mapping[str, Any]] = (), every_key: bool = False) -> Document:
    """Return what a run is: densities layer by layer, cost, log, configuration.

    Parameters
    ----------
    result
        The summary.
    log
        All records of the log, for its curves; without them only the last ones are shown.
    every_key
        Whether the configuration has a row a key, those without a value among them.
    """
    columns = (
        Column("name", "layer"),
        Column("shape", "shape"),
        Column("size", "weights", "count"),
        Column("active", "active", "count"),
        Column("density", "density", "rate"),
        Column("first_density", "at first", "rate", like="density"),
        Column("prunable", "prunable"),
    )
    rows = tuple((*_row(layer), layer.first_density, layer.prunable) for layer in result.layers)
    total = ("total", "", result.size, result.active, result.density, None, None)
    tables = [Table(f"{result.run}: {_epochs(result)}", columns, (*rows, total), _reading(result))]
    if result.flops is not None:
        tables.append(_flops(result.flops))
    curves = _curves(log)
    if curves.rows:
        tables.append(curves)
    if result.metrics:
        tables.append(_log(result.metrics))
    facts = flatten(result.config) | {f"run.{key}": value for key, value in flatten(result.info).items()}
    if facts:
        reading = f"{len(facts)} recorded keys; what comes from run.json alone begins with run."
        if every_key:
            tables.append(values_table("Configuration", facts, reading))
        else:
            said = f"{reading} --config has a line for each."
            tables.append(parts_table("Configuration", facts, said, empty=False))
    notes = () if result.topology else ("no operator graph is stored, so connectivity cannot be measured.",)
    return Document("info", result.to_dict(), tuple(tables), notes)


def _row(layer: LayerSummary) -> tuple[Cell, ...]:
    return layer.name, "x".join(map(str, layer.shape)), layer.size, layer.active, layer.density


def _epochs(result: RunSummary) -> str:
    if len(result.epochs) == 1:
        return f"snapshot of epoch {result.epoch}"
    first, last = result.epochs[0], result.epochs[-1]
    planned = planned_epoch(result.info)
    if planned is not None:
        return f"epoch {result.epoch} of {planned}; {len(result.epochs)} snapshots (epochs {first} to {last})"
    return f"epoch {result.epoch} of {len(result.epochs)} snapshots (epochs {first} to {last})"


def _reading(result: RunSummary) -> str:
    dense = sum(layer.active == layer.size for layer in result.layers)
    return (
        f"density = {rate(result.density)}: {count(result.active)} of {count(result.size)} weights are active; "
        f"{dense} of {len(result.layers)} layers are dense."
    )


def _flops(result: FlopSummary) -> Table:
    columns = (
        Column("what", "FLOPs"),
        Column("sparse", kind="count"),
        Column("dense", kind="count"),
        Column("ratio", kind="rate"),
    )
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


def _curves(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return what of the log lies between 0 and 1, accuracies and density, a line a curve."""
    flat = [flatten(record) for record in records]
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(name for record in flat for name in record):
        values = [value if isinstance(value := record.get(name), int | float) else None for record in flat]
        known = [float(value) for value in values if value is not None and math.isfinite(value)]
        if known and name.rpartition(".")[2].endswith(_SHARES):
            rows.append((name, sparkline(values), known[0], max(known), known[-1]))
    columns = (
        Column("metric"),
        Column("curve", "0 to 1", "curve"),
        Column("first", kind="figure"),
        Column("largest", kind="figure"),
        Column("last", kind="figure"),
    )
    epochs = [record["epoch"] for record in flat if "epoch" in record]
    span = f", epochs {epochs[0]} to {epochs[-1]}" if epochs else ""
    reading = "The curves are of all records of the log."
    if any(str(row[0]).endswith("test_accuracy") for row in rows):
        reading = "The largest test accuracy was chosen by the test examples, which makes it look better than it is."
    return Table(f"Log as curves{span}", columns, tuple(rows), reading)


_SHARES = ("accuracy", "density")
"""Ends of the names of what lies between 0 and 1."""


def _log(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return the log turned on its side: a line a quantity, because there may be many, and a column a record."""
    flat = [flatten(record) for record in records]
    names = [name for name in dict.fromkeys(name for record in flat for name in record) if name != "epoch"]
    titles = [f"epoch {record['epoch']}" if "epoch" in record else f"record {i + 1}" for i, record in enumerate(flat)]
    columns = (Column("metric"), *(Column(title, kind="count") for title in titles))
    rows = tuple(
        (name, *(_text(name, record.get(name)) for record in flat))
        for name in names
        if any(record.get(name) is not None for record in flat)
    )
    several = f"last {len(records)} records, from {titles[0]} to {titles[-1]}"
    return Table("Log", columns, rows, f"The {several if len(records) > 1 else f'last record, that of {titles[0]}'}.")


def _text(name: str, value: object) -> str:
    """Return a value of the log as text: numbers of a column are of different sorts, and do not share a point."""
    if name.endswith(("_flops", "_flops_dense")) and isinstance(value, int | float):
        return magnitude(value, "")
    return show(value, "rate") if isinstance(value, str | int | float | bool) or value is None else str(value)
