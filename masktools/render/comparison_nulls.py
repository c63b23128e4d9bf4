"""What of a comparison has its chance level from random masks: overlaps under a null, degrees, NNSTD, alignment."""

from typing import Any

from masktools.nulls.ladder import LADDER
from masktools.nulls.trial import TOTAL
from masktools.render.document import Column, Table
from masktools.render.null_words import ENOUGH_DRAWS, shown_p, span, verdict_of
from masktools.render.numbers import rate
from masktools.structure.comparison import Comparison
from masktools.structure.comparisons import Comparisons

__all__ = ["UNITS_NOTE", "against_null", "aligned_table", "nnstd_table", "pairs_table", "unit_rows", "units_table"]

UNITS_NOTE = (
    "fan-in = active weights of an output unit, fan-out of an input unit; distances are between the sorted degrees, in "
    "weights, correlations go unit by unit; null = mean of random masks in the place of B's."
)

_RATE = 0.05
"""False discovery rate at which layers are counted."""

_SIDES = ("fan_in", "fan_out")


def against_null(result: Comparison) -> Table | None:
    """Return the overlap of each layer beside the null, where enough masks were drawn for p-values."""
    trial = result.trial
    if trial is None or trial.plan.draws < ENOUGH_DRAWS:
        return None
    rows = []
    for row in (*result.layers, result.total):
        level = result.level("intersection", row.name)
        if level is not None:
            rows.append({"name": row.name, **level.to_dict()})
    columns = (
        Column("name", "layer"),
        Column("observed", "shared", "count"),
        Column("mean", "null", "rate"),
        Column("low", "95 % of nulls", "rate", until="high", like="mean"),
        Column("high", kind="rate"),
        Column("p_value", "p", "rate"),
        Column("adjusted_p_value", "p adj.", "rate", like="p_value"),
    )
    return Table.of_records(_title("Shared weights", result), columns, rows, _null_sentence(result))


def units_table(result: Comparison) -> Table | None:
    """Return the degrees of each layer beside their null, a row for each side."""
    if not result.degrees:
        return None
    rows = []
    for row in unit_rows(result):
        for side in _SIDES if row["name"] != TOTAL else ():
            values = {key.removeprefix(f"{side}_"): value for key, value in row.items() if key.startswith(side)}
            rows.append({"name": row["name"], "side": side.replace("_", "-"), **values})
    columns = [Column("name", "layer"), Column("side")]
    for metric in ("distance", "correlation"):
        columns.append(Column(metric, kind="rate"))
        if result.trial:
            columns.append(Column(f"{metric}_null", "null", "rate", like=metric))
    return Table.of_records(
        _title("Differences of degrees", result),
        columns,
        rows,
        "Distance 0: the same distribution of degrees; correlation 1: the same units have them.",
    )


def nnstd_table(result: Comparison) -> Table | None:
    """Return NNSTD of each layer beside its null."""
    if result.nnstd is None:
        return None
    rows = []
    for layer in (*result.nnstd.layers, result.nnstd.total):
        level = result.level("nnstd", layer.name)
        drawn = {key: getattr(level, key) if level else None for key in ("mean", "low", "high", "adjusted_p_value")}
        rows.append({**layer.to_dict(), **drawn, "p_value": shown_p(level)})
    columns = [
        Column("name", "layer"),
        Column("units", kind="count"),
        Column("empty", kind="count"),
        Column("distance", "NNSTD", "rate"),
    ]
    if result.trial:
        columns += [
            Column("mean", "null", "rate", like="distance"),
            Column("low", "95 % of nulls", "rate", until="high", like="distance"),
            Column("high", kind="rate"),
            *_p_columns(result),
        ]
    return Table.of_records(
        _title("Distance once units are matched (NNSTD)", result), columns, rows, _nnstd_sentence(result)
    )


def unit_rows(result: Comparison) -> list[dict[str, Any]]:
    """Return degrees and NNSTD by layer, each with the mean of its null where there is one."""
    rows: dict[str, dict[str, Any]] = {difference.name: difference.to_dict() for difference in result.degrees}
    if result.nnstd is not None:
        for layer in (*result.nnstd.layers, result.nnstd.total):
            rows.setdefault(layer.name, {"name": layer.name})["nnstd"] = layer.distance
    for name, row in rows.items():
        for metric in [key for key in row if key != "name"]:
            level = result.level(metric, name)
            row[f"{metric}_null"] = level.mean if level else None
    return list(rows.values())


