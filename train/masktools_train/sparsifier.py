"""Keep the weights of any module sparse while any optimizer trains them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm
from masktools_train.execution.active_gradient import restrict_gradient, restrictable
from masktools_train.execution.compact_step import steps_elementwise
from masktools_train.execution.execution import Execution
from masktools_train.layer_state import load_layers, mask_copy, mask_gradients, saved_layers
from masktools_train.masked_layers import MaskedLayers, SparseLayer
from masktools_train.model_weights import refuse_computed
from masktools_train.probe import Batch, Loss
from masktools_train.step_hooks import StepHooks, innermost
from masktools_train.wrapping import unwrapped

__all__ = ["Sparsifier"]


class Sparsifier(MaskedLayers):
    """Makes training sparse by hooks on the optimizer: construct it, then train as before.

    >>> optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)  # doctest: +SKIP
    >>> sparsifier = Sparsifier(model, optimizer, RigL(), density=0.1, total_steps=10_000)  # doctest: +SKIP

    After every ``optimizer.step()`` each masked weight is exactly 0 where the mask is; so is, in
    ``optimizer.state_dict()``, each optimizer state of its shape. Algorithms that train dense weights behind the mask
    (DNW) swap them in for the step and out again, so that the module itself always holds the effective weights:
    evaluation and checkpoints see nothing else. Nothing in a step waits for the device. A step is what the optimizer
    takes: micro-batches whose gradients accumulate, and steps that a gradient scaler skips, are none.

    Parameters
    ----------
    model
        Any module, wrapped (`torch.compile`, DistributedDataParallel) or not. Its linear and convolutional weights are
        pruned; everything else trains as before.
    optimizer
        Any optimizer over (at least) those weights that evaluates a closure at most once in a step.
    algorithm
        The rule, with its options.
    density
        Share of weights to keep, ``0 < density <= 1``.
    total_steps
        Planned number of optimizer steps.
    distribution
        How the density is spread over the layers; the algorithm's default when None.
    seed
        Seed of random masks.
    dense_layers
        Names of weights that stay dense; they do not count against the density. ``first`` and ``last`` are names too.
    layer_densities
        Densities of single layers, by name; they do not count against the density either.
    freeze_step
        Number of steps after which the masks stay as they are, for dynamic algorithms; None is never.
    masks
        Boolean masks of all layers to start from, in place of the algorithm's own first ones.
    steps_per_epoch
        Length of an epoch in steps, for algorithms that count in epochs (SET, SNFS).
    batches
        Training data, pairs of inputs and targets on the device, for algorithms that look at it before they prune: SNIP
        takes the first batch, GraSP the first examples of every class, SynFlow only the shape of an input.
    loss
        Loss of outputs and targets for these, a mean over the batch; cross-entropy when None.
    execution
        How linear layers compute on a CPU: ``masked`` as dense ones, truly ``sparse``, or ``auto``, whichever a short
        measurement finds faster. Results are equal to rounding.

    Attributes
    ----------
    execution
        How the layers compute.
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
        optimizer: Optimizer,
        algorithm: Algorithm,
        *,
        density: float,
        total_steps: int,
        distribution: str | None = None,
        seed: int = 0,
        dense_layers: Collection[str] = (),
        freeze_step: int | None = None,
        masks: Mapping[str, Tensor] | None = None,
        execution: str = "masked",
        layer_densities: Mapping[str, float] | None = None,
        steps_per_epoch: int | None = None,
        batches: Iterable[Batch] | None = None,
        loss: Loss | None = None,
    ) -> None:
        if freeze_step is not None:
            self._require_freezing(algorithm)
        model = unwrapped(model)
        refuse_computed(model)
        super().__init__(
            model,
            density=density,
            distribution=_distribution(algorithm, distribution),
            total_steps=total_steps,
            seed=seed,
            dense_layers=dense_layers,
            layer_densities=layer_densities,
            steps_per_epoch=steps_per_epoch,
            batches=batches,
            loss=loss,
        )
        self.algorithm = algorithm
        self.freeze_step = freeze_step
        self.dense_gradient_steps = 0
        self._model = model
        self._hooks: StepHooks | None = None
        self._restricted: list[nn.Linear] = []
        self._compact: list[SparseLayer] = []
        self._state_is_dense = False
        self.execution = Execution(execution, model, self.layers)
        self.attach(optimizer)
        # Whoever looks at the network first sees it dense, and differentiates it twice.
        self.execution.prepare(possible=False, dense_gradient=False)
        with torch.no_grad():
            if masks is None:
                algorithm.start(self)
            else:
                self.adopt(masks)
            self.apply_masks()
        self.probe.let_go()
        if freeze_step == 0:
            self._freeze()
        self._prepare()

    def attach(self, optimizer: Optimizer, step: int = 0) -> None:
        """Go on with another optimizer, as if `step` steps were done; the masks stay.

        Raises
        ------
        RecipeError
            If the optimizer does not train all the layers, or evaluates a closure several times in a step.
        """
        self.detach()
        optimizer = innermost(optimizer)
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [layer.name for layer in self.layers if id(layer.parameter) not in known]
        if missing:
            raise RecipeError(f"the optimizer does not train {missing[0]!r}")
        self._hooks = StepHooks(optimizer, self._begin_step, self._end_step, self._abandon_step, self._settle)
        self.optimizer = optimizer
        self.step = step
        if not self.frozen:
            self._thaw()
            if self.algorithm.trains_dense:
                for layer in self.layers:
                    layer.dense = layer.parameter.detach().clone() if layer.dense is None else layer.dense
        with torch.no_grad():
            self.apply_masks()
        self._prepare()

    def detach(self) -> None:
        """Remove the hooks: the weights stay sparse until something else changes them."""
        if self._hooks is not None:
            self._hooks.remove()
        if self.optimizer is not None:
            self._settle(self.optimizer)
        self.execution.prepare(possible=False, dense_gradient=False)

    def _prepare(self) -> None:
        """Tell the layers what the next step asks of them."""
        dense = not self.frozen and self.algorithm.reads_dense_gradient(self.step + 1, self.total_steps)
        self.execution.prepare(self.frozen or not self.algorithm.trains_dense, dense)

    @property
    def selects_every_step(self) -> bool:
        """Whether the masks are selected anew at every step."""
        return self.algorithm.trains_dense and not self.frozen

    @property
    def frozen(self) -> bool:
        """Whether the masks do not change any more."""
        return not self.algorithm.dynamic or (self.freeze_step is not None and self.step >= self.freeze_step)

    def freeze(self) -> None:
        """Keep the masks as they are from now on, as `freeze_step` does.

        Raises
        ------
        RecipeError
            If freezing makes no sense for the algorithm.
        """
        self._require_freezing(self.algorithm)
        if not self.frozen:
            self.freeze_step = self.step
            self._freeze()
            self._prepare()

    @staticmethod
    def _require_freezing(algorithm: Algorithm) -> None:
        reason = algorithm.why_not_frozen()
        if reason is not None:
            raise RecipeError(f"freeze: {reason}")

    @torch.no_grad()
    def mask_gradients(self) -> None:
        """Set the gradients of inactive weights to 0 where the coming step does not need them.

        Call it after backward (and after `GradScaler.unscale_`) and before gradients are clipped by their norm, which
        would else be the norm of gradients that are never used. Where the rule reads them at the coming step (RigL at
        an update; DNW, SNFS and edge-popup always) they stay. The step does the same by itself, so that nothing but
        what looks at gradients in between notices.
        """
        if self.frozen or not self.algorithm.reads_dense_gradient(self.step + 1, self.total_steps):
            self._follow()
            mask_gradients(self.layers)

    @torch.no_grad()
    def apply_to(self, model: nn.Module) -> None:
        """Multiply the weights of the same names in another model by the masks.

        For example in a moving average of the weights, in which what was active once is not 0.

        Parameters
        ----------
        model
            Another instance of the network, wrapped or not (`torch.optim.swa_utils.AveragedModel`).

        Raises
        ------
        RecipeError
            If a layer is not in it; nothing is changed then.
        """
        mask_copy(self.layers, model)

    def _follow(self) -> None:
        for layer in self.layers:
            layer.follow()

    def _begin_step(self, optimizer: Optimizer) -> None:
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

    def _end_step(self, optimizer: Optimizer) -> None:
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
    def _abandon_step(self, optimizer: Optimizer) -> None:
        """Take back what was prepared for a step that does not come about."""
        self.execution.end(optimizer)
        if not self.frozen and self.algorithm.trains_dense:
            self.algorithm.conceal(self)
        self.apply_masks()

    @torch.no_grad()
    def _settle(self, optimizer: Optimizer) -> None:
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

    def clear_state(self, layer: SparseLayer, keep: Tensor) -> None:
        """Set optimizer state of the parameter's shape to 0 where `keep` is 0."""
        if self.optimizer is not None:
            self.execution.settle(self.optimizer, layer)
        super().clear_state(layer, keep)

    def _thaw(self) -> None:
        """Let frozen layers compute all gradients again."""
        while self._restricted:
            del self._restricted.pop().forward

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, for `load_state_dict`."""
        return {
            "step": self.step,
            "freeze_step": self.freeze_step,
            "dense_gradient_steps": self.dense_gradient_steps,
            **saved_layers(self.layers),
            "execution": self.execution.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, for the same model and options.

        Raises
        ------
        RecipeError
            If the state is of other layers; the message names one.
        """
        load_layers(self.layers, state)
        self._thaw()
        self.step = state["step"]
        self.freeze_step = state.get("freeze_step", self.freeze_step)
        self.dense_gradient_steps = state["dense_gradient_steps"]
        if self.algorithm.dynamic and self.frozen:
            self._freeze()
        self.execution.load_state_dict(state.get("execution", {}))
        self._prepare()


def _distribution(algorithm: Algorithm, distribution: str | None) -> str:
    choices = algorithm.distributions
    if distribution is None:
        return algorithm.distributions[0]
    if distribution not in choices:
        raise RecipeError(f"distribution {distribution!r} does not go with {algorithm.name}; use {', '.join(choices)}")
    return distribution
