"""The approach of a run to its final mask beside random masks."""

from collections.abc import Mapping
from typing import Any

from masktools.render.document import Cell, Column
from masktools.render.null_words import ENOUGH_DRAWS, span, verdict_of
from masktools.render.numbers import rate
from masktools.structure.dynamics.emergence_result import Emergence

__all__ = ["null_cells", "null_columns", "null_sentence"]

_METRICS = ("kappa", "hub_kappa_fan_out", "hub_kappa_fan_in")
_LEVELS = ("mean", "low", "high", "p_value")


def null_columns(drawn: bool) -> list[Column]:
    """Return the columns of what was drawn: the mean for kappa is shown, the rest is for programs."""
    if not drawn:
        return []
    return [
        Column(f"{metric}_null_{key}", "null", "rate", shown=(metric, key) == ("kappa", "mean"), like="kappa")
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
    return (
        f"{name}At epoch {result.epochs[0]} kappa = {rate(level.observed)}; random masks '{plan.null}' in the place of "
        f"the snapshot's have {span(level)}: {verdict_of(level)}."
    )
