"""Compare two runs: what their masks have in common, how far their degrees differ, each number beside its null."""

import dataclasses
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.nulls.trial import TOTAL, DrawPlan, Trial, run_trial
from masktools.statistics.monte_carlo import NullLevel
from masktools.structure.alignment.aligned import AlignedOverlap, AlignOn
from masktools.structure.alignment.nnstd import Nnstd
from masktools.structure.configuration import ConfigDifference, config_differences
from masktools.structure.degrees import DegreeDifference
from masktools.structure.overlap import LayerOverlap, Overlap, overlap_of
from masktools.structure.pair_measure import TAILS, WIDE, PairMeasure
from masktools.structure.source import Recorded, Source, recorded

__all__ = ["Comparison", "compare", "compare_moments"]

_NNSTD_UNITS = 1024
"""Units of a layer up to which NNSTD is measured unasked: matching takes time in their third power."""


@dataclasses.dataclass(frozen=True)
class Comparison(ToFrame):
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
    configuration_missing
        Why configurations were not compared: which of the two has none. None where both have one.
    same_snapshot
        Whether both are the same file.
    degrees
        Differences of degrees by layer, for layers that have inputs and outputs; empty if they were not measured.
    degrees_missing
        Why degrees were not compared; None where they were.
    nnstd
        Distance after matching units greedily, or None.
    nnstd_missing
        Why there is no NNSTD; None where there is.
    aligned
        Overlap after permuting the hidden units of B, if that was asked for.
    trial
        The same numbers for random masks in the place of B's, if they were drawn.
    """

    runs: tuple[str, str]
    epochs: tuple[int, int]
    overlap: Overlap
    configuration: tuple[ConfigDifference, ...]
    configuration_missing: str | None = None
    same_snapshot: bool = False
    degrees: tuple[DegreeDifference, ...] = ()
    degrees_missing: str | None = None
    nnstd: Nnstd | None = None
    nnstd_missing: str | None = None
    aligned: AlignedOverlap | None = None
    trial: Trial | None = None

    @property
    def layers(self) -> tuple[LayerOverlap, ...]:
        """Overlap of each layer."""
        return self.overlap.layers

    @property
    def total(self) -> LayerOverlap:
        """Overlap of all layers together."""
        return self.overlap.total

    def level(self, metric: str, layer: str = TOTAL) -> NullLevel | None:
        """Return what a number is under the null, None where it was not drawn or is not defined."""
        return None if self.trial is None else self.trial.level(metric, layer)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "runs": list(self.runs),
            "epochs": list(self.epochs),
            "layers": [self._row(layer) for layer in self.layers],
            "total": self._row(self.total),
            "null": None if self.trial is None else self.trial.plan.to_dict(),
            "same_snapshot": self.same_snapshot,
            "degrees": [difference.to_dict() for difference in self.degrees],
            "degrees_missing": self.degrees_missing,
            "nnstd": None if self.nnstd is None else self.nnstd.to_dict(),
            "nnstd_missing": self.nnstd_missing,
            "aligned": None if self.aligned is None else self.aligned.to_dict(),
            "config_differences": [difference.to_dict() for difference in self.configuration],
            "config_missing": self.configuration_missing,
        }

    def _row(self, row: LayerOverlap) -> dict[str, Any]:
        return {**row.to_dict(), "null": None if self.trial is None else self.trial.to_dict(row.name)}


def compare(
    run_a: Source,
    run_b: Source,
    epoch: int | None = None,
    *,
    null: str = "layer",
    draws: int = 5,
    seed: int = 0,
    jobs: int = 1,
    align: AlignOn | None = None,
    nnstd: bool | None = None,
) -> Comparison:
    """Compare the masks of two runs.

    Parameters
    ----------
    run_a, run_b
        Paths, runs or snapshots.
    epoch
        Which snapshot to take of both; negative numbers count from the end, None is the last.
    null
        What random masks keep of those of B: a rung of the null ladder (`masktools.nulls.ladder.LADDER`).
    draws
        Number of random masks. Overlaps have exact chance levels without any; the few drawn by default give degrees and
        NNSTD theirs. 199 or more for a p-value; 0 for none.
    seed, jobs
        What the random masks follow from, and the number of processes.
    align
        ``"masks"`` or ``"weights"`` to also permute the hidden units of B so that its masks, or its masked weights,
        agree best with those of A. The same is done to every random mask: needs `draws`.
    nnstd
        Whether to measure NNSTD; None does where there is an operator graph without layers of more than 1024 units.

    Returns
    -------
    Comparison
        Overlap, degrees, distance and alignment of the masks, each beside its chance level, and how the runs differ.

    Raises
    ------
    StructureError
        If the layers differ (the message names the first layer that does not match, and both runs), or what was asked
        for needs an operator graph that is not there.
    RunError, SnapshotError
        If a run cannot be read or has no such epoch.
    """
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    return compare_moments(recorded(run_a, epoch), recorded(run_b, epoch), plan, align=align, nnstd=nnstd)


def compare_moments(
    a: Recorded,
    b: Recorded,
    plan: DrawPlan | None = None,
    *,
    align: AlignOn | None = None,
    nnstd: bool | None = None,
    no_degrees: str | None = None,
) -> Comparison:
    """Do as `compare`, with what was read of two runs.

    Parameters
    ----------
    a, b
        The two moments.
    plan
        Which random masks to draw; None for none.
    align, nnstd
        As for `compare`.
    no_degrees
        Why not to compare degrees; None to do so.
    """
    overlap = overlap_of(a.packed, b.packed, (a.label, b.label))
    without = _without_configuration(a, b)
    result = Comparison(
        (str(a.path), str(b.path)),
        (a.epoch, b.epoch),
        overlap,
        () if without else config_differences(a.config, b.config),
        configuration_missing=without,
        same_snapshot=a.file == b.file,
        degrees_missing=no_degrees,
    )
    if align is not None and plan is None:
        raise StructureError(
            "an overlap after alignment says nothing without the same alignment of random masks: draw some"
        )
    missing = None if nnstd else _nnstd_missing(a, b, asked=nnstd is None)
    measured = (no_degrees is None, missing is None, align is not None, plan is not None)
    if not any(measured):
        return dataclasses.replace(result, nnstd_missing=missing)
    topology = a.topology if missing is None or align is not None else a.snapshot.topology or b.snapshot.topology
    measure = PairMeasure(
        masks=a.masks,
        weights=a.weights if align == "weights" else None,
        topology=topology,
        degrees=no_degrees is None,
        nnstd=missing is None,
        align=align,
    )
    weights = b.weights if align == "weights" else None
    trial = None
    if plan is not None:
        drawn = b.snapshot.topology or topology
        groups = drawn.groups if drawn else None
        trial = run_trial(measure, b.masks, plan, weights=weights, groups=groups, fixed=b.fixed, tails=TAILS, wide=WIDE)
    return dataclasses.replace(
        result,
        degrees=measure.degree_differences(b.masks),
        nnstd=measure.nnstd_of(b.masks),
        nnstd_missing=missing,
        aligned=measure.aligned(b.masks, weights),
        trial=trial,
    )


def _without_configuration(a: Recorded, b: Recorded) -> str | None:
    """Return which of two has no configuration, None if both have one: against none every key would differ."""
    bare = [name for name, side in (("A", a), ("B", b)) if not side.config]
    if not bare:
        return None
    return "neither A nor B has a configuration" if len(bare) == 2 else f"{bare[0]} has no configuration"


def _nnstd_missing(a: Recorded, b: Recorded, *, asked: bool) -> str | None:
    """Return why NNSTD is not measured unless it is asked for, None if it is."""
    if not asked:
        return "not asked for"
    if a.snapshot.topology is None or b.snapshot.topology is None:
        return "a snapshot holds no operator graph"
    widest = max((max(mask.shape[:2]) for mask in a.packed.values() if len(mask.shape) > 1), default=0)
    return (
        f"a layer has {widest} units, and matching so many takes long: ask with --nnstd"
        if widest > _NNSTD_UNITS
        else None
    )
