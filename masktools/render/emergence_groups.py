"""Means over runs that differ only in the seed, as tables."""

from masktools.render.document import Cell, Column, Table
from masktools.render.numbers import rate
from masktools.structure.dynamics.groups import GroupMean, SeedGroup

__all__ = ["group_tables"]

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
    """Return the means of a group, and its mean curve."""
    ends = (Column("mean", kind="rate"), Column("low", "low (95 %)", "rate"), Column("high", "high (95 %)", "rate"))
    measures = tuple(
        (title, *_cells(group.measures[key]), _have(group.measures[key])) for key, title in _TITLES.items()
    )
    rates, columns = _rates(group)
    curve = tuple(
        (point.epoch, *rates_here, *_cells(point.kappa), *_cells(point.kappa_beyond_initial))
        for point, rates_here in zip(group.curve, rates, strict=True)
    )
    seeds = ", ".join(str(seed) for seed in group.seeds)
    return (
        Table(
            f"{len(group.runs)} runs that differ only in the seed ({seeds})",
            (Column("measure", ""), *ends, Column("defined", "runs")),
            measures,
            _reading(group),
        ),
        Table(
            "Their kappa with the final mask, and beyond what the first mask explains;\nlow to high = 95 % interval",
            (
                Column("epoch", kind="count"),
                *columns,
                Column("mean", kind="rate"),
                Column("low", kind="rate"),
                Column("high", kind="rate"),
                Column("beyond", kind="rate"),
                Column("beyond_low", "low", "rate"),
                Column("beyond_high", "high", "rate"),
            ),
            curve,
            f"{len(curve)} epochs are common to all runs; chance is 0 for every one of them.",
        ),
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
        f"The emergence epoch is {rate(epoch.interval.mean)} [{rate(epoch.interval.low)}, {rate(epoch.interval.high)}] "
        "on average; brackets are a 95 % Student t interval over runs."
        if epoch.interval
        else f"Only {_have(epoch)} runs have an emergence epoch, so there is no mean of it."
    )
    if group.repeated:
        text += f" Left out, because a run of the same seed is there already: {', '.join(group.repeated)}."
    return text
