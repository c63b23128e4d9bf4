"""The weights of a model under their masks: what algorithms change."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.budgets import global_count, layer_counts
from masktools_train.seeding import generator
from masktools_train.selection import top_k_mask

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["MaskedLayers", "SparseLayer", "prunable_weights"]


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that sparse training prunes: of every linear and convolutional module, by name.

    The linear layers inside attention are layers, also where the module holds their weights itself, packed into one. A
    weight that several modules share appears once, under its first name.
    """
    found: dict[str, nn.Parameter] = {}
    for prefix, module in model.named_modules():
        for kinds, names in _PRUNABLE:
            for name in names if isinstance(module, kinds) else ():
                weight = getattr(module, name)
                if isinstance(weight, nn.Parameter) and not any(weight is known for known in found.values()):
                    found[f"{prefix}.{name}" if prefix else name] = weight
    return found


_PRUNABLE: tuple[tuple[tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    ((nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d), ("weight",)),
    ((nn.MultiheadAttention,), ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")),
)
"""Modules that hold weights to prune, and the names of these."""


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


class MaskedLayers:
    """The layers of a model, each with its mask, and the optimizer state that belongs to them.

    Parameters
    ----------
    model
        Any module.
    density
        Share of weights to keep, ``0 < density <= 1``.
    distribution
        How the density is spread over the layers: ``uniform``, ``erk``, or ``global`` where layers compete.
    total_steps
        Planned number of optimizer steps.
    seed
        Seed of random masks.
    dense_layers
        Names of weights that stay dense; they do not count against the density.

    Attributes
    ----------
    layers
        The layers, in network order; every mask is full at first.
    initial
        Copies of the weights (on the CPU) from before the first mask.
    target
        Number of weights that are active in the end.
    step
        Number of finished steps.

    Raises
    ------
    RecipeError
        If an option does not fit the model; the message names it.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        density: float,
        distribution: str,
        total_steps: int,
        seed: int,
        dense_layers: Collection[str],
    ) -> None:
        self.density = density
        self.distribution = distribution
        self.total_steps = total_steps
        self.seed = seed
        self.step = 0
        self.optimizer: Optimizer | None = None
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

    def adopt(self, masks: Mapping[str, Tensor]) -> None:
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
        self.clear_state(layer, survivors)

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

    def clear_state(self, layer: SparseLayer, keep: Tensor) -> None:
        """Set optimizer state of the parameter's shape to 0 where `keep` is 0."""
        if self.optimizer is None:
            return
        for value in self.optimizer.state.get(layer.parameter, {}).values():
            if isinstance(value, Tensor) and value.shape == layer.parameter.shape:
                value.mul_(keep)

    def parameters(self) -> list[nn.Parameter]:
        """Return the weights."""
        return [layer.parameter for layer in self.layers]

    def dense_weights(self) -> list[Tensor]:
        """Return what trains behind the masks, where anything does."""
        return [layer.dense for layer in self.layers if layer.dense is not None]

    def apply_masks(self) -> None:
        """Set every inactive weight to 0."""
        torch._foreach_mul_([p.detach() for p in self.parameters()], [layer.mask for layer in self.layers])

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
