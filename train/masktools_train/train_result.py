"""What training a recipe ended with."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masktools.frames import ToFrame
from masktools_train.progress import EpochRecord

__all__ = ["TrainResult"]


@dataclasses.dataclass(frozen=True)
class TrainResult(ToFrame):
    """What training ended with.

    Parameters
    ----------
    run
        The run directory, or None if nothing was written.
    config
        The resolved recipe.
    device
        Where it was trained.
    records
        One entry an epoch, from epoch 0 on.
    """

    run: Path | None
    config: Mapping[str, Any]
    device: str
    records: tuple[EpochRecord, ...]

    @property
    def final(self) -> EpochRecord:
        """Record of the last epoch."""
        return self.records[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain values."""
        return {
            "run": None if self.run is None else str(self.run),
            "device": self.device,
            "epochs": self.final.epoch,
            "test_accuracy": self.final.test_accuracy,
            "test_loss": self.final.test_loss,
            "active": self.final.active,
            "density": self.final.density,
            "dense_gradient_steps": self.final.dense_gradient_steps,
            "frozen_epoch": self.final.frozen_epoch,
            "forward_flops": self.final.forward_flops,
            "forward_flops_dense": self.final.forward_flops_dense,
            "training_flops": self.final.training_flops,
            "training_flops_dense": self.final.training_flops_dense,
            "steps": self.final.step,
            "seconds": round(math.fsum(record.seconds for record in self.records), 3),
            "config": dict(self.config),
        }