def aligned_table(result: Comparison) -> Table | None:
    """Return the overlap after alignment beside the same alignment of random masks."""
    aligned, trial = result.aligned, result.trial
    if aligned is None or trial is None:
        return None
    rows = []
    for before, after in zip(
        (*result.layers, result.total), (*aligned.overlap.layers, aligned.overlap.total), strict=True
    ):
        level = result.level("aligned_kappa", after.name)
        rows.append(
            {
                "name": after.name,
                "kappa": before.kappa,
                "aligned_kappa": after.kappa,
                "mean": level.mean if level else None,
                "low": level.low if level else None,
                "high": level.high if level else None,
                "p_value": shown_p(level),
                "adjusted_p_value": level.adjusted_p_value if level and shown_p(level) is not None else None,
            }
        )
    columns = (
        Column("name", "layer"),
        Column("kappa", "kappa", "rate"),
        Column("aligned_kappa", "aligned", "rate", like="kappa"),
        Column("mean", "null aligned", "rate", like="kappa"),
        Column("low", "95 % of nulls", "rate", until="high", like="kappa"),
        Column("high", kind="rate"),
        *_p_columns(result),
    )
    return Table.of_records(
        _title(f"Units of B permuted to fit A, by {aligned.on}", result), columns, rows, _aligned(result)
    )


def pairs_table(result: Comparisons) -> Table | None:
    """Return what was drawn for each pair of several runs."""
    if any(pair.trial is None for pair in result.pairs):
        return None
    metrics = (("kappa", "kappa"), ("aligned_kappa", "aligned"), ("nnstd", "NNSTD"))
    shown = [(metric, title) for metric, title in metrics if any(pair.level(metric) for pair in result.pairs)]
    columns = [Column("run_a", "run A"), Column("run_b", "run B")]
    for metric, title in shown:
        columns += [
            Column(metric, title, "rate"),
            Column(f"{metric}_null", "null", "rate", like=metric),
            Column(f"{metric}_p", "p", "rate", joined=True),
        ]
    rows = []
    for pair in result.pairs:
        row: dict[str, Any] = {"run_a": pair.runs[0], "run_b": pair.runs[1]}
        for metric, _ in shown:
            level = pair.level(metric)
            row[metric] = level.observed if level else None
            row[f"{metric}_null"] = level.mean if level else None
            row[f"{metric}_p"] = shown_p(level)
        rows.append(row)
    return Table.of_records(
        _title("All layers together beside random masks", result.pairs[0]),
        columns,
        rows,
        "A small p: the pair agrees more (NNSTD: differs less) than random masks that keep what the null keeps.",
    )


def _p_columns(result: Comparison) -> tuple[Column, ...]:
    """Return the columns of p-values, where there are enough draws for them."""
    if result.trial is None or result.trial.plan.draws < ENOUGH_DRAWS:
        return ()
    return Column("p_value", "p", "rate"), Column("adjusted_p_value", "p adj.", "rate", like="p_value")


def _title(text: str, result: Comparison) -> str:
    if result.trial is None:
        return text
    plan = result.trial.plan
    return f"{text}; null: {plan.draws} random masks '{plan.null}'"


def _null_sentence(result: Comparison) -> str:
    level, trial = result.level("intersection"), result.trial
    if level is None or trial is None:
        return "No overlap is defined."
    rungs = list(LADDER)
    kept = " ".join(LADDER[name].keeps for name in rungs[: rungs.index(trial.plan.null) + 1])
    adjusted = [
        p
        for row in result.layers
        if (found := result.level("intersection", row.name)) is not None and (p := found.adjusted_p_value) is not None
    ]
    least = len(adjusted) / (1 + trial.plan.draws)
    above = sum(p <= _RATE for p in adjusted)
    return (
        f"A and B share {level.observed:,.0f} weights, random masks with the same {kept} {span(level)}: "
        f"{verdict_of(level)}. {above} of {len(adjusted)} layers are above the null at a false discovery rate of "
        f"{_RATE}" + (f"; a single one could not be with {trial.plan.draws} draws." if least > _RATE else ".")
    )


def _nnstd_sentence(result: Comparison) -> str:
    distance = result.nnstd.total.distance if result.nnstd else None
    if distance is None:
        return "NNSTD is not defined, because no unit has an active weight."
    level = result.level("nnstd")
    chance = f"random masks have {span(level)}: {verdict_of(level)}" if level else "no random masks were drawn"
    return (
        f"NNSTD {rate(distance)}; {chance}. 0 would be the same wiring up to the order of hidden units, 1 no common "
        "input anywhere."
    )


def _aligned(result: Comparison) -> str:
    level = result.level("aligned_kappa")
    if level is None:
        return "kappa is not defined after alignment."
    return (
        f"After alignment kappa = {rate(level.observed)}; random masks reach {span(level)} by the same alignment: "
        f"{verdict_of(level)}."
    )
