"""What many trainings came to: one row a setting, with intervals over seeds."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.frames import ToFrame
from masktools.statistics.intervals import Interval, mean_interval

__all__ = ["SweepGroup", "SweepPart", "SweepResult"]


@dataclasses.dataclass(frozen=True)
class SweepPart:
    """One training of a sweep.

    Parameters
    ----------
    settings
        The recipe keys that the sweep varies, with the values of this part.
    seed
        Its seed.
    result
        What training ended with: `masktools_train.TrainResult.to_dict`, without the configuration.
    """

    settings: Mapping[str, Any]
    seed: int
    result: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"settings": dict(self.settings), "seed": self.seed, **self.result}


@dataclasses.dataclass(frozen=True)
class SweepGroup:
    """All seeds of one setting.

    Parameters
    ----------
    settings
        Values of the recipe keys that the sweep varies.
    parts
        One a seed.
    """

    settings: Mapping[str, Any]
    parts: tuple[SweepPart, ...]

    @property
    def accuracy(self) -> Interval:
        """Test accuracy, mean over seeds with its 95 % interval."""
        return mean_interval(part.result["test_accuracy"] for part in self.parts)

    @property
    def dense_gradient_share(self) -> float:
        """Share of the steps that used the gradient of inactive weights, mean over seeds."""
        return _mean([part.result["dense_gradient_steps"] / part.result["steps"] for part in self.parts])

    @property
    def training_flops_ratio(self) -> float | None:
        """Training FLOPs as a share of those of dense training, mean over seeds; None where they were not counted."""
        pairs = [(part.result["training_flops"], part.result["training_flops_dense"]) for part in self.parts]
        return None if any(not dense for _, dense in pairs) else _mean([taken / dense for taken, dense in pairs])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "settings": dict(self.settings),
            "accuracy": self.accuracy.to_dict(),
            "density": _mean([part.result["density"] for part in self.parts]),
            "dense_gradient_share": self.dense_gradient_share,
            "training_flops_ratio": self.training_flops_ratio,
            "seconds": _mean([part.result["seconds"] for part in self.parts]),
            "seeds": [part.seed for part in self.parts],
        }


@dataclasses.dataclass(frozen=True)
class SweepResult(ToFrame):
    """What all parts of a sweep came to.

    Parameters
    ----------
    name
        Name of the recipe.
    parts
        In the order in which they were asked for.
    """

    name: str
    parts: tuple[SweepPart, ...]

    @property
    def groups(self) -> tuple[SweepGroup, ...]:
        """The parts by setting, seeds together, in order of first appearance."""
        found: dict[str, list[SweepPart]] = {}
        for part in self.parts:
            found.setdefault(json.dumps(part.settings, sort_keys=True, default=str), []).append(part)
        return tuple(SweepGroup(parts[0].settings, tuple(parts)) for parts in found.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "groups": [group.to_dict() for group in self.groups],
            "runs": [part.to_dict() for part in self.parts],
        }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
