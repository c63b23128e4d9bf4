"""The weights of a model under their masks: what algorithms change."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.budgets import global_count, layer_counts, named_layers
from masktools_train.probe import Batch, Loss, Probe
from masktools_train.seeding import generator
from masktools_train.selection import top_k_mask
from masktools_train.sparse_layer import SparseLayer, prunable_weights

if TYPE_CHECKING:
    from torch.optim import Optimizer

__all__ = ["MaskedLayers"]


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
        Names of weights that stay dense; they do not count against the density. ``first`` and ``last`` are names too.
    layer_densities
        Densities of single layers, by name; these do not count against the density either.
    steps_per_epoch
        Length of an epoch, for algorithms that count in epochs.
    batches, loss
        Training data and loss, for algorithms that look at them first.

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
    mask_changes
        How often a layer was given a new mask.
    probe
        The model and data, for algorithms that look at them first.

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
        layer_densities: Mapping[str, float] | None = None,
        steps_per_epoch: int | None = None,
        batches: Iterable[Batch] | None = None,
        loss: Loss | None = None,
    ) -> None:
        self.density = density
        self.distribution = distribution
        self.total_steps = total_steps
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch
        self.probe = Probe(model, batches, loss, seed)
        self.step = self.mask_changes = 0
        self.optimizer: Optimizer | None = None
        weights = prunable_weights(model)
        if not weights:
            raise RecipeError("the model has no linear or convolutional weight to prune")
        dense_layers = named_layers(dense_layers, list(weights))
        own = dict(layer_densities or {})
        own = dict(zip(named_layers(own, list(weights), "layer_densities:"), own.values(), strict=True))
        self.initial = {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}
        self.layers = [
            SparseLayer(name, weight, torch.ones_like(weight), weight.numel(), name not in dense_layers)
            for name, weight in weights.items()
        ]
        self.target = self._plan(dense_layers, own)

    def _plan(self, dense_layers: Sequence[str], layer_densities: Mapping[str, float]) -> int:
        """Set the count of every layer and return how many weights are active in the end."""
        shapes = {layer.name: tuple(layer.parameter.shape) for layer in self.layers}
        if self.distribution == "global":
            if layer_densities:
                raise RecipeError("layer_densities: layers compete under the distribution 'global'; use another one")
            free = {name: shape for name, shape in shapes.items() if name not in dense_layers}
            fixed = sum(layer.size for layer in self.layers if not layer.prunable)
            return fixed + global_count(free, self.density)
        counts = layer_counts(shapes, self.density, self.distribution, dense_layers, layer_densities)
        for layer in self.layers:
            layer.known_count = layer.target = counts[layer.name]
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

    def set_mask(self, layer: SparseLayer, mask: Tensor, count: int | None, *, keep_state: bool = False) -> None:
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
        keep_state
            Leave the optimizer's state alone, where it was kept up for inactive weights too.
        """
        self.mask_changes += 1
        layer.known_count = count
        if layer.dense is not None:
            layer.mask.copy_(mask)
            return
        survivors = layer.mask * mask
        layer.mask.copy_(mask)
        layer.parameter.detach().mul_(survivors)
        if not keep_state:
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
        self.keep_highest_globally(
            [
                layer.dense_values.abs()
                if layer.dense is not None
                else torch.where(layer.mask.bool(), layer.parameter.detach().abs(), -1.0)
                for layer in self.layers
            ],
            count,
        )

    @torch.no_grad()
    def keep_highest_globally(self, scores: Sequence[Tensor], count: int) -> None:
        """Keep the `count` weights of highest score over all layers; dense layers keep all of theirs.

        Parameters
        ----------
        scores
            One tensor a layer, shape of its weight.
        count
            How many to keep, those of dense layers included.
        """
        free = [(layer, score) for layer, score in zip(self.layers, scores, strict=True) if layer.prunable]
        count -= sum(layer.size for layer in self.layers if not layer.prunable)
        kept = top_k_mask(torch.cat([score.reshape(-1) for _, score in free]), count)
        parts = torch.split(kept, [layer.size for layer, _ in free])
        for (layer, _), part in zip(free, parts, strict=True):
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

    def apply_masks(self, known: Collection[SparseLayer] = ()) -> None:
        """Set every inactive weight to 0; in the layers `known` it is already."""
        layers = [layer for layer in self.layers if layer not in known]
        if layers:
            torch._foreach_mul_([layer.parameter.detach() for layer in layers], [layer.mask for layer in layers])

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
