"""Compare runs: read their masks at an epoch and measure each pair."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.structure.configuration import ConfigDifference, config_differences
from masktools.structure.overlap import LayerOverlap, Overlap, overlap_of
from masktools.structure.source import Recorded, Source, recorded

__all__ = ["Comparison", "Comparisons", "compare", "compare_many"]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two runs compared at one epoch each.

    Parameters
    ----------
    runs
        Paths of the two, A and B.
    epochs
        Epoch of either snapshot.
    overlap
        What their masks have in common.
    configuration
        Configuration keys on which they differ.
    """

    runs: tuple[str, str]
    epochs: tuple[int, int]
    overlap: Overlap
    configuration: tuple[ConfigDifference, ...]

    @property
    def layers(self) -> tuple[LayerOverlap, ...]:
        """Overlap of each layer."""
        return self.overlap.layers

    @property
    def total(self) -> LayerOverlap:
        """Overlap of all layers together."""
        return self.overlap.total

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            **self.overlap.to_dict(),
            "config_differences": [difference.to_dict() for difference in self.configuration],
        }


@dataclasses.dataclass(frozen=True)
class Comparisons:
    """Several runs, each compared with each.

    Pairs share runs, so they are no independent repetitions: resample runs, not pairs, for an interval.

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

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; a pair has the keys of a single comparison."""
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            "matrix": {key: [list(row) for row in self.matrix(key)] for key in ("kappa", "jaccard", "z")},
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


def compare(run_a: Source, run_b: Source, epoch: int | None = None) -> Comparison:
    """Compare the masks of two runs.

    Parameters
    ----------
    run_a, run_b
        Paths, runs or snapshots.
    epoch
        Which snapshot to take of both; negative numbers count from the end, None is the last.

    Raises
    ------
    StructureError
        If the layers differ; the message names the first layer that does not match, and both runs.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    return _pair(recorded(run_a, epoch), recorded(run_b, epoch))


def compare_many(runs: Sequence[Source], epoch: int | None = None) -> Comparisons:
    """Compare the masks of each pair of several runs.

    Parameters
    ----------
    runs
        At least two paths, runs or snapshots.
    epoch
        As for `compare`.

    Raises
    ------
    StructureError
        If there are fewer than two runs, or layers differ.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    if len(runs) < 2:
        raise StructureError(f"a comparison needs at least two runs, got {len(runs)}")
    sides = [recorded(run, epoch) for run in runs]
    return Comparisons(
        tuple(str(side.path) for side in sides),
        tuple(side.epoch for side in sides),
        tuple(_pair(a, b) for a, b in itertools.combinations(sides, 2)),
    )


def _pair(a: Recorded, b: Recorded) -> Comparison:
    return Comparison(
        (str(a.path), str(b.path)),
        (a.epoch, b.epoch),
        overlap_of(a.packed, b.packed, (a.label, b.label)),
        config_differences(a.config, b.config),
    )
