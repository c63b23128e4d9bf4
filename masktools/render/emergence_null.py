"""The approach of a run to its final mask beside random masks."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.document import Cell, Column, Table
from masktools.render.null_words import ENOUGH_DRAWS, level_texts, spanned, verdict_of
from masktools.structure.dynamics.emergence_result import Emergence

__all__ = ["null_cells", "null_columns", "null_sentence", "without_constant_null"]

_ALIKE = 5e-4
"""Difference of kappa that three decimals do not show."""

_METRICS = ("kappa", "hub_kappa_fan_out", "hub_kappa_fan_in")
_LEVELS = ("mean", "low", "high", "p_value")
_SHOWN = "kappa_null_mean"


def null_columns(drawn: bool) -> list[Column]:
    """Return the columns of what was drawn: the mean for kappa is shown, the rest is for programs."""
    if not drawn:
        return []
    return [
        Column(f"{metric}_null_{key}", "null", "rate", shown=f"{metric}_null_{key}" == _SHOWN, like="kappa")
        for metric in _METRICS
        for key in _LEVELS
    ]


def null_cells(levels: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Cell]:
    """Return the values of those columns at one snapshot; empty where nothing was drawn, or too few for p-values."""
    cells: dict[str, Cell] = {}
    for metric in _METRICS:
        level = (levels or {}).get(metric, {})
        shown = level if level.get("draws", 0) >= ENOUGH_DRAWS else {**level, "p_value": None}
        cells |= {f"{metric}_null_{key}": shown.get(key) for key in _LEVELS}
    return cells


def without_constant_null(curve: Table, result: Emergence) -> tuple[Table, str]:
    """Return the curve without a column of the null that is the same at every epoch, and a sentence that says so."""
    if not _is_constant(_means(result)):
        return curve, ""
    columns = tuple(dataclasses.replace(c, shown=False) if c.name == _SHOWN else c for c in curve.columns)
    return dataclasses.replace(curve, columns=columns), " At every other epoch they have about as much on average."


def _means(result: Emergence) -> list[float]:
    levels = [trial.level("kappa") for trial in result.trials]
    return [level.mean for level in levels if level is not None and level.mean is not None]


def _is_constant(means: Sequence[float]) -> bool:
    return bool(means) and max(means) - min(means) <= _ALIKE


def null_sentence(result: Emergence, name: str = "") -> str:
    """Return in words what random masks in the place of the first snapshot reach.

    Parameters
    ----------
    result
        The dynamics of a run whose null was drawn.
    name
        What to call the run; without one the sentence names none.
    """
    name = f"{name}: " if name else ""
    plan = result.trials[0].plan
    level = result.trials[0].level("kappa")
    if level is None:
        return f"{name}kappa is not defined at epoch {result.epochs[0]}."
    means = _means(result)
    kappas = [point.kappa for point in result.curve]
    observed, mean, low, high = level_texts(level, kappas, () if _is_constant(means) else means)
    return (
        f"{name}At epoch {result.epochs[0]} kappa = {observed}; random masks '{plan.null}' in the place of the "
        f"snapshot's have {spanned(mean, low, high, level.draws)}: {verdict_of(level)}."
    )
