"""How much of an overlap is due to layer budgets, to degrees, to the exact wiring: the null ladder as one table."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from masktools.frames import ToFrame
from masktools.nulls.ladder import LADDER
from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import TOTAL, DrawPlan, Numbers, Trial, Weights, drawn_numbers, trial_of
from masktools.structure.overlap import LayerOverlap, Overlap, overlap_of
from masktools.structure.source import Source, recorded

__all__ = ["Explanation", "Rung", "explain"]


@dataclasses.dataclass(frozen=True)
class Rung:
    """What one rung of the null ladder explains of an overlap.

    Parameters
    ----------
    null
        Name of the rung.
    keeps
        What random masks of this rung keep, in addition to those of the rungs before.
    expected
        Mean intersection with random masks.
    low, high
        Central 95 % of the draws.
    p_value
        (1 + draws that share at least as much) / (1 + draws).
    p_two_sided
        Twice the smaller of that and of its counterpart for draws that share at most as much.
    adjusted_p_value
        The same corrected for the number of layers; None for the total.
    part
        Part of the observed intersection that this rung adds to the one before; None if nothing is shared.
    kappa
        Agreement that is left above this rung, 2 (X - expected) / (K1 + K2 - 2 expected); None where random masks
        are always both masks.
    free
        Whether the rung can change the mask of B, or of any layer of it.
    least, most
        Smallest and largest draw.
    """

    null: str
    keeps: str
    expected: float
    low: float
    high: float
    p_value: float
    p_two_sided: float
    adjusted_p_value: float | None
    part: float | None
    kappa: float | None
    free: bool = True
    least: float | None = None
    most: float | None = None


@dataclasses.dataclass(frozen=True)
class Explanation(ToFrame):
    """An overlap taken apart.

    Parameters
    ----------
    runs, epochs
        The two sides, A and B.
    overlap
        What they have in common.
    draws, seed
        Number of random masks of each rung, and what they follow from.
    ladder
        The rungs by layer, and for all layers under ``total``. A layer without a kernel has no rung ``tap``; to the
        total it adds there, draw by draw, what it shares on the rung before.
    """

    runs: tuple[str, str]
    epochs: tuple[int, int]
    overlap: Overlap
    draws: int
    seed: int
    ladder: Mapping[str, tuple[Rung, ...]]

    @property
    def total(self) -> tuple[Rung, ...]:
        """The rungs for all layers together."""
        return self.ladder[TOTAL]

    def wiring(self, layer: str = TOTAL) -> float | None:
        """Return the part of the intersection that no rung explains: exact wiring. None if nothing is shared."""
        parts = [rung.part for rung in self.ladder[layer]]
        return None if None in parts else 1 - math.fsum(part for part in parts if part is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        rows = {row.name: row for row in (*self.overlap.layers, self.overlap.total)}
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            "draws": self.draws,
            "seed": self.seed,
            "layers": [self._row(rows[name]) for name in self.ladder if name != TOTAL],
            "total": self._row(self.overlap.total),
        }

    def _row(self, row: LayerOverlap) -> dict[str, Any]:
        return {
            **row.to_dict(),
            "ladder": [dataclasses.asdict(rung) for rung in self.ladder[row.name]],
            "wiring": self.wiring(row.name),
        }


def explain(
    run_a: Source, run_b: Source, epoch: int | None = None, *, draws: int = 199, seed: int = 0, jobs: int = 1
) -> Explanation:
    """Take the overlap of two runs apart along the null ladder.

    Each rung holds the masks of A and draws those of B at random, keeping more of B from rung to rung. What random
    masks already share needs no other explanation than what they keep.

    Parameters
    ----------
    run_a, run_b
        Paths, runs or snapshots.
    epoch
        Which snapshot to take of both; negative numbers count from the end, None is the last.
    draws
        Number of random masks of each rung.
    seed, jobs
        What they follow from, and the number of processes.

    Returns
    -------
    Explanation
        The overlap, and beside it what random masks of each rung share, in all and layer by layer.

    Raises
    ------
    StructureError
        If the layers differ or have axes of unknown meaning.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    plan = DrawPlan(draws=draws, seed=seed, jobs=jobs)
    a, b = recorded(run_a, epoch), recorded(run_b, epoch)
    overlap = overlap_of(a.packed, b.packed, (a.label, b.label))
    topology = b.snapshot.topology
    ladder = _ladder(a.masks, b.masks, overlap, plan, topology.groups if topology else {}, b.fixed)
    return Explanation((str(a.path), str(b.path)), (a.epoch, b.epoch), overlap, plan.draws, plan.seed, ladder)


def _ladder(
    masks_a: Masks,
    masks_b: Masks,
    overlap: Overlap,
    plan: DrawPlan,
    groups: Mapping[str, int],
    fixed: frozenset[str],
) -> dict[str, tuple[Rung, ...]]:
    rows = {row.name: row for row in (*overlap.layers, overlap.total)}
    kernels = {name: mask for name, mask in masks_b.items() if math.prod(mask.shape[2:]) > 1}
    measure = functools.partial(shared, masks_a)
    observed = measure(masks_b, None)
    found: dict[str, list[Rung]] = {name: [] for name in rows}
    before: list[Numbers] = []
    moved: frozenset[str] = frozenset()
    for null in LADDER.values():
        masks = kernels if null.within == "kernel" else masks_b
        if not masks:
            continue
        this = dataclasses.replace(plan, null=null.name)
        drawn = drawn_numbers(measure, masks, this, groups=groups, fixed=fixed)
        if len(masks) < len(masks_b):
            # Draw by draw: layers that this rung does not touch are as random as on the rung before.
            drawn = [_totalled({**others, **numbers}) for others, numbers in zip(before, drawn, strict=True)]
        moved = this.free(masks, groups, fixed) | (moved - set(masks))
        touched = {key: value for key, value in observed.items() if key[1] in masks or key[1] == TOTAL}
        trial = trial_of(touched, drawn, this, free=moved)
        for name in (*masks, TOTAL):
            found[name].append(_rung(rows[name], trial, name, found[name]))
        before = drawn
    return {name: tuple(rungs) for name, rungs in found.items()}


def shared(masks_a: Masks, masks: Masks, _: Weights | None) -> Numbers:
    """Count the weights that are active in both of two sets of masks, by layer and in all.

    Parameters
    ----------
    masks_a, masks
        Boolean masks; the layers of the second are some of those of the first.
    """
    return _totalled(
        {("intersection", name): float(np.count_nonzero(mask & masks_a[name])) for name, mask in masks.items()}
    )


def _totalled(numbers: Numbers) -> Numbers:
    layers = [value for (_, name), value in numbers.items() if name != TOTAL and value is not None]
    return {**numbers, ("intersection", TOTAL): math.fsum(layers)}


def _rung(row: LayerOverlap, trial: Trial, name: str, before: list[Rung]) -> Rung:
    level = trial.level("intersection", name)
    if level is None or level.mean is None:
        raise AssertionError("an intersection is always defined")
    added = level.mean - (before[-1].expected if before else 0.0)
    room = row.active_a + row.active_b - 2 * level.mean
    null = LADDER[trial.plan.null]
    return Rung(
        null=null.name,
        keeps=null.keeps,
        expected=level.mean,
        low=level.low,
        high=level.high,
        p_value=level.p_value,
        p_two_sided=level.p_two_sided,
        adjusted_p_value=level.adjusted_p_value,
        part=added / row.intersection if row.intersection else None,
        kappa=2 * (row.intersection - level.mean) / room if room > 0 else None,
        free=level.free,
        least=level.least,
        most=level.most,
    )
