"""What fixing the mask early costs, and what it saves."""

import dataclasses
import math
from typing import Any

from masktools.frames import ToFrame
from masktools.statistics.corrections import holm
from masktools.statistics.paired import PairedDifference, paired_difference

__all__ = ["FreezePoint", "FreezeResult"]


@dataclasses.dataclass(frozen=True)
class FreezePoint:
    """The same runs, their masks fixed at one epoch.

    Parameters
    ----------
    epoch
        Epoch whose mask was kept.
    accuracies
        Test accuracy in the end, one a run.
    lost
        Accuracy of the run itself less that of the frozen one, paired by run.
    dense_gradient_steps, steps
        Steps that used the gradient of inactive weights, and all steps; one a run.
    training_flops
        Training FLOPs as a share of those of the run itself, one a run; None where they were not counted.
    """

    epoch: int
    accuracies: tuple[float, ...]
    lost: PairedDifference
    dense_gradient_steps: tuple[int, ...]
    steps: tuple[int, ...]
    training_flops: tuple[float, ...] | None

    @property
    def dense_gradient_share(self) -> float:
        """Share of the steps that used the gradient of inactive weights, mean over runs."""
        return math.fsum(a / b for a, b in zip(self.dense_gradient_steps, self.steps, strict=True)) / len(self.steps)

    @property
    def training_flops_ratio(self) -> float | None:
        """Training FLOPs against the runs themselves, mean over runs."""
        return None if self.training_flops is None else math.fsum(self.training_flops) / len(self.training_flops)

    @classmethod
    def of(
        cls,
        epoch: int,
        own: tuple[float, ...],
        accuracies: tuple[float, ...],
        dense_gradient_steps: tuple[int, ...],
        steps: tuple[int, ...],
        training_flops: tuple[float, ...] | None,
    ) -> "FreezePoint":
        """Pair the accuracies with those of the runs themselves, in the same order."""
        return cls(epoch, accuracies, paired_difference(own, accuracies), dense_gradient_steps, steps, training_flops)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "epoch": self.epoch,
            "accuracies": list(self.accuracies),
            "accuracy": math.fsum(self.accuracies) / len(self.accuracies),
            "lost": self.lost.to_dict(),
            "dense_gradient_share": self.dense_gradient_share,
            "training_flops_ratio": self.training_flops_ratio,
        }


@dataclasses.dataclass(frozen=True)
class FreezeResult(ToFrame):
    """Accuracy against what is saved, for each epoch at which the mask could be fixed.

    Parameters
    ----------
    runs
        The runs, whose mask was never fixed.
    accuracies
        Their test accuracies.
    dense_gradient_share
        Share of their steps that used the gradient of inactive weights.
    points
        One an epoch, ascending.
    """

    runs: tuple[str, ...]
    accuracies: tuple[float, ...]
    dense_gradient_share: float
    points: tuple[FreezePoint, ...]

    @property
    def p_adjusted(self) -> tuple[float | None, ...]:
        """P-values of the paired t-tests of accuracy lost, one a point, after Holm's correction over all of them."""
        return holm([point.lost.p_value for point in self.points])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        points = zip(self.points, self.p_adjusted, strict=True)
        return {**fields, "points": [point.to_dict() | {"p_adjusted": p} for point, p in points]}
