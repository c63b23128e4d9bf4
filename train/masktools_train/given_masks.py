"""Masks that the owner of a model gives, in words or in tensors."""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.model_weights import ModelWeight
from masktools_train.wrapping import plain_name

__all__ = ["GivenMasks", "chosen_masks"]

GivenMasks: TypeAlias = Literal["zeros"] | Mapping[str, Tensor] | Callable[[], Mapping[str, Tensor]]
"""``zeros`` takes what is not 0 for active; masks by name; or a function that returns them as they are now."""


def chosen_masks(given: GivenMasks | None, weights: Mapping[str, ModelWeight]) -> dict[str, Tensor | None]:
    """Return the mask of every layer: what is given, else what the model has; None is dense.

    Parameters
    ----------
    given
        What the owner says; None says nothing.
    weights
        The layers, by name.

    Raises
    ------
    RecipeError
        If a mask fits no layer, or nothing says which part of a weight that is made in every pass is active.
    """
    if isinstance(given, str) and given != "zeros":
        raise RecipeError(f"masks {given!r}: give 'zeros', masks by name, or a function that returns them")
    told: dict[str, Tensor] = {}
    if given is not None and not isinstance(given, str):
        told = _named(given() if callable(given) else given, weights)
    chosen: dict[str, Tensor | None] = {}
    for name, weight in weights.items():
        if name in told:
            chosen[name] = _checked(name, told[name], weight)
        elif weight.mask is not None:
            chosen[name] = _checked(name, weight.mask, weight)
        elif given == "zeros":
            chosen[name] = weight.values != 0
        elif given is None and weight.computed is not None:
            raise RecipeError(
                f"layer {name!r}: its weight is made by {weight.computed}, which has no tensor 'mask' of its shape; "
                "say with masks= what of it is active"
            )
        else:
            chosen[name] = None
    return chosen


def _named(masks: Mapping[str, Tensor], weights: Mapping[str, ModelWeight]) -> dict[str, Tensor]:
    """Return masks under the names of layers, whatever the model was wrapped in when they were named."""
    named: dict[str, Tensor] = {}
    for key, mask in masks.items():
        plain = plain_name(key)
        name = next((name for name in (plain, plain.removeprefix("module.")) if name in weights), None)
        if name is None:
            raise RecipeError(f"masks: the model has no layer {key!r}; it has {', '.join(weights)}")
        named[name] = mask
    return named


def _checked(name: str, mask: Tensor, weight: ModelWeight) -> Tensor:
    shape = tuple(weight.values.shape)
    if not isinstance(mask, Tensor) or tuple(mask.shape) != shape:
        what = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise RecipeError(f"masks: layer {name!r} has shape {shape}, its mask {what}")
    if mask.dtype != torch.bool and not bool(((mask == 0) | (mask == 1)).all()):
        raise RecipeError(f"masks: the mask of layer {name!r} holds values other than 0 and 1")
    return mask
