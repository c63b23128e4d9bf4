"""Means over runs that differ only in the seed, as tables."""

import dataclasses
from collections.abc import Sequence

from masktools.render.document import Cell, Column, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import with_interval
from masktools.render.run_names import beginning_of, short_names
from masktools.render.sparkline import sparkline
from masktools.render.thinning import thinned, thinning_words
from masktools.structure.dynamics.groups import GroupMean, SeedGroup

__all__ = ["group_curve", "group_notes", "group_tables"]

_TITLES = {
    "emergence_epoch": "emergence epoch",
    "emergence_epoch_beyond_initial": "emergence beyond the first mask",
    "early_bird_epoch": "early-bird epoch",
    "half_life": "half-life of a spell, epochs",
    "expected_half_life": "half-life by chance",
    "exploration": "explored",
    "expected_exploration": "explored by chance",
}


def group_tables(group: SeedGroup) -> tuple[Table, ...]:
    """Return the means of a group, and its mean curve in few rows."""
    measures = tuple(
        (title, *_cells(group.measures[key]), _have(group.measures[key])) for key, title in _TITLES.items()
    )
    seeds = ", ".join(str(seed) for seed in group.seeds)
    columns = (
        Column("measure", ""),
        Column("mean", kind="figure"),
        Column("low", "95 %", "figure", until="high"),
        Column("high", kind="figure"),
        Column("defined", "runs"),
    )
    curve = group_curve(group)
    rows = tuple(thinned(curve.rows))
    kappa = [point.kappa.interval.mean if point.kappa.interval else None for point in group.curve]
    return (
        Table(
            f"{len(group.runs)} runs that differ only in the seed ({seeds}){beginning_of(short_names(group.runs)[0])}",
            columns,
            measures,
            _reading(group),
        ),
        dataclasses.replace(
            curve,
            title=f"{curve.title}\n0 to 1: {sparkline(kappa)}{thinning_words(len(rows), len(curve.rows))}",
            rows=rows,
        ),
    )


def group_notes(groups: Sequence[SeedGroup]) -> tuple[str, ...]:
    """Return what has to be known of the intervals of all groups."""
    told = [mean.interval for group in groups for key, mean in group.measures.items() if key in _TITLES]
    points = [point for group in groups for point in group.curve]
    kappas = [mean.interval for point in points for mean in (point.kappa, point.kappa_beyond_initial)]
    return few_runs_notes([*told, *kappas])


def group_curve(group: SeedGroup) -> Table:
    """Return the mean curve of a group, a row an epoch."""
    rates, columns = _rates(group)
    curve = tuple(
        (point.epoch, *rates_here, *_cells(point.kappa), *_cells(point.kappa_beyond_initial))
        for point, rates_here in zip(group.curve, rates, strict=True)
    )
    return Table(
        "Their mean kappa with the final mask, and beyond what the first mask explains",
        (
            Column("epoch", kind="count"),
            *columns,
            Column("mean", "kappa", kind="rate"),
            Column("low", "95 %", "rate", until="high", like="mean"),
            Column("high", kind="rate"),
            Column("beyond", kind="rate", like="mean"),
            Column("beyond_low", "95 %", "rate", until="beyond_high", like="mean"),
            Column("beyond_high", kind="rate"),
        ),
        curve,
        f"{len(curve)} epochs are common to all runs; chance is 0 for every one of them.",
    )


def _rates(group: SeedGroup) -> tuple[list[tuple[Cell, ...]], tuple[Column, ...]]:
    """Return the learning rates by epoch and their columns: one if the runs share them, else their range."""
    if all(point.lr_low is None for point in group.curve):
        return [()] * len(group.curve), ()
    if all(point.lr_low == point.lr_high for point in group.curve):
        return [(point.lr,) for point in group.curve], (Column("lr", kind="rate"),)
    ends = (Column("lr_low", "lr from", "rate"), Column("lr_high", "to", "rate"))
    return [(point.lr_low, point.lr_high) for point in group.curve], ends


def _cells(mean: GroupMean) -> tuple[Cell, Cell, Cell]:
    told = mean.interval
    return (told.mean, told.low, told.high) if told else (None, None, None)


def _have(mean: GroupMean) -> str:
    return f"{mean.defined} of {mean.runs}"


def _reading(group: SeedGroup) -> str:
    epoch = group.measures["emergence_epoch"]
    text = (
        f"The emergence epoch is {with_interval(epoch.interval.mean, epoch.interval.low, epoch.interval.high)} on "
        "average; brackets are a 95 % Student t interval over runs."
        if epoch.interval
        else f"Only {_have(epoch)} runs have an emergence epoch, so there is no mean of it."
    )
    if group.repeated:
        text += f" Left out, because a run of the same seed is there already: {', '.join(group.repeated)}."
    return text
