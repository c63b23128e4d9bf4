"""Structural robustness: what is left of a trained network when it is pruned further."""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from masktools.frames import ToFrame
from masktools.statistics.curves import falling_crossing, mean_over_log
from masktools.statistics.intervals import mean_interval

__all__ = ["CurveKind", "CurveSummary", "PrunePoint", "PruneResult"]

CurveKind: TypeAlias = Literal["accuracies", "recalibrated", "finetuned"]
"""Which accuracy: of the pruned network as it is, with new batch-norm statistics, or trained on."""


@dataclasses.dataclass(frozen=True)
class PrunePoint:
    """The network at one density.

    Parameters
    ----------
    share
        Share of the active weights that was to be kept.
    density
        Share of active weights of all, exactly as pruned.
    active
        Number of active weights.
    accuracies
        Test accuracy, one a draw (a single one where nothing is random), with nothing but weights taken away.
    effective_densities
        Share of weights on a path from input to output, one a draw; None where the operator graph is not known.
    recalibrated
        Test accuracy with batch-norm statistics estimated anew, one a draw; None where that was not asked for.
    finetuned
        Test accuracy after training on with the mask fixed, one a draw; None where that was not asked for.
    """

    share: float
    density: float
    active: int
    accuracies: tuple[float, ...]
    effective_densities: tuple[float, ...] | None
    recalibrated: tuple[float, ...] | None = None
    finetuned: tuple[float, ...] | None = None

    def mean(self, kind: CurveKind = "accuracies") -> float | None:
        """Return the mean accuracy over the draws."""
        return _mean(getattr(self, kind))

    @property
    def effective_density(self) -> float | None:
        """Mean share of weights on a path from input to output."""
        return _mean(self.effective_densities)

    @property
    def effective_share(self) -> float | None:
        """Part of the active weights that lie on such a path; None where there is none, or the graph is not known."""
        effective = self.effective_density
        return None if effective is None or self.density == 0 else effective / self.density

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: means, with 95 % intervals where there are several draws."""
        return {
            "share": self.share,
            "density": self.density,
            "active": self.active,
            **_told(self.accuracies, "accuracy", ""),
            **_told(self.effective_densities, "effective_density", "effective_"),
            "effective_share": self.effective_share,
            **_told(self.recalibrated, "recalibrated", "recalibrated_"),
            **_told(self.finetuned, "finetuned", "finetuned_"),
            **{
                key: None if values is None else list(values)
                for key, values in (
                    ("accuracies", self.accuracies),
                    ("recalibrated_accuracies", self.recalibrated),
                    ("finetuned_accuracies", self.finetuned),
                )
            },
        }


@dataclasses.dataclass(frozen=True)
class CurveSummary:
    """One curve of accuracy in a few numbers.

    Parameters
    ----------
    half_density, half_share
        Where half of what the first point has above guessing is lost, as a share of all weights and of those that were
        active in the trained network; None where the curve never gets there, or begins no higher than guessing.
    area
        Mean accuracy over the logarithm of the share kept; None with fewer than two shares above 0.
    """

    half_density: float | None
    half_share: float | None
    area: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class PruneResult(ToFrame):
    """What is left of a trained network when it is pruned further.

    Parameters
    ----------
    run, epoch
        The network.
    algorithm
        What it was trained with; None where that is not recorded.
    variant
        What was done with a recorded mask, for a network that was trained or pruned from one; else None.
    active, size
        Active weights of the trained network, and all.
    criterion, scope
        What was pruned first, and whether layers competed.
    draws
        Number of random orders; 1 where nothing is random.
    chance_accuracy
        Accuracy of always naming the most frequent test class.
    curve
        From the largest share downwards.
    examples
        Training examples that the criterion looked at; None where it looks at none.
    recalibration_examples
        Training examples that batch-norm statistics were estimated on; None where they were not.
    finetune_epochs, finetune_lr
        How each pruned network was trained on; None where it was not.
    """

    run: str
    epoch: int
    algorithm: str | None
    variant: str | None
    active: int
    size: int
    criterion: str
    scope: str
    draws: int
    chance_accuracy: float
    curve: tuple[PrunePoint, ...]
    examples: int | None = None
    recalibration_examples: int | None = None
    finetune_epochs: int | None = None
    finetune_lr: float | None = None

    @property
    def density(self) -> float:
        """Share of active weights of the trained network."""
        return self.active / self.size

    def summary(self, kind: CurveKind = "accuracies") -> CurveSummary | None:
        """Return the numbers of one curve; None where it was not asked for."""
        means = [mean for point in self.curve if (mean := point.mean(kind)) is not None]
        if not means:
            return None
        half = self.half(means)
        return CurveSummary(
            None if half is None else half * self.density, half, mean_over_log(self._kept(self.curve), means)
        )

    def half(self, means: Sequence[float]) -> float | None:
        """Return the share kept at which half of what accuracies have above guessing is lost.

        Parameters
        ----------
        means
            One a point of the curve.
        """
        if means[0] <= self.chance_accuracy:
            return None
        return falling_crossing(self._kept(self.curve), means, (means[0] + self.chance_accuracy) / 2)

    @property
    def half_density(self) -> float | None:
        """Density at which half of the accuracy above guessing is lost, as in `CurveSummary`."""
        return self._plain.half_density

    @property
    def half_share(self) -> float | None:
        """The same as a share of the active weights of the trained network."""
        return self._plain.half_share

    @property
    def area(self) -> float | None:
        """Mean accuracy over the logarithm of the share kept, as in `CurveSummary`."""
        return self._plain.area

    @property
    def _plain(self) -> CurveSummary:
        return self.summary() or CurveSummary(None, None, None)

    @property
    def effective_area(self) -> float | None:
        """Mean of the effective density, relative to the trained one, over the logarithm of the share kept.

        None where the operator graph is not known, or with fewer than two shares above 0.
        """
        found = [point for point in self.curve if point.effective_density is not None]
        if not self.active or len(found) < len(self.curve):
            return None
        return mean_over_log(self._kept(found), [(point.effective_density or 0.0) / self.density for point in found])

    @property
    def collapse_share(self) -> float | None:
        """Share kept below which paths break down: the effective part of the active weights is half of the first.

        None where it never is, or the operator graph is not known. A point without active weights has no such part.
        """
        found = [point for point in self.curve if point.effective_share is not None]
        if not found:
            return None
        parts = [point.effective_share or 0.0 for point in found]
        return falling_crossing(self._kept(found), parts, parts[0] / 2)

    def _kept(self, points: Sequence[PrunePoint]) -> list[float]:
        """Return the share kept at each point, exactly as pruned."""
        return [point.active / self.active if self.active else 0.0 for point in points]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        others = {kind: self.summary(kind) for kind in ("recalibrated", "finetuned")}
        return {
            **fields,
            "density": self.density,
            **self._plain.to_dict(),
            "effective_area": self.effective_area,
            "collapse_share": self.collapse_share,
            **{kind: None if found is None else found.to_dict() for kind, found in others.items()},
            "curve": [point.to_dict() for point in self.curve],
        }


def _mean(values: Sequence[float] | None) -> float | None:
    return None if values is None else statistics.fmean(values)


def _told(values: Sequence[float] | None, name: str, prefix: str) -> dict[str, float | None]:
    """Return mean and interval under names for programs."""
    found = None if values is None else mean_interval(values)
    ends = ("mean", name), ("low", f"{prefix}low"), ("high", f"{prefix}high")
    return {key: None if found is None else getattr(found, end) for end, key in ends}
