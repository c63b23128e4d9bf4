"""Keep the weights of any module sparse while any optimizer trains them."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm
from masktools_train.budgets import global_count, layer_counts
from masktools_train.execution.active_gradient import restrict_gradient, restrictable
from masktools_train.seeding import generator
from masktools_train.selection import top_k_mask

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

__all__ = ["SparseLayer", "Sparsifier", "prunable_weights"]


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that sparse training prunes: of every linear and convolutional module, by name.

    A weight that several modules share appears once, under its first name.
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    found: dict[str, nn.Parameter] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, kinds) and isinstance(module.weight, nn.Parameter):
            name = f"{prefix}.weight" if prefix else "weight"
            if not any(module.weight is known for known in found.values()):
                found[name] = module.weight
    return found


@dataclasses.dataclass(eq=False)
class SparseLayer:
    """One weight under a mask.

    Parameters
    ----------
    name
        Name of the parameter in the model.
    parameter
        The parameter; it always holds the *effective* weight, 0 wherever the mask is 0.
    mask
        0 or 1 in the parameter's dtype and on its device: fused element-wise products want one dtype.
    known_count
        Number of active weights where it is known without asking the device, else None.
    prunable
        False for a layer that stays dense by choice.
    dense
        All weights, where they keep training behind the mask; else None.
    """

    name: str
    parameter: nn.Parameter
    mask: Tensor
    known_count: int | None
    prunable: bool = True
    dense: Tensor | None = None

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.parameter.numel()

    @property
    def count(self) -> int:
        """Number of active weights; waits for the device only where layers compete for a common count."""
        if self.known_count is None:
            self.known_count = int(self.mask.sum(dtype=torch.float64))
        return self.known_count

    @property
    def dense_values(self) -> Tensor:
        """The trained values of all weights: the dense ones where they are kept, else the parameter."""
        return self.parameter.detach() if self.dense is None else self.dense


class Sparsifier:
    """Makes training sparse by hooks on the optimizer: construct it, then train as before.

    >>> optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)  # doctest: +SKIP
    >>> sparsifier = Sparsifier(model, optimizer, RigL(), density=0.1, total_steps=10_000)  # doctest: +SKIP

    After every ``optimizer.step()`` each masked weight, and each optimizer state of its shape, is exactly 0
    where the mask is. Algorithms that train dense weights behind the mask (DNW) swap them in for the step and
    out again, so that the module itself always holds the effective weights: evaluation, checkpoints and
    gradients see nothing else. Nothing in a step waits for the device.

    Parameters
    ----------
    model
        Any module. Its linear and convolutional weights are pruned; everything else trains as before.
    optimizer
        Any optimizer over (at least) those weights.
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
        Names of weights that stay dense; they do not count against the density.
    freeze_step
        Number of steps after which the masks stay as they are, for dynamic algorithms; None is never.
    masks
        Boolean masks of all layers to start from, in place of the algorithm's own first ones.

    Attributes
    ----------
    initial
        Copies of the weights (on the CPU) from before the first mask.
    step
        Number of finished steps.
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
    ) -> None:
        self.algorithm = algorithm
        self._model = model
        self.distribution = _distribution(algorithm, distribution)
        self.density = density
        self.total_steps = total_steps
        self.seed = seed
        self.freeze_step = freeze_step
        self.step = 0
        self.dense_gradient_steps = 0
        self._handles: list[RemovableHandle] = []
        if freeze_step is not None and not algorithm.dynamic:
            raise RecipeError(f"freeze: the mask of algorithm {algorithm.name!r} does not change while it trains")
        weights = prunable_weights(model)
        if not weights:
            raise RecipeError("the model has no linear or convolutional weight to prune")
        unknown = sorted(set(dense_layers) - set(weights))
        if unknown:
            raise RecipeError(f"dense layer {unknown[0]!r} is no layer; layers are {', '.join(weights)}")
        self.initial = {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}
        self.layers = [
            SparseLayer(name, weight, torch.ones_like(weight), weight.numel(), name not in dense_layers)
            for name, weight in weights.items()
        ]
        self.target = self._plan(dense_layers)
        self.attach(optimizer)
        if algorithm.trains_dense and freeze_step != 0:
            for layer in self.layers:
                layer.dense = layer.parameter.detach().clone()
        with torch.no_grad():
            if masks is None:
                algorithm.start(self)
            else:
                self._start_from(masks)
            self._apply_masks()
        if freeze_step == 0:
            self._freeze()

    def _plan(self, dense_layers: Collection[str]) -> int:
        """Set the count of every layer and return how many weights are active in the end."""
        shapes = {layer.name: tuple(layer.parameter.shape) for layer in self.layers}
        if self.distribution == "global":
            free = {name: shape for name, shape in shapes.items() if name not in dense_layers}
            fixed = sum(layer.size for layer in self.layers if not layer.prunable)
            return fixed + global_count(free, self.density)
        counts = layer_counts(shapes, self.density, self.distribution, tuple(dense_layers))
        for layer in self.layers:
            layer.known_count = counts[layer.name]
        return sum(counts.values())

    def _start_from(self, masks: Mapping[str, Tensor]) -> None:
        """Set given masks; the layers are still dense, so every active weight keeps its initial value."""
        names = [layer.name for layer in self.layers]
        odd = sorted(set(names) ^ set(masks))
        if odd:
            raise RecipeError(f"layer {odd[0]!r} is {'not in the model' if odd[0] in masks else 'without a mask'}")
        for layer in self.layers:
            mask = masks[layer.name]
            if mask.shape != layer.parameter.shape or mask.dtype != torch.bool:
                raise RecipeError(
                    f"layer {layer.name!r}: {mask.dtype} mask {tuple(mask.shape)} does not fit "
                    f"weight {tuple(layer.parameter.shape)}"
                )
            self.set_mask(layer, mask.to(layer.mask.device), int(mask.sum()))

    # -- the optimizer step -------------------------------------------------------------------------------

    def attach(self, optimizer: Optimizer, step: int = 0) -> None:
        """Go on with another optimizer, as if `step` steps were done; the masks stay.

        Raises
        ------
        RecipeError
            If the optimizer does not train all the layers.
        """
        self.detach()
        known = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [layer.name for layer in self.layers if id(layer.parameter) not in known]
        if missing:
            raise RecipeError(f"the optimizer does not train {missing[0]!r}")
        self.optimizer = optimizer
        self.step = step
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]
        with torch.no_grad():
            self._apply_masks()

    def detach(self) -> None:
        """Remove the hooks: the weights stay sparse until something else changes them."""
        while self._handles:
            self._handles.pop().remove()

    @property
    def frozen(self) -> bool:
        """Whether the masks do not change any more."""
        return not self.algorithm.dynamic or (self.freeze_step is not None and self.step >= self.freeze_step)

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        if kwargs.get("closure") is not None or any(argument is not None for argument in args[1:]):
            raise RecipeError("optimizer.step(closure) cannot be kept sparse: call backward first, then step()")
        number = self.step + 1
        if not self.frozen:
            self.dense_gradient_steps += self.algorithm.reads_dense_gradient(number, self.total_steps)
            if self.algorithm.replace_step(self):
                # Without gradients the optimizer skips every parameter: the update stands in for the step.
                optimizer.zero_grad(set_to_none=True)
                return
            if self.algorithm.trains_dense:
                torch._foreach_copy_([p.detach() for p in self._parameters()], self._dense())
                return
        elif all(layer.count == layer.size for layer in self.layers):
            self.dense_gradient_steps += 1
        pairs = [(layer.parameter.grad, layer.mask) for layer in self.layers if layer.parameter.grad is not None]
        if pairs:
            torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        del optimizer, args, kwargs
        if not self.frozen:
            if self.algorithm.trains_dense:
                torch._foreach_copy_(self._dense(), [p.detach() for p in self._parameters()])
            self.algorithm.after_step(self)
        self.step += 1
        if self.freeze_step == self.step:
            self._freeze()
        self._apply_masks()

    def _parameters(self) -> list[nn.Parameter]:
        return [layer.parameter for layer in self.layers]

    def _dense(self) -> list[Tensor]:
        return [layer.dense for layer in self.layers if layer.dense is not None]

    def _apply_masks(self) -> None:
        torch._foreach_mul_([p.detach() for p in self._parameters()], [layer.mask for layer in self.layers])

    def _freeze(self) -> None:
        """Fix the masks: from here on no gradient of an inactive weight is of any use."""
        for layer in self.layers:
            # What trained behind the mask is given up with its optimizer state.
            layer.dense = None
            self._clear_state(layer, layer.mask)
            for module in self._model.modules():
                if isinstance(module, nn.Linear) and module.weight is layer.parameter and restrictable(module):
                    restrict_gradient(module, layer.mask)

    def _clear_state(self, layer: SparseLayer, keep: Tensor) -> None:
        """Set optimizer state of the parameter's shape to 0 where `keep` is 0."""
        for value in self.optimizer.state.get(layer.parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == layer.parameter.shape:
                value.mul_(keep)

    # -- what algorithms use ------------------------------------------------------------------------------

    def set_mask(self, layer: SparseLayer, mask: Tensor, count: int | None) -> None:
        """Give a layer a new mask.

        Weights that were not active before start at 0 with cleared optimizer state, unless they trained
        behind the mask all along.

        Parameters
        ----------
        layer
            One of `layers`.
        mask
            Boolean, shape of the weight, on its device.
        count
            Number of true entries; None where only the device knows.
        """
        layer.known_count = count
        if layer.dense is not None:
            layer.mask.copy_(mask)
            return
        survivors = layer.mask * mask
        layer.mask.copy_(mask)
        layer.parameter.detach().mul_(survivors)
        self._clear_state(layer, survivors)

    def draw_random_masks(self) -> None:
        """Give every layer a uniformly random mask of its count; the same on every device."""
        for index, layer in enumerate(self.layers):
            scores = torch.randperm(layer.size, generator=generator("cpu", self.seed, "mask", index))
            mask = (scores < layer.count).view(layer.parameter.shape)
            self.set_mask(layer, mask.to(layer.mask.device), layer.count)

    @torch.no_grad()
    def keep_largest_globally(self, count: int) -> None:
        """Keep the `count` weights of largest magnitude over all layers; dense layers keep all of theirs.

        Where weights do not train behind their mask, only active ones can be kept.
        """
        free = [layer for layer in self.layers if layer.prunable]
        count -= sum(layer.size for layer in self.layers if not layer.prunable)
        scores = [
            layer.dense_values.abs()
            if layer.dense is not None
            else torch.where(layer.mask.bool(), layer.parameter.detach().abs(), -1.0)
            for layer in free
        ]
        kept = top_k_mask(torch.cat([score.reshape(-1) for score in scores]), count)
        parts = torch.split(kept, [layer.size for layer in free])
        for layer, part in zip(free, parts, strict=True):
            self.set_mask(layer, part.view(layer.parameter.shape), None)

    # -- what can be asked --------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Number of active weights over all layers."""
        return sum(layer.count for layer in self.layers)

    @property
    def size(self) -> int:
        """Number of weights over all layers."""
        return sum(layer.size for layer in self.layers)

    def masks(self) -> dict[str, Tensor]:
        """Return the masks as booleans, by name."""
        return {layer.name: layer.mask.bool() for layer in self.layers}

    # -- stopping and going on ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, for `load_state_dict`."""
        return {
            "step": self.step,
            "dense_gradient_steps": self.dense_gradient_steps,
            "masks": self.masks(),
            "dense": {layer.name: layer.dense for layer in self.layers if layer.dense is not None},
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned, for the same model and options."""
        self.step = state["step"]
        self.dense_gradient_steps = state["dense_gradient_steps"]
        for layer in self.layers:
            layer.mask.copy_(state["masks"][layer.name])
            layer.known_count = None
            dense = state["dense"].get(layer.name)
            layer.dense = None if dense is None else dense.to(layer.mask.device, copy=True)
        if self.algorithm.dynamic and self.frozen:
            self._freeze()


def _distribution(algorithm: Algorithm, distribution: str | None) -> str:
    choices = algorithm.distributions
    if distribution is None:
        return algorithm.distributions[0]
    if distribution not in choices:
        raise RecipeError(f"distribution {distribution!r} does not go with {algorithm.name}; use {', '.join(choices)}")
    return distribution
