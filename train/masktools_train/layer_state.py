"""What is done to all layers at once from outside a step: gradients, copies of the model, saved states."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from masktools.errors import RecipeError
from masktools_train.sparse_layer import SparseLayer, prunable_weights
from masktools_train.wrapping import unwrapped

__all__ = ["load_layers", "mask_copy", "mask_gradients", "saved_layers"]


def mask_gradients(layers: Sequence[SparseLayer], known: Collection[SparseLayer] = ()) -> None:
    """Set the gradient of every inactive weight to 0; in the layers `known` it is already."""
    pairs = [
        (layer.parameter.grad, layer.mask)
        for layer in layers
        if layer.parameter.grad is not None and layer not in known
    ]
    if pairs:
        torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])


def mask_copy(layers: Sequence[SparseLayer], model: nn.Module) -> None:
    """Multiply the weights of the same names in another model by the masks.

    Raises
    ------
    RecipeError
        If a layer is not in it; nothing is changed then.
    """
    theirs = prunable_weights(unwrapped(model))
    for layer in layers:
        if layer.name not in theirs or theirs[layer.name].shape != layer.mask.shape:
            raise RecipeError(f"the other model has no weight {layer.name!r} of shape {tuple(layer.mask.shape)}")
    for layer in layers:
        weight = theirs[layer.name].detach()
        weight.mul_(layer.mask.to(weight.device, weight.dtype))


def saved_layers(layers: Sequence[SparseLayer]) -> dict[str, Any]:
    """Return everything of the layers that changes, for `load_layers`."""
    return {
        "masks": {layer.name: layer.mask.bool() for layer in layers},
        "dense": {layer.name: layer.dense for layer in layers if layer.dense is not None},
        "scores": {layer.name: layer.scores for layer in layers if layer.scores is not None},
    }


def load_layers(layers: Sequence[SparseLayer], state: Mapping[str, Any]) -> None:
    """Take up what `saved_layers` returned.

    Raises
    ------
    RecipeError
        If the state is of other layers; nothing is changed then.
    """
    for layer in layers:
        mask = state["masks"].get(layer.name)
        if mask is None or mask.shape != layer.mask.shape:
            raise RecipeError(f"layer {layer.name!r} is another one, or none, in the state that is loaded")
    for layer in layers:
        layer.mask.copy_(state["masks"][layer.name])
        layer.known_count = None
        dense = state["dense"].get(layer.name)
        layer.dense = None if dense is None else dense.to(layer.mask.device, copy=True)
        scores = state.get("scores", {}).get(layer.name)
        layer.scores = None if scores is None else scores.to(layer.mask.device, copy=True)
