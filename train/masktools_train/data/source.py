"""What training asks of a data set, wherever its examples are kept."""

from collections.abc import Iterator, Sequence
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from masktools_train.distributed import Processes

__all__ = ["Data", "TrainingBatches", "chance_accuracy", "first_inputs"]


class TrainingBatches(Protocol):
    """The training batches of any epoch: the same for the same seed, wherever one starts."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches."""

    def whole(self, index: int) -> int:
        """Return how many examples all processes together see at step `index` of an epoch."""

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield this process's inputs and targets of an epoch from batch `start` on, on the device."""


@runtime_checkable
class Data(Protocol):
    """Training and test examples."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""

    @property
    def test_targets(self) -> Tensor:
        """Class numbers of the test examples, shape ``(examples,)``."""

    def to(self, device: torch.device) -> Self:
        """Return the data set so that its batches come on `device`."""

    def training(
        self,
        batch_size: int,
        seed: int,
        augment: Sequence[str] = (),
        shift: int = 4,
        processes: Processes | None = None,
    ) -> TrainingBatches:
        """Return the training batches.

        Parameters
        ----------
        batch_size
            Examples a step, over all processes; the last batch of an epoch may be smaller.
        seed
            Seed of order and augmentation.
        augment, shift
            What a recipe's table ``data`` says under these keys.
        processes
            Who trains together, nobody else when None; each sees its share of every batch.
        """

    def testing(
        self, batch_size: int, limit: int | None = None, processes: Processes | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of (the first `limit`) test examples in their order, this process's share."""


def chance_accuracy(data: Data) -> float:
    """Return the accuracy of always naming the most frequent test class."""
    return float(data.test_targets.bincount().max()) / len(data.test_targets)


def first_inputs(data: Data, count: int, limit: int | None = None) -> Tensor:
    """Return the first `count` test inputs, or as many as there are."""
    count = count if limit is None else min(count, limit)
    # Told that it is all: data that are read ahead need not be.
    inputs, _ = next(data.testing(count, count))
    return inputs
