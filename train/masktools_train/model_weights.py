"""The weights of a model as it holds them, with the masks that torch's own pruning or a parametrization gives them."""

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from masktools.errors import RecipeError
from masktools_train.evaluation_mode import evaluating
from masktools_train.sparse_layer import prunable_names
from masktools_train.wrapping import plain_name

__all__ = ["ModelWeight", "ModelWeights", "model_weights", "refuse_computed"]


@dataclasses.dataclass(frozen=True, eq=False)
class ModelWeight:
    """A weight.

    Parameters
    ----------
    values
        All of them, those behind a mask included.
    mask
        Non-zero where active, shape of the values; None where the model has none.
    computed
        What makes the weight in every pass, where nothing says which part of it is active; else None.
    """

    values: Tensor
    mask: Tensor | None = None
    computed: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class ModelWeights:
    """What a model holds.

    Parameters
    ----------
    layers
        Weights of linear and convolutional modules, and what else of two axes or more is under a mask; in network
        order, each under the name that it has in the model without masks.
    others
        All other parameters and buffers, under such names; those under a mask as they are used.
    """

    layers: dict[str, ModelWeight]
    others: dict[str, Tensor]


@torch.no_grad()
def model_weights(model: nn.Module) -> ModelWeights:
    """Find the weights of a model and their masks.

    Masks are known of `torch.nn.utils.prune` (``weight_orig`` and ``weight_mask``) and of parametrizations with a
    tensor ``mask`` of the weight's shape. A weight that several modules share appears once, under its first name.

    Parameters
    ----------
    model
        As it is, not within a wrapper.
    """
    layers: dict[str, ModelWeight] = {}
    used: dict[str, Tensor] = {}
    parts: set[int] = set()
    for prefix, module in model.named_modules():
        for name, weight, made_of in _weights(module):
            full = plain_name(f"{prefix}.{name}" if prefix else name)
            known = made_of and all(id(part) in parts for part in made_of)
            parts.update(map(id, made_of))
            if known:
                continue
            if name in prunable_names(module) or (weight.mask is not None and weight.values.ndim > 1):
                layers[full] = weight
            else:
                used[full] = weight.values if weight.mask is None else weight.values * weight.mask
    state = model.state_dict(keep_vars=True)
    others = {
        plain_name(name): value for name, value in state.items() if isinstance(value, Tensor) and id(value) not in parts
    }
    return ModelWeights(layers, {**others, **used})


def refuse_computed(model: nn.Module) -> None:
    """Check that no weight to prune is under a mask of others already, or made anew in every pass.

    Raises
    ------
    RecipeError
        If one is; the message names it.
    """
    for prefix, module in model.named_modules():
        for name in prunable_names(module):
            weight = getattr(module, name)
            if isinstance(weight, Tensor) and not isinstance(weight, nn.Parameter):
                full = plain_name(f"{prefix}.{name}" if prefix else name)
                raise RecipeError(
                    f"weight {full!r} is no parameter but made of others (torch.nn.utils.prune, a parametrization): "
                    "remove that first"
                )


def _weights(module: nn.Module) -> Iterator[tuple[str, ModelWeight, tuple[Tensor, ...]]]:
    """Yield name, weight and the parameters and buffers it is made of, of one module by itself."""
    parameters = dict(module.named_parameters(recurse=False))
    buffers = dict(module.named_buffers(recurse=False))
    masked = {
        name.removesuffix("_orig"): (values, buffers[f"{name.removesuffix('_orig')}_mask"])
        for name, values in parameters.items()
        if name.endswith("_orig") and f"{name.removesuffix('_orig')}_mask" in buffers
    }
    made: dict[str, nn.Module] = {}
    if parametrize.is_parametrized(module):
        made = dict(dict(module.named_children())["parametrizations"].named_children())
    for name in dict.fromkeys([*prunable_names(module), *masked, *made]):
        if name in masked:
            yield name, ModelWeight(*masked[name]), masked[name]
        elif name in made:
            yield name, _parametrized(module, name, made[name]), tuple(made[name].state_dict(keep_vars=True).values())
        else:
            weight = getattr(module, name)
            if isinstance(weight, nn.Parameter):
                yield name, ModelWeight(weight), (weight,)
            elif isinstance(weight, Tensor):
                yield name, ModelWeight(weight, None, "a hook"), ()


def _parametrized(module: nn.Module, name: str, steps: nn.Module) -> ModelWeight:
    """Return a weight that parametrizations make, each of the last."""
    with evaluating(steps):  # some change their state in every pass of training
        weight: Tensor = getattr(module, name)
    kinds = list(steps.children())
    found = [getattr(kind, "mask", None) for kind in kinds]
    masks = [mask for mask in found if isinstance(mask, Tensor) and mask.shape == weight.shape]
    if not masks:
        return ModelWeight(weight, None, f"parametrization {type(kinds[-1]).__name__}")
    mask = torch.stack([mask != 0 for mask in masks]).all(0)
    original = getattr(steps, "original", None)
    # What else a chain does to the weight has to be in the values, and hides what is behind the mask.
    plain = isinstance(original, Tensor) and original.shape == weight.shape and len(masks) == len(kinds)
    return ModelWeight(original if plain and isinstance(original, Tensor) else weight, mask)
