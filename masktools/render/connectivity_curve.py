"""The connectivity of a run over its epochs as a document."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from masktools.nulls.trial import TOTAL
from masktools.render.connectivity import sentence
from masktools.render.connectivity_measures import connectivity_records
from masktools.render.document import Cell, Column, Document, Table
from masktools.render.sparkline import sparkline
from masktools.render.thinning import thinned, thinning_words
from masktools.structure.connectivity_curve import ConnectivityCurve
from masktools.structure.connectivity_result import Connectivity, TotalConnectivity
from masktools.structure.measures.registry import find_families

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["curve_document"]

_COLUMNS = (
    Column("epoch", kind="count"),
    Column("active", "active", "count"),
    Column("effective", "effective", "count"),
    Column("effective_null", "null", "count"),
    Column("ghost_out", "ghost", "count"),
    Column("dead_out", "dead", "count"),
    Column("log10_paths", "log10 paths", "rate"),
    Column("log10_paths_null", "null", "rate", like="log10_paths"),
    Column("components", "pieces", "count"),
)


def curve_document(result: ConnectivityCurve) -> Document:
    """Return a row an epoch: the network as a whole, then every further measure as its mean over the layers."""
    shown = thinned(result.epochs)
    title = f"{result.run}{thinning_words(len(shown), len(result.epochs))}"
    whole = Table.of_records(title, _COLUMNS, [_row(epoch) for epoch in result.epochs], _reading(result))
    seen = dataclasses.replace(whole, rows=tuple(tuple(map(_row(epoch).get, _NAMES)) for epoch in shown))
    tables = (seen, _curves(result), *_measures(result))
    return Document("connectivity", result.to_dict(), tables, (_MEANS,), _records(result) or whole)


_MEANS = "Nulls are means over random masks of that epoch; --format csv and json have every layer of every epoch."
_NAMES = [column.name for column in _COLUMNS]


def _curves(result: ConnectivityCurve) -> Table:
    """Return shares over the epochs, a line a curve."""
    shares: tuple[tuple[str, Callable[[Connectivity], float | None]], ...] = (
        ("effective, of active weights", lambda epoch: _share(epoch.total.effective, epoch.total.active)),
        ("  by random masks", _null_share),
        ("live units, of all", lambda epoch: _share(epoch.total.live_out, _units(epoch.total))),
        ("ghost units", lambda epoch: _share(epoch.total.ghost_out, _units(epoch.total))),
        ("dead units", lambda epoch: _share(epoch.total.dead_out, _units(epoch.total))),
    )
    rows = []
    for label, share in shares:
        values = [share(epoch) for epoch in result.epochs]
        if any(value is not None for value in values):
            rows.append((label, sparkline(values), values[0], values[-1]))
    columns = (
        Column("share", ""),
        Column("curve", "over the epochs", "curve"),
        Column("first", kind="rate"),
        Column("last", kind="rate", like="first"),
    )
    return Table("Shares over the epochs", columns, tuple(rows), "Curves are on a scale from 0 to 1.")


def _null_share(result: Connectivity) -> float | None:
    level = result.level("effective")
    return _share(level.mean, result.total.active) if level is not None else None


def _units(total: TotalConnectivity) -> int:
    return total.live_out + total.ghost_out + total.dead_out


def _share(part: float | None, whole: int) -> float | None:
    return part / whole if part is not None and whole else None


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
        shown = thinned(result.epochs)
        rows = tuple((epoch.epoch, *(_typical(epoch, term.name) for term in terms)) for epoch in shown)
        title = f"{family.name}{thinning_words(len(shown), len(result.epochs))}"
        tables.append(Table(title, columns, rows, f"Mean over the layers of: {family.summary}."))
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
