"""One weight under its mask, and which weights of a model can have one."""

import dataclasses

import torch
from torch import Tensor, nn

from masktools_train.carried_selection import Band
from masktools_train.wrapping import plain_name

__all__ = ["SparseLayer", "prunable_names", "prunable_weights"]


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights that sparse training prunes: of every linear and convolutional module, by name.

    The linear layers inside attention are layers, also where the module holds their weights itself, packed into one. A
    weight that several modules share appears once, under its first name.
    """
    found: dict[str, nn.Parameter] = {}
    for prefix, module in model.named_modules():
        for name in prunable_names(module):
            weight = getattr(module, name)
            if isinstance(weight, nn.Parameter) and not any(weight is known for known in found.values()):
                found[plain_name(f"{prefix}.{name}" if prefix else name)] = weight
    return found


def prunable_names(module: nn.Module) -> tuple[str, ...]:
    """Return the names of those attributes of a module that are weights to prune."""
    return tuple(name for kinds, names in _PRUNABLE if isinstance(module, kinds) for name in names)


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
    target
        Number of weights that are active in the end; None where layers compete for a common count.
    scores
        What trains in place of the weights, where anything does.
    band
        Where a selection that is made at every step expects its threshold. It decides how fast that is, not what is
        selected, so that it is no part of a saved state.
    """

    name: str
    parameter: nn.Parameter
    mask: Tensor
    known_count: int | None
    prunable: bool = True
    dense: Tensor | None = None
    target: int | None = None
    scores: Tensor | None = None
    band: Band | None = None

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

    def follow(self) -> None:
        """Take what belongs to the parameter to its device and dtype, should the model have been moved since."""
        for tensor in (self.mask, self.dense, self.scores):
            if tensor is not None and (tensor.device != self.parameter.device or tensor.dtype != self.parameter.dtype):
                # As `Module.to` moves parameters: the tensor stays the one that others hold.
                tensor.data = tensor.data.to(self.parameter.device, self.parameter.dtype)
