"""Levels of an iterated method: train, prune, rewind, and train again."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError

if TYPE_CHECKING:
    from masktools_train.algorithms.base import Algorithm
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["Levels"]


class Levels:
    """How often a network is trained, how many weights it has each time, and from which step it starts again.

    Parameters
    ----------
    algorithm
        The rule; one that trains once has a single level.
    masked
        The layers.
    steps_per_epoch
        Length of an epoch.
    total_steps
        Length of a level that starts at its beginning.

    Attributes
    ----------
    counts
        Number of active weights at each level.
    rewind_step
        Step from which every level after the first starts again.
    number
        Number of finished prunings.

    Raises
    ------
    RecipeError
        If the step to rewind to is not before the end.
    """

    def __init__(self, algorithm: "Algorithm", masked: "MaskedLayers", steps_per_epoch: int, total_steps: int) -> None:
        # Layers that stay dense are no part of what is pruned by a share.
        dense = sum(layer.size for layer in masked.layers if not layer.prunable)
        free = algorithm.level_counts(masked.size - dense, masked.target - dense)
        self.counts = [dense + count for count in free]
        self.rewind_step = algorithm.rewind_step(steps_per_epoch)
        if self.rewind_step >= total_steps:
            raise RecipeError(f"rewind to step {self.rewind_step} is not before the end of training, {total_steps}")
        self.number = 0
        self._steps_per_epoch, self._total_steps = steps_per_epoch, total_steps
        self._point: dict[str, Tensor] | None = None

    @property
    def last(self) -> bool:
        """Whether no other level follows."""
        return self.number + 1 == len(self.counts)

    def steps(self, first: int) -> int:
        """Return the number of steps over all levels, when `first` of the first count as done."""
        return self._total_steps - first + (len(self.counts) - 1) * (self._total_steps - self.rewind_step)

    def epochs(self, first: int) -> int:
        """Return the number of epochs over all levels, when `first` steps count as done; one that is entered counts."""
        each = self._total_steps // self._steps_per_epoch
        begun, again = (each - step // self._steps_per_epoch for step in (first, self.rewind_step))
        return begun + (len(self.counts) - 1) * again

    def remember(self, model: nn.Module, step: int) -> None:
        """Keep the weights of a network, if it is at the step to rewind to."""
        due = self.number == 0 and not self.last and step == self.rewind_step
        if due and self._point is None:
            self._point = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def begin_next(self, model: nn.Module, masked: "MaskedLayers") -> None:
        """Prune, and rewind the weights; schedule, data order and optimizer are the caller's."""
        self.number += 1
        masked.keep_largest_globally(self.counts[self.number])
        assert self._point is not None  # noqa: S101  (remembered before the first level could end)
        model.load_state_dict(self._point)

    @property
    def rewind_point(self) -> dict[str, Tensor] | None:
        """The weights to rewind to, once they are known: what a saved state keeps beside the number."""
        return self._point

    def go_on(self, number: int, point: Mapping[str, Tensor] | None, device: torch.device) -> None:
        """Take up a number and a `rewind_point` that were saved."""
        self.number = number
        self._point = None if point is None else {name: value.to(device) for name, value in point.items()}
