"""Cut units out of the parameters of a model."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from masktools_train.compacting.holders import Holders
from masktools_train.compacting.plan import Plan
from masktools_train.compacting.sets import UnitSet

__all__ = ["cut", "set_masked"]


def set_masked(model: nn.Module, masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Set the inactive weights of a model to 0."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, mask in masks.items():
            # Not a product: what an inactive weight holds may be infinite.
            parameters[name].masked_fill_(torch.from_numpy(~mask).to(parameters[name].device), 0)


def cut(model: nn.Module, sets: Sequence[UnitSet], plan: Plan) -> dict[str, NDArray[np.bool_]]:
    """Take units out of a model, in place.

    Parameters
    ----------
    model
        The model.
    sets
        Its sets of hidden units.
    plan
        Which units go, which weights stay, and what is added to biases.

    Returns
    -------
    dict
        The masks of what is left, in the new shapes.
    """
    set_masked(model, plan.masks)
    _fold(model, plan)
    holders = Holders(model)
    stays = _stays(holders, sets, plan)
    masks = dict(plan.masks)
    for (name, axis), kept in stays.items():
        if name in masks:
            masks[name] = masks[name].compress(kept, axis)
    _apply(model, _cuts(holders, stays))
    return masks


def _fold(model: nn.Module, plan: Plan) -> None:
    """Add constants to biases, which are made where there are none."""
    holders = Holders(model)
    done: set[int] = set()
    for name, added in plan.folds.items():
        if not added.any():
            continue
        weight = holders.parameter(name)
        constant = torch.from_numpy(added).to(weight.device, weight.dtype)
        for module in holders.layers(name):
            if module.bias is None:
                module.bias = nn.Parameter(constant.clone(), requires_grad=weight.requires_grad)
            elif id(module.bias) not in done:
                done.add(id(module.bias))
                with torch.no_grad():
                    module.bias += constant


def _stays(holders: Holders, sets: Sequence[UnitSet], plan: Plan) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """Return which indices stay along every axis that loses some."""
    stays: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for each, gone in zip(sets, plan.gone, strict=True):
        for member in (*each.group.members, *each.group.biases) if gone.any() else ():
            extent = holders.parameter(member.layer).shape[member.axis]
            kept = stays.setdefault((member.layer, member.axis), np.ones(extent, dtype=np.bool_))
            kept[member.start : member.start + len(gone) * member.block] = np.repeat(~gone, member.block)
    return stays


_Cuts = dict[int, dict[int, Tensor]]
"""By the identity of a parameter, so that one that is shared is cut once: the indices that stay along an axis."""


def _cuts(holders: Holders, stays: Mapping[tuple[str, int], NDArray[np.bool_]]) -> _Cuts:
    """Return what to cut: the axes, and what belongs to the outputs of the same module."""
    cuts: _Cuts = {}
    for (name, axis), kept in stays.items():
        parameter = holders.parameter(name)
        indices = torch.from_numpy(np.flatnonzero(kept)).to(parameter.device)
        cuts.setdefault(id(parameter), {})[axis] = indices
        for holder in holders.of(name) if axis == 0 else ():
            module = holder.module
            partners = (module.weight, module.bias) if isinstance(module, _BatchNorm) else (module.bias,)
            for partner in partners:
                if isinstance(partner, nn.Parameter):
                    cuts.setdefault(id(partner), {})[0] = indices
    return cuts


def _apply(model: nn.Module, cuts: _Cuts) -> None:
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        changed = [(name, old) for name, old in module.named_parameters(recurse=False) if id(old) in cuts]
        for name, old in changed:
            if id(old) not in made:
                made[id(old)] = nn.Parameter(_cut(old, cuts[id(old)]), requires_grad=old.requires_grad)
            setattr(module, name, made[id(old)])
        if not changed:
            continue
        if isinstance(module, _BatchNorm):
            for name, old_buffer in module.named_buffers(recurse=False):
                if old_buffer.ndim:
                    setattr(module, name, _cut(old_buffer, cuts[id(changed[0][1])]))
        _set_sizes(module)


def _cut(tensor: Tensor, axes: Mapping[int, Tensor]) -> Tensor:
    for axis, indices in axes.items():
        tensor = tensor.detach().index_select(axis, indices)
    return tensor.clone(memory_format=torch.contiguous_format)


def _set_sizes(module: nn.Module) -> None:
    """Let a module say what its parameters are now."""
    if isinstance(module, _BatchNorm):
        module.num_features = len(module.bias)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        module.out_channels = len(module.weight)
        # Of the convolutions with groups only those of single channels lose any.
        module.in_channels = module.out_channels if module.groups > 1 else module.weight.shape[1]
        module.groups = module.out_channels if module.groups > 1 else 1
