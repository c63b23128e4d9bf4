"""What of a comparison has its chance level from random masks: overlaps under a null, degrees, NNSTD, alignment."""

from typing import Any

from masktools.nulls.ladder import LADDER
from masktools.nulls.trial import TOTAL
from masktools.render.document import Column, Table
from masktools.render.numbers import rate
from masktools.statistics.monte_carlo import NullLevel
from masktools.structure.comparison import Comparison
from masktools.structure.comparisons import Comparisons

__all__ = ["ENOUGH_DRAWS", "UNITS_NOTE", "against_null", "aligned_table", "pairs_table", "unit_rows", "units_table"]

ENOUGH_DRAWS = 99
"""Random masks from which on p-values are shown: with fewer they cannot be small."""

UNITS_NOTE = (
    "distances are between the sorted degrees, in active weights; correlations go unit by unit (chance 0); null = mean "
    "of random masks in the place of B's."
)

_UNITS = (
    ("fan_in_distance", "in dist.", "null"),
    ("fan_out_distance", "out dist.", "null"),
    ("fan_in_correlation", "in corr.", ""),
    ("fan_out_correlation", "out corr.", ""),
    ("nnstd", "NNSTD", "null"),
)


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
        Column("low", kind="rate"),
        Column("high", kind="rate"),
        Column("p_value", "p", "rate"),
        Column("adjusted_p_value", "p adj.", "rate"),
    )
    return Table.of_records(_title("Shared weights", result), columns, rows, _null_sentence(result))


def units_table(result: Comparison) -> Table | None:
    """Return degrees and NNSTD of each layer beside their null."""
    rows = unit_rows(result)
    if not rows:
        return None
    columns = [Column("name", "layer")]
    for metric, title, null in _UNITS:
        if any(metric in row for row in rows):
            columns.append(Column(metric, title, "rate"))
            if null and result.trial:
                columns.append(Column(f"{metric}_null", null, "rate"))
    blank = {column.name: None for column in columns}
    return Table.of_records(
        _title("Units: differences of degrees" + (", and NNSTD" if result.nnstd else ""), result),
        columns,
        [{**blank, **row} for row in rows],
        _units_sentence(result),
    )


def unit_rows(result: Comparison) -> list[dict[str, Any]]:
    """Return degrees and NNSTD by layer, each with the mean of its null where there is one."""
    rows: dict[str, dict[str, Any]] = {difference.name: difference.to_dict() for difference in result.degrees}
    if result.nnstd is not None:
        for layer in result.nnstd.layers:
            rows.setdefault(layer.name, {"name": layer.name})["nnstd"] = layer.distance
        rows[TOTAL] = {"name": TOTAL, "nnstd": result.nnstd.total.distance}
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
                "high": level.high if level else None,
                "p_value": level.p_value if level else None,
                "adjusted_p_value": level.adjusted_p_value if level else None,
            }
        )
    columns = (
        Column("name", "layer"),
        Column("kappa", "kappa", "rate"),
        Column("aligned_kappa", "aligned", "rate"),
        Column("mean", "null aligned", "rate"),
        Column("high", "97.5 %", "rate"),
        Column("p_value", "p", "rate"),
        Column("adjusted_p_value", "p adj.", "rate"),
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
            Column(f"{metric}_null", "null", "rate"),
            Column(f"{metric}_p", "p", "rate"),
        ]
    rows = []
    for pair in result.pairs:
        row: dict[str, Any] = {"run_a": pair.runs[0], "run_b": pair.runs[1]}
        for metric, _ in shown:
            level = pair.level(metric)
            row[metric] = level.observed if level else None
            row[f"{metric}_null"] = level.mean if level else None
            row[f"{metric}_p"] = level.p_value if level else None
        rows.append(row)
    return Table.of_records(
        _title("All layers together beside random masks", result.pairs[0]),
        columns,
        rows,
        "A small p: the pair agrees more (NNSTD: differs less) than random masks that keep what the null keeps.",
    )


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
    layers = [
        found.adjusted_p_value for row in result.layers if (found := result.level("intersection", row.name)) is not None
    ]
    below = sum(p is not None and p <= 0.05 for p in layers)
    return (
        f"A and B share {level.observed:,.0f} weights, random masks with the same {kept} {_span(level)}: "
        f"{_above(level)}. {below} of {len(layers)} layers are above the null at a false discovery rate of .05."
    )


def _units_sentence(result: Comparison) -> str:
    if result.nnstd is None or result.nnstd.total.distance is None:
        return "Distance 0: the same distribution of degrees; correlation 1: the same units have them."
    level = result.level("nnstd")
    chance = f" against {rate(level.mean)} for random masks" if level else " (no random masks were drawn)"
    return (
        f"NNSTD {rate(result.nnstd.total.distance)}{chance}: 0 would be the same wiring up to the order of hidden "
        "units, 1 no common input anywhere."
    )


def _aligned(result: Comparison) -> str:
    level = result.level("aligned_kappa")
    if level is None:
        return "kappa is not defined after alignment."
    return (
        f"After alignment kappa = {rate(level.observed)}; random masks reach {_span(level)} by the same alignment: "
        f"{_above(level)}."
    )


def _span(level: NullLevel) -> str:
    return f"{rate(level.mean)} on average ({rate(level.low)} to {rate(level.high)} in 95 % of draws)"


def _above(level: NullLevel) -> str:
    p = f"p = {rate(level.p_value)}"
    if level.observed > level.high:
        return f"above the null, {p}"
    return f"below the null, {p}" if level.observed < level.low else f"not told apart from the null, {p}"
