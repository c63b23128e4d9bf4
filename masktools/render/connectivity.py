"""Connectivity results as documents."""

from masktools.render.connectivity_measures import connectivity_records, measure_tables
from masktools.render.document import Cell, Column, Document, Table, defined
from masktools.render.null_words import ends, ends_title, spanned, verdict_of
from masktools.render.numbers import count, percent
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
    Column("foldable_out", kind="count", shown=False),
    Column("dead_out", "dead", "count"),
)
_UNITS = (
    "a weight is effective if it lies on a path from input to output; a ghost unit is reached by no input and "
    "emits a constant; from a dead unit no output is reached. Units are the outputs of layers; where the network is "
    "taken for a graph (units, components, isolated), those of the input are units, too."
)


_BY_DENSITY = (
    "'by density' is the mean over random masks that keep nothing but the density of every layer: what is equal to it "
    "is explained by density alone."
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
        f"{result.run} (epoch {result.epoch})",
        _COLUMNS,
        [*data["layers"], {**data["total"], **whole}],
        sentence(result),
    )
    measures: tuple[tuple[str, Cell, str, float], ...] = (
        ("density", total.density, "", 1),
        ("effective density", total.effective_density, "effective", total.size),
        *_paths(total),
        ("live units", total.live_out, "live_out", 1),
        ("ghost units", total.ghost_out, "ghost_out", 1),
        ("  whose constant can be folded", total.foldable_out, "", 1),
        ("dead units", total.dead_out, "dead_out", 1),
        ("inputs used", total.inputs_used, "", 1),
        ("inputs", total.inputs, "", 1),
        ("units, with those of the input", total.units, "", 1),
        ("weak components", total.components, "components", 1),
        ("isolated units", total.isolated, "", 1),
        ("share of units in the largest", total.giant_share, "", 1),
    )
    rows: list[tuple[Cell, ...]] = []
    for name, value, metric, scale in measures:
        level = result.level(metric)
        drawn = (level.mean, *ends(level)) if level else (None,) * 3
        rows.append((name, value, *(None if number is None else number / scale for number in drawn)))
    columns = (
        Column("measure"),
        Column("value", kind="figure"),
        Column("null", kind="figure"),
        Column("low", ends_title(result.trial.plan.draws if result.trial else 0), "figure", until="high"),
        Column("high", kind="figure"),
    )
    shown = len(columns) if result.trial else 2
    facts = Table(
        "The network as a whole" + (f"; null: random masks '{result.trial.plan.null}'" if result.trial else ""),
        columns[:shown],
        tuple(row[:shown] for row in rows),
        _components(total),
    )
    families = measure_tables(result)
    notes = (_UNITS, _BY_DENSITY) if families and result.trial else (_UNITS,)
    return Document("connectivity", data, (layers, facts, *families), notes, connectivity_records(result))


def _paths(total: TotalConnectivity) -> tuple[tuple[str, Cell, str, float], ...]:
    """Return the number of paths; by channels and by taps where a kernel makes these differ."""
    by_channels, by_taps = (defined(number) for number in (total.log10_paths, total.log10_tap_paths))
    if by_channels == by_taps:
        return (("log10 of paths", by_channels, "log10_paths", 1),)
    return (
        ("log10 of paths, by channels", by_channels, "log10_paths", 1),
        ("log10 of paths, tap by tap", by_taps, "", 1),
    )


def sentence(result: Connectivity) -> str:
    """Return in words how much of a mask does anything, beside what random masks would."""
    total, trial = result.total, result.trial
    share = percent(total.effective / total.active) if total.active else "none"
    against = "no random masks were drawn to compare with"
    level = trial.level("effective") if trial else None
    if trial is not None and level is not None:
        mean, low, high = (count(number) for number in (level.mean, *ends(level)))
        drawn = spanned(mean, low, high, level.draws)
        against = f"random masks of the null '{trial.plan.null}' have {drawn}, {verdict_of(level)}"
    return f"{count(total.effective)} of {count(total.active)} active weights are effective ({share}): {against}."


def _components(total: TotalConnectivity) -> str:
    if not total.effective:
        return "No path leads from input to output."
    pieces = "piece" if total.components == 1 else "pieces"
    return (
        f"{count(total.inputs_used)} of {count(total.inputs)} inputs have a path to an output; the network falls into "
        f"{count(total.components)} {pieces}, {count(total.isolated)} of them isolated units (1 and 0 if dense)."
    )
