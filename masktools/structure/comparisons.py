"""Several runs, each compared with each: a matrix, and a mean with an interval over runs."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.nulls.trial import DrawPlan
from masktools.statistics.pairs import PairMean, mean_over_pairs
from masktools.structure.alignment.aligned import AlignOn
from masktools.structure.comparison import Comparison, compare_moments
from masktools.structure.source import Recorded, Source, recorded

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Comparisons", "compare_many"]


_NO_DEGREES = "no random masks were drawn, and differences of degrees have no other chance level: ask with --draws"


@dataclasses.dataclass(frozen=True)
class Comparisons(ToFrame):
    """Several runs, each compared with each.

    Pairs share runs, so they are no independent repetitions: `mean` has an interval over runs, not over pairs.

    Parameters
    ----------
    runs
        Paths of the runs.
    epochs
        Epoch of each run's snapshot.
    pairs
        Every pair once, in the order (0, 1), (0, 2), ... (1, 2), ...
    repeated
        What was given more than once and counts once: a snapshot agrees with itself, which says nothing about two runs.
    """

    runs: tuple[str, ...]
    epochs: tuple[int, ...]
    pairs: tuple[Comparison, ...]
    repeated: tuple[str, ...] = ()

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
        """Return the mean over pairs of one number of their totals, with its interval over runs.

        Parameters
        ----------
        key
            As for `matrix`.
        """
        return mean_over_pairs(self.matrix(key))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; a pair has the keys of a single comparison."""
        keys = ("kappa", "jaccard", "z")
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            "repeated": list(self.repeated),
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
        At least two paths, runs or snapshots. What is given twice counts once.
    epoch
        As for `compare`.
    null, draws, seed, jobs, align, nnstd
        As for `compare`, done for every pair. Nothing is drawn, and NNSTD not measured, unless it is asked for:
        overlaps have exact chance levels without.

    Returns
    -------
    Comparisons
        Every pair, and the mean over pairs with its interval over runs.

    Raises
    ------
    StructureError
        If there are fewer than two different snapshots, layers differ, or an operator graph is missing.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    given = [recorded(run, epoch) for run in runs]
    first: dict[Path, Recorded] = {}
    repeated = tuple(side.label for side in given if first.setdefault(side.file, side) is not side)
    sides = list(first.values())
    if len(sides) < 2:
        again = f", all of them {sides[0].label}" if len(runs) > 1 else ""
        raise StructureError(f"a comparison needs at least two different snapshots, got {len(runs)}{again}")
    pairs = tuple(
        compare_moments(a, b, plan, align=align, nnstd=nnstd, no_degrees=None if plan else _NO_DEGREES)
        for a, b in itertools.combinations(sides, 2)
    )
    paths, epochs = (str(side.path) for side in sides), (side.epoch for side in sides)
    return Comparisons(tuple(paths), tuple(epochs), pairs, repeated)
