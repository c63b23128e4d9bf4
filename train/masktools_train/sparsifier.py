"""Keep the weights of any module sparse while any optimizer trains them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm
from masktools_train.layer_state import load_layers, mask_copy, mask_gradients, saved_layers
from masktools_train.model_weights import refuse_computed
from masktools_train.probe import Batch, Loss
from masktools_train.sharding import refuse_sharded_model, refuse_sharded_optimizer
from masktools_train.sparse_steps import SparseSteps
from masktools_train.step_hooks import StepHooks, innermost
from masktools_train.wrapping import unwrapped

__all__ = ["Sparsifier"]


class Sparsifier(SparseSteps):
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
        pruned; everything else trains as before. Each process has to hold all of it, as it does not under FSDP.
    optimizer
        Any optimizer over (at least) those weights that evaluates a closure at most once in a step, with all of its
        state in this process.
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
    freeze_step
        Number of steps after which the masks stay as they are, for dynamic algorithms; None is never.
    masks
        Boolean masks of all layers to start from, in place of the algorithm's own first ones.
    execution
        How linear layers compute on a CPU: ``masked`` as dense ones, truly ``sparse``, or ``auto``, whichever a short
        measurement finds faster. Results are equal to rounding.
    layer_densities
        Densities of single layers, by name; they do not count against the density either.
    steps_per_epoch
        Length of an epoch in steps, for algorithms that count in epochs (SET, SNFS).
    batches
        Training data, pairs of inputs and targets on the device, for algorithms that look at it before they prune: SNIP
        takes the first batch, GraSP the first examples of every class, SynFlow only the shape of an input.
    loss
        Loss of outputs and targets for these, a mean over the batch; cross-entropy when None.

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
        refuse_sharded_model(model)
        model = unwrapped(model)
        refuse_computed(model)
        super().__init__(
            model,
            algorithm,
            execution=execution,
            distribution=distribution,
            freeze_step=freeze_step,
            density=density,
            total_steps=total_steps,
            seed=seed,
            dense_layers=dense_layers,
            layer_densities=layer_densities,
            steps_per_epoch=steps_per_epoch,
            batches=batches,
            loss=loss,
        )
        self._hooks: StepHooks | None = None
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
        optimizer = innermost(optimizer)
        refuse_sharded_optimizer(optimizer)
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [layer.name for layer in self.layers if id(layer.parameter) not in known]
        if missing:
            raise RecipeError(f"the optimizer does not train {missing[0]!r}")
        self.detach()
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
