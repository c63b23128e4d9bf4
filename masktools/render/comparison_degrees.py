"""Degrees of two masks, unit by unit, beside their chance level."""

from typing import Any

from masktools.nulls.trial import TOTAL
from masktools.render.comparison_nulls import p_columns, titled
from masktools.render.document import Column, Table
from masktools.render.null_words import shown_p
from masktools.structure.comparison import Comparison

__all__ = ["UNITS_NOTE", "alike_degrees_note", "unit_rows", "units_table"]

UNITS_NOTE = (
    "fan-in = active weights of an output unit, fan-out of an input unit; distances are between the sorted degrees, in "
    "weights, correlations go unit by unit; null = mean of random masks in the place of B's."
)

_SIDES = ("fan_in", "fan_out")
_KEPT = {"neuron": ("fan_in",), "degree": _SIDES, "tap": _SIDES}
"""What random masks of a null have of B's degrees: there they have no chance level but what is observed."""

_DEGREES = ("distance", "correlation")


def units_table(result: Comparison) -> Table | None:
    """Return the degrees of each layer beside their null, a row for each side; None where the null keeps them."""
    sides = [side for side in _SIDES if side not in _kept(result)]
    if not result.degrees or not sides:
        return None
    rows = []
    for row in unit_rows(result):
        for side in sides if row["name"] != TOTAL else ():
            values = {key.removeprefix(f"{side}_"): value for key, value in row.items() if key.startswith(side)}
            for metric in _DEGREES:
                values[f"{metric}_p"] = shown_p(result.level(f"{side}_{metric}", row["name"]))
            rows.append({"name": row["name"], "side": side.replace("_", "-"), **values})
    columns = [Column("name", "layer"), Column("side")]
    enough = bool(p_columns(result))
    for metric in _DEGREES:
        columns.append(Column(metric, kind="rate"))
        if result.trial:
            columns.append(Column(f"{metric}_null", "null", "rate", like=metric))
            columns.append(Column(f"{metric}_p", "p", "rate", shown=enough, joined=True))
    return Table.of_records(
        titled("Differences of degrees", result),
        columns,
        rows,
        "Distance 0: the same distribution of degrees; correlation 1: the same units have them."
        + (" p is one-sided: random masks with a distance as small, or a correlation as large." if enough else ""),
    )


def alike_degrees_note(result: Comparison) -> str:
    """Return which degrees are not shown, and why: nothing unless random masks have those of B."""
    kept = _kept(result)
    if not result.degrees or result.trial is None or not kept:
        return ""
    null = result.trial.plan.null
    if kept == _SIDES:
        return (
            f"degrees have no chance level under the null '{null}', which keeps those of every unit, and are not "
            "shown: --null layer compares them."
        )
    return (
        f"{kept[0].replace('_', '-')} has no chance level under the null '{null}', which keeps that of every unit, and "
        "is not shown: --null layer compares it."
    )


def _kept(result: Comparison) -> tuple[str, ...]:
    return _KEPT.get(result.trial.plan.null, ()) if result.trial is not None else ()


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
