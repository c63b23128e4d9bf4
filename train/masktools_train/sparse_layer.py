"""One weight under its mask, and which weights of a model can have one."""

import dataclasses

import torch
from torch import Tensor, nn

from masktools_train.carried_selection import Band

__all__ = ["SparseLayer", "prunable_weights"]


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
