"""Several runs, each compared with each: a matrix, and a mean with an interval over runs."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.nulls.trial import DrawPlan
from masktools.statistics.bootstrap import PairMean, bootstrap_pairs
from masktools.structure.alignment.aligned import AlignOn
from masktools.structure.comparison import Comparison, compare_moments
from masktools.structure.source import Source, recorded

__all__ = ["Comparisons", "compare_many"]


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """Several runs, each compared with each.

    Pairs share runs, so they are no independent repetitions: `mean` resamples runs, not pairs, for its interval.

    Parameters
    ----------
    runs
        Paths of the runs.
    epochs
        Epoch of each run's snapshot.
    pairs
        Every pair once, in the order (0, 1), (0, 2), ... (1, 2), ...
    """

    runs: tuple[str, ...]
    epochs: tuple[int, ...]
    pairs: tuple[Comparison, ...]

    def pair(self, first: int, second: int) -> Comparison:
        """Return the comparison of two different runs by their places, the smaller one first."""
        i, j = sorted((first, second))
        if not 0 <= i < j < len(self.runs):
            raise IndexError(f"no pair ({first}, {second}) among {len(self.runs)} runs")
        return self.pairs[i * (2 * len(self.runs) - i - 1) // 2 + j - i - 1]

    def matrix(self, key: str = "kappa") -> tuple[tuple[float | None, ...], ...]:
        """Return one number of every pair's total as a symmetric matrix; None on the diagonal.

        Parameters
        ----------
        key
            A field of `LayerOverlap`, for example ``kappa``, ``jaccard`` or ``z``.
        """
        count = range(len(self.runs))
        return tuple(tuple(None if i == j else getattr(self.pair(i, j).total, key) for j in count) for i in count)

    def mean(self, key: str = "kappa") -> PairMean:
        """Return the mean over pairs of one number of their totals, with a bootstrap interval over runs.

        Parameters
        ----------
        key
            As for `matrix`.
        """
        return bootstrap_pairs(self.matrix(key))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; a pair has the keys of a single comparison."""
        keys = ("kappa", "jaccard", "z")
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            "matrix": {key: [list(row) for row in self.matrix(key)] for key in keys},
            "mean": {key: self.mean(key).to_dict() for key in keys},
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


def compare_many(
    runs: Sequence[Source],
    epoch: int | None = None,
    *,
    null: str = "layer",
    draws: int = 0,
    seed: int = 0,
    jobs: int = 1,
    align: AlignOn | None = None,
    nnstd: bool = False,
) -> Comparisons:
    """Compare the masks of each pair of several runs.

    Parameters
    ----------
    runs
        At least two paths, runs or snapshots.
    epoch
        As for `compare`.
    null, draws, seed, jobs, align, nnstd
        As for `compare`, done for every pair. Nothing is drawn, and NNSTD not measured, unless it is asked for:
        overlaps have exact chance levels without.

    Raises
    ------
    StructureError
        If there are fewer than two runs, layers differ, or an operator graph is missing.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    if len(runs) < 2:
        raise StructureError(f"a comparison needs at least two runs, got {len(runs)}")
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    sides = [recorded(run, epoch) for run in runs]
    pairs = tuple(
        compare_moments(a, b, plan, align=align, nnstd=nnstd, degrees=plan is not None)
        for a, b in itertools.combinations(sides, 2)
    )
    return Comparisons(tuple(str(side.path) for side in sides), tuple(side.epoch for side in sides), pairs)
