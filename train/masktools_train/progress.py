"""What training tells whoever watches it."""

import dataclasses
from typing import Any, Protocol

__all__ = ["EpochRecord", "Observer", "SilentObserver"]


@dataclasses.dataclass(frozen=True)
class EpochRecord:
    """One line of ``metrics.jsonl``.

    Parameters
    ----------
    epoch
        Number of finished epochs over all levels; 0 is the initialisation.
    step
        Number of finished steps over all levels.
    level
        Number of finished prunings of an iterated method, else 0.
    train_loss, train_accuracy
        Means over the epoch, as seen while training; None at epoch 0.
    test_loss, test_accuracy
        On the test examples, after the epoch.
    active, density
        Active weights, as a number and as a share of all.
    lr
        Learning rate of the last step; None at epoch 0.
    dense_gradient_steps
        Finished steps that needed the gradient of inactive weights, or had none.
    seconds
        Wall time of the epoch, with evaluation.
    settled_kappa
        Under ``freeze_when``, the smallest kappa of the mask with those of the epochs before; None as long as these are
        too few, and once the mask is frozen.
    frozen_epoch
        Epoch whose mask was kept from then on; None as long as none is.
    forward_flops, forward_flops_dense
        Floating-point operations of a forward pass for one example, under the masks and with all weights; None where
        they could not be counted.
    training_flops, training_flops_dense
        Those of all finished steps over all levels, as trained and as if all weights had been active; None where those
        of a forward pass are, or where training goes on from a state that did not have them.
    """

    epoch: int
    step: int
    level: int
    train_loss: float | None
    train_accuracy: float | None
    test_loss: float
    test_accuracy: float
    active: int
    density: float
    lr: float | None
    dense_gradient_steps: int
    seconds: float
    settled_kappa: float | None = None
    frozen_epoch: int | None = None
    forward_flops: int | None = None
    forward_flops_dense: int | None = None
    training_flops: int | None = None
    training_flops_dense: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values."""
        return dataclasses.asdict(self)


class Observer(Protocol):
    """Watches training; none of its methods makes the device wait."""

    def started(self, title: str, steps: int, epochs: int) -> None:
        """Take note that training begins: `steps` and `epochs` are to be done over all levels."""

    def stepped(self, count: int) -> None:
        """Take note of `count` steps issued since the last call."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Take note of a finished and recorded epoch."""

    def noted(self, message: str) -> None:
        """Pass on something worth knowing."""

    def warned(self, message: str) -> None:
        """Pass on that something is not as one might expect; training goes on."""


class SilentObserver:
    """Watches and says nothing."""

    def started(self, title: str, steps: int, epochs: int) -> None:
        """Ignore it."""

    def stepped(self, count: int) -> None:
        """Ignore it."""

    def epoch_done(self, record: EpochRecord) -> None:
        """Ignore it."""

    def noted(self, message: str) -> None:
        """Ignore it."""

    def warned(self, message: str) -> None:
        """Ignore it."""
