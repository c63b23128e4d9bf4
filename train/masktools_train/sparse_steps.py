"""What is done to the layers around every step of the optimizer."""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from masktools.errors import RecipeError
from masktools_train.execution.active_gradient import restrict_gradient, restrictable
from masktools_train.execution.compact_step import steps_elementwise
from masktools_train.execution.execution import Execution
from masktools_train.layer_state import mask_gradients
from masktools_train.masked_layers import MaskedLayers
from masktools_train.sparse_layer import SparseLayer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from masktools_train.algorithms.base import Algorithm

__all__ = ["SparseSteps"]


class SparseSteps(MaskedLayers):
    """Layers whose rule is followed step by step; it leaves to others when a step begins and ends.

    Parameters
    ----------
    model
        Any module.
    algorithm
        The rule, with its options.
    execution
        How linear layers compute on a CPU: ``masked``, ``sparse`` or ``auto``.
    distribution
        How the density is spread over the layers; the algorithm's default when None.
    freeze_step
        Number of steps after which the masks stay as they are; None is never.
    options
        As for `MaskedLayers`.

    Attributes
    ----------
    algorithm
        The rule.
    execution
        How the layers compute.
    freeze_step
        After how many steps the masks are frozen, or were.
    dense_gradient_steps
        Number of finished steps that needed the gradient of inactive weights.

    Raises
    ------
    RecipeError
        If an option does not fit the model or the algorithm; the message names it.
    """

    def __init__(
        self,
        model: nn.Module,
        algorithm: "Algorithm",
        *,
        execution: str,
        distribution: str | None,
        freeze_step: int | None,
        **options: Any,
    ) -> None:
        super().__init__(model, distribution=_distribution(algorithm, distribution), **options)
        self.algorithm = algorithm
        self.freeze_step = freeze_step
        self.dense_gradient_steps = 0
        self._model = model
        self._restricted: list[nn.Linear] = []
        self._compact: list[SparseLayer] = []
        self._state_is_dense = False
        self.execution = Execution(execution, model, self.layers)

    @property
    def selects_every_step(self) -> bool:
        """Whether the masks are selected anew at every step."""
        return self.algorithm.trains_dense and not self.frozen

    @property
    def frozen(self) -> bool:
        """Whether the masks do not change any more."""
        return not self.algorithm.dynamic or (self.freeze_step is not None and self.step >= self.freeze_step)

    @staticmethod
    def _require_freezing(algorithm: "Algorithm") -> None:
        reason = algorithm.why_not_frozen()
        if reason is not None:
            raise RecipeError(f"freeze: {reason}")

    def _prepare(self) -> None:
        """Tell the layers what the next step asks of them."""
        dense = not self.frozen and self.algorithm.reads_dense_gradient(self.step + 1, self.total_steps)
        self.execution.prepare(self.frozen or not self.algorithm.trains_dense, dense)

    def _follow(self) -> None:
        for layer in self.layers:
            layer.follow()

    def _begin_step(self, optimizer: "Optimizer") -> None:
        self._follow()
        number = self.step + 1
        self._compact = []
        if not self.frozen:
            self.dense_gradient_steps += self.algorithm.reads_dense_gradient(number, self.total_steps)
            if self.algorithm.reads_dense_gradient(number, self.total_steps):
                self.execution.settle(optimizer)
            if self.algorithm.replace_step(self):
                # Without gradients the optimizer skips every parameter: the update stands in for the step.
                optimizer.zero_grad(set_to_none=True)
                return
            if self.algorithm.trains_dense:
                self.algorithm.expose(self)
                return
            if self.algorithm.keeps_dense_state:
                return
        elif all(layer.count == layer.size for layer in self.layers):
            self.dense_gradient_steps += 1
        self._compact = self.execution.begin(optimizer)
        self._state_is_dense = True
        if steps_elementwise(optimizer):
            # What the optimizer makes of an inactive weight is gone after the step, and its state when it grows: to
            # multiply the gradients too would double what masking costs.
            return
        mask_gradients(self.layers, self._compact)

    def _end_step(self, optimizer: "Optimizer") -> None:
        self.execution.end(optimizer)
        if not self.frozen:
            if self.algorithm.trains_dense:
                self.algorithm.conceal(self)
            self.algorithm.after_step(self)
        self.step += 1
        if self.freeze_step == self.step:
            self._freeze()
        self.apply_masks(self._compact)
        self._prepare()

    @torch.no_grad()
    def _abandon_step(self, optimizer: "Optimizer") -> None:
        """Take back what was prepared for a step that does not come about."""
        self.execution.end(optimizer)
        if not self.frozen and self.algorithm.trains_dense:
            self.algorithm.conceal(self)
        self.apply_masks()

    @torch.no_grad()
    def _settle(self, optimizer: "Optimizer") -> None:
        """Make the optimizer's state what it says it is: in the shape of the weights, and 0 where the mask is."""
        self.execution.settle(optimizer)
        kept_up = self.algorithm.trains_dense or self.algorithm.keeps_dense_state
        if self._state_is_dense and (self.frozen or not kept_up):
            for layer in self.layers:
                self.clear_state(layer, layer.mask)
            self._state_is_dense = False

    def _freeze(self) -> None:
        """Fix the masks: from here on no gradient of an inactive weight is of any use."""
        for layer in self.layers:
            # What trained behind the mask is given up with its optimizer state.
            layer.dense = None
            self.clear_state(layer, layer.mask)
            for module in self._model.modules():
                if not isinstance(module, nn.Linear) or module.weight is not layer.parameter:
                    continue
                if restrictable(module) and not self.execution.covers(layer):
                    restrict_gradient(module, layer.mask)
                    self._restricted.append(module)

    def clear_state(self, layer: SparseLayer, keep: "Tensor") -> None:
        """Set optimizer state of the parameter's shape to 0 where `keep` is 0."""
        if self.optimizer is not None:
            self.execution.settle(self.optimizer, layer)
        super().clear_state(layer, keep)

    def _thaw(self) -> None:
        """Let frozen layers compute all gradients again."""
        while self._restricted:
            del self._restricted.pop().forward


def _distribution(algorithm: "Algorithm", distribution: str | None) -> str:
    choices = algorithm.distributions
    if distribution is None:
        return algorithm.distributions[0]
    if distribution not in choices:
        raise RecipeError(f"distribution {distribution!r} does not go with {algorithm.name}; use {', '.join(choices)}")
    return distribution
