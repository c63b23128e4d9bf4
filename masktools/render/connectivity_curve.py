"""The connectivity of a run over its epochs as a document."""

import math
from typing import Any

from masktools.nulls.trial import TOTAL
from masktools.render.connectivity import sentence
from masktools.render.connectivity_measures import connectivity_records
from masktools.render.document import Cell, Column, Document, Table
from masktools.structure.connectivity_curve import ConnectivityCurve
from masktools.structure.connectivity_result import Connectivity
from masktools.structure.measures.registry import find_families

__all__ = ["curve_document"]

_COLUMNS = (
    Column("epoch", kind="count"),
    Column("active", "active", "count"),
    Column("effective", "effective", "count"),
    Column("effective_null", "null", "rate"),
    Column("ghost_out", "ghost", "count"),
    Column("dead_out", "dead", "count"),
    Column("log10_paths", "log10 paths", "rate"),
    Column("log10_paths_null", "null", "rate"),
    Column("components", "pieces", "count"),
)


def curve_document(result: ConnectivityCurve) -> Document:
    """Return a row an epoch: the network as a whole, then every further measure as its mean over the layers."""
    whole = Table.of_records(f"{result.run}", _COLUMNS, [_row(epoch) for epoch in result.epochs], _reading(result))
    return Document("connectivity", result.to_dict(), (whole, *_measures(result)), (_MEANS,), _records(result))


_MEANS = "Nulls are means over random masks of that epoch; --format csv and json have every layer of every epoch."


def _row(result: Connectivity) -> dict[str, Any]:
    total = result.total.to_dict()
    levels = {name: result.level(name) for name in ("effective", "log10_paths")}
    nulls = {f"{name}_null": level.mean if level else None for name, level in levels.items()}
    return {"epoch": result.epoch, **nulls, **{c.name: total[c.name] for c in _COLUMNS if c.name in total}}


def _measures(result: ConnectivityCurve) -> list[Table]:
    tables = []
    for family in find_families(result.epochs[0].families):
        terms = [term for term in family.terms if term.title]
        columns = (Column("epoch", kind="count"), *(Column(term.name, term.title, "rate") for term in terms))
        rows = tuple((epoch.epoch, *(_typical(epoch, term.name) for term in terms)) for epoch in result.epochs)
        tables.append(Table(family.name, columns, rows, f"Mean over the layers of: {family.summary}."))
    return tables


def _typical(result: Connectivity, metric: str) -> Cell:
    values = [
        value
        for (name, layer), value in result.numbers.items()
        if name == metric and layer != TOTAL and value is not None and math.isfinite(value)
    ]
    return math.fsum(values) / len(values) if values else None


def _records(result: ConnectivityCurve) -> Table | None:
    """Return a row for every number of every layer at every epoch."""
    tables = [(epoch.epoch, connectivity_records(epoch)) for epoch in result.epochs]
    columns = next((table.columns for _, table in tables if table), None)
    if columns is None:
        return None
    rows = tuple((epoch, *row) for epoch, table in tables if table for row in table.rows)
    return Table("", (Column("epoch", kind="count"), *columns), rows, "")


def _reading(result: ConnectivityCurve) -> str:
    return f"In the end {sentence(result.epochs[-1])}"
