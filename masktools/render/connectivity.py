"""Connectivity results as documents."""

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import count, rate
from masktools.structure.connectivity_result import Connectivity, TotalConnectivity

__all__ = ["connectivity_document", "sentence"]

_COLUMNS = (
    Column("name", "layer"),
    Column("size", "weights", "count"),
    Column("active", "active", "count"),
    Column("effective", "effective", "count"),
    Column("units_in", kind="count", shown=False),
    Column("used_in", kind="count", shown=False),
    Column("units_out", "units", "count"),
    Column("live_out", "live", "count"),
    Column("ghost_out", "ghost", "count"),
    Column("dead_out", "dead", "count"),
)
_UNITS = (
    "a weight is effective if it lies on a path from input to output; a ghost unit is reached by no input and "
    "emits a constant; from a dead unit no output is reached."
)


def connectivity_document(result: Connectivity) -> Document:
    """Return the connectivity of a network: a row a layer, the total last, then the network as a whole."""
    total = result.total
    whole = {
        "units_in": None,
        "used_in": None,
        "units_out": total.live_out + total.ghost_out + total.dead_out,
        "name": "total",
    }
    data = result.to_dict()
    layers = Table.of_records(
        f"{result.run} (epoch {result.epoch})", _COLUMNS, [*data["layers"], {**data["total"], **whole}], sentence(total)
    )
    facts = Table(
        "The network as a whole",
        (Column("measure"), Column("value", kind="rate")),
        (
            ("density", total.density),
            ("effective density", total.effective_density),
            ("log10 of paths, by channels", data["total"]["log10_paths"]),
            ("log10 of paths, tap by tap", data["total"]["log10_tap_paths"]),
            ("inputs used", total.inputs_used),
            ("inputs", total.inputs),
            ("units", total.units),
            ("weak components", total.components),
            ("isolated units", total.isolated),
            ("share of units in the largest", total.giant_share),
        ),
        _components(total),
    )
    return Document("connectivity", data, (layers, facts), (_UNITS,))


def sentence(total: TotalConnectivity) -> str:
    """Return in words how much of a mask does anything, beside what random masks would."""
    share = rate(total.effective / total.active) if total.active else "none"
    null = total.null
    against = "no random masks were drawn to compare with"
    if null is not None:
        where = (
            "fewer than"
            if total.effective < null.effective_low
            else "more than"
            if total.effective > null.effective_high
            else "within"
        )
        against = (
            f"{where} the {count(null.effective_low)} to {count(null.effective_high)} (95 %, mean "
            f"{count(null.effective_mean)}) of {null.draws} masks shuffled layer by layer"
        )
    return f"{count(total.effective)} of {count(total.active)} active weights are effective ({share}): {against}."


def _components(total: TotalConnectivity) -> str:
    if not total.effective:
        return "No path leads from input to output."
    pieces = "piece" if total.components == 1 else "pieces"
    return (
        f"{count(total.inputs_used)} of {count(total.inputs)} inputs have a path to an output; the network falls into "
        f"{count(total.components)} {pieces}, {count(total.isolated)} of them isolated units (1 and 0 if dense)."
    )
