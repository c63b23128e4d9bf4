"""Results of training a recorded structure once more."""

import dataclasses
from typing import Any

from masktools.frames import ToFrame
from masktools.statistics.corrections import holm
from masktools.statistics.intervals import Interval, mean_interval
from masktools.statistics.paired import PairedDifference, paired_difference

__all__ = ["ReinitResult", "VariantDifference", "VariantResult"]


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
    untrained
        Test accuracy before the first step: what the mask is worth on the starting weights (a supermask).
    """

    variant: str
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    untrained: tuple[float, ...]

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
            "untrained": mean_interval(self.untrained).to_dict() | {"accuracies": list(self.untrained)},
        }


@dataclasses.dataclass(frozen=True)
class VariantDifference:
    """How much better a variant is than the baseline, on the same seeds.

    Parameters
    ----------
    variant
        Its name.
    difference
        Accuracy of the variant less that of the baseline, paired by seed.
    p_adjusted
        P-value of the paired t-test after Holm's correction over all variants; None where there is none.
    """

    variant: str
    difference: PairedDifference
    p_adjusted: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"variant": self.variant, **self.difference.to_dict(), "p_adjusted": self.p_adjusted}


@dataclasses.dataclass(frozen=True)
class ReinitResult(ToFrame):
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
    baseline
        Variant that the others are compared with.
    variants
        One entry a variant.
    """

    run: str
    epoch: int
    density: float
    reference_accuracy: float
    chance_accuracy: float
    baseline: str
    variants: tuple[VariantResult, ...]

    @property
    def differences(self) -> tuple[VariantDifference, ...]:
        """Each variant but the baseline against it; none where the baseline is not among the variants."""
        base = next((variant for variant in self.variants if variant.variant == self.baseline), None)
        others = [variant for variant in self.variants if base is not None and variant is not base]
        found = [paired_difference(each.accuracies, base.accuracies) for each in others if base is not None]
        adjusted = holm([each.p_value for each in found])
        return tuple(
            VariantDifference(each.variant, difference, p)
            for each, difference, p in zip(others, found, adjusted, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            **fields,
            "variants": [variant.to_dict() for variant in self.variants],
            "differences": [difference.to_dict() for difference in self.differences],
        }
