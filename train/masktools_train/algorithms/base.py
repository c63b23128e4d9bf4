"""What a sparse training algorithm is: a mask to start from and a rule that changes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import pydantic
import torch

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["Algorithm"]


class Algorithm(pydantic.BaseModel, ABC):
    """A training algorithm: its fields are its options, its methods are its rule; it holds no state.

    Everything that changes lives in the `Sparsifier`, so that a run can be stopped and resumed, and one
    algorithm object can serve many runs. To add an algorithm, subclass this in a file of its own and add one
    line to the registry.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    summary: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]]
    """Layer budgets that it can use; the first is the default."""
    dynamic: ClassVar[bool] = False
    """Whether the mask changes during training, so that freezing it means something."""
    trains_dense: ClassVar[bool] = False
    """Whether the forward pass uses the masked weights while all weights keep training (straight-through)."""
    keeps_dense_state: ClassVar[bool] = False
    """Whether the optimizer sees the gradient of inactive weights too and keeps its state of them."""

    @abstractmethod
    def start(self, masked: MaskedLayers) -> None:
        """Set the first mask of every layer.

        All weights are in place, and `MaskedLayers.probe` gives model and data to algorithms that look first.
        """

    @classmethod
    def why_not_frozen(cls) -> str | None:
        """Return why the mask cannot be frozen, as the end of a sentence; None where it can."""
        return None if cls.dynamic else f"the mask of algorithm {cls.name!r} does not change while it trains"

    def reads_dense_gradient(self, step: int, total_steps: int) -> bool:
        """Return whether the rule needs the gradient of inactive weights too, at this step.

        Parameters
        ----------
        step
            Number of the step, the first is 1.
        total_steps
            Length of training in steps.
        """
        del step, total_steps
        return self.trains_dense

    def replace_step(self, masked: MaskedLayers) -> bool:
        """Change the masks instead of taking an optimizer step; return whether that was done.

        Called before the optimizer steps, with dense gradients in place where `reads_dense_gradient` asked
        for them.
        """
        del masked
        return False

    def expose(self, masked: MaskedLayers) -> None:
        """Put what trains behind the masks into the parameters, before the optimizer steps (`trains_dense`)."""
        torch._foreach_copy_([p.detach() for p in masked.parameters()], masked.dense_weights())

    def conceal(self, masked: MaskedLayers) -> None:
        """Take it out again after the step; the masks are applied to what is in the parameters then."""
        torch._foreach_copy_(masked.dense_weights(), [p.detach() for p in masked.parameters()])

    def after_step(self, masked: MaskedLayers) -> None:
        """Change the masks after an optimizer step, which `MaskedLayers.step` does not count yet."""
        del masked

    def level_counts(self, size: int, target: int) -> list[int]:
        """Return the number of active weights at each level of an iterated method.

        Parameters
        ----------
        size
            Number of weights in the layers that are pruned.
        target
            How many of them are active in the end.

        Returns
        -------
        list of int
            One entry a level; a single level for methods that train once.
        """
        del size
        return [target]

    def rewind_step(self, steps_per_epoch: int) -> int:
        """Return the step from which every level after the first starts again."""
        del steps_per_epoch
        return 0
