"""Results of training or pruning a recorded structure once more."""

import dataclasses
from typing import Any

from masktools.statistics.intervals import Interval, mean_interval

__all__ = ["PrunePoint", "PruneResult", "ReinitResult", "VariantResult"]


@dataclasses.dataclass(frozen=True)
class VariantResult:
    """One way of starting again from a mask.

    Parameters
    ----------
    variant
        Its name.
    seeds
        Seeds of data order, new weights and shuffles; the same for every variant, so that they are paired.
    accuracies
        Test accuracy after training, one a seed.
    """

    variant: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """Mean over the seeds with its 95 % interval."""
        return mean_interval(self.accuracies)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the interval is null for a single seed."""
        interval = self.interval
        return {
            "variant": self.variant,
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "seeds": list(self.seeds),
            "accuracies": list(self.accuracies),
        }


@dataclasses.dataclass(frozen=True)
class ReinitResult:
    """What a structure is worth with other weights.

    Parameters
    ----------
    run, epoch
        Where the mask was taken from.
    density
        Share of active weights of that mask.
    reference_accuracy
        Test accuracy of the snapshot itself.
    chance_accuracy
        Accuracy of always naming the most frequent test class.
    variants
        One entry a variant.
    """

    run: str
    epoch: int
    density: float
    reference_accuracy: float
    chance_accuracy: float
    variants: tuple[VariantResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**fields, "variants": [variant.to_dict() for variant in self.variants]}


@dataclasses.dataclass(frozen=True)
class PrunePoint:
    """The network at one density.

    Parameters
    ----------
    density
        Share of active weights, exactly as pruned.
    active
        Number of active weights.
    accuracies
        Test accuracy, one a draw (a single one where nothing is random).
    effective_densities
        Share of weights on a path from input to output, one a draw; None where the operator graph is not known.
    """

    density: float
    active: int
    accuracies: tuple[float, ...]
    effective_densities: tuple[float, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: means, with the 95 % interval of the accuracy where there are several draws."""
        accuracy = mean_interval(self.accuracies)
        effective = None if self.effective_densities is None else mean_interval(self.effective_densities).mean
        return {
            "density": self.density,
            "active": self.active,
            "accuracy": accuracy.mean,
            "low": accuracy.low,
            "high": accuracy.high,
            "effective_density": effective,
        }


@dataclasses.dataclass(frozen=True)
class PruneResult:
    """What is left of a trained network when it is pruned further without fine-tuning.

    Parameters
    ----------
    run, epoch
        The network.
    criterion, scope
        What was pruned first, and whether layers competed.
    draws
        Number of random orders; 1 where nothing is random.
    chance_accuracy
        Accuracy of always naming the most frequent test class.
    curve
        From the density as trained downwards.
    """

    run: str
    epoch: int
    criterion: str
    scope: str
    draws: int
    chance_accuracy: float
    curve: tuple[PrunePoint, ...]

    @property
    def half_density(self) -> float | None:
        """Largest density of the curve at which half the accuracy above guessing is lost; None if none is."""
        means = [(point.density, mean_interval(point.accuracies).mean) for point in self.curve]
        half = (means[0][1] + self.chance_accuracy) / 2
        return next((density for density, accuracy in means if accuracy < half), None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**fields, "half_density": self.half_density, "curve": [point.to_dict() for point in self.curve]}
