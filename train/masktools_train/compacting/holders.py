"""Which modules hold which parameters, and which of them can be cut."""

import dataclasses
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

__all__ = ["Holder", "Holders", "Layer"]

Layer: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Modules whose weight and bias can be cut."""

_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
_OF_NORMS = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})


@dataclasses.dataclass(frozen=True, eq=False)
class Holder:
    """A module and the attribute under which it holds a parameter."""

    module: nn.Module
    attribute: str


class Holders:
    """The parameters of a model, by name, and the modules that hold each.

    Parameters
    ----------
    model
        The model. A parameter that several modules share has several holders, and several names.
    """

    def __init__(self, model: nn.Module) -> None:
        self._named = dict(model.named_parameters(remove_duplicate=False))
        self._by_id: dict[int, list[Holder]] = {}
        self._free: list[Tensor] = []
        for module in model.modules():
            for attribute, parameter in module.named_parameters(recurse=False):
                self._by_id.setdefault(id(parameter), []).append(Holder(module, attribute))
            for attribute, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                if attribute not in _own(module):
                    self._free.append(tensor)

    def parameter(self, name: str) -> nn.Parameter:
        """Return the parameter of a name."""
        return self._named[name]

    def of(self, name: str) -> list[Holder]:
        """Return the holders of a parameter."""
        return self._by_id[id(self._named[name])]

    def layers(self, weight: str) -> list[Layer]:
        """Return the linear and convolutional modules that hold a weight."""
        return [holder.module for holder in self.of(weight) if isinstance(holder.module, Layer)]

    def running(self) -> frozenset[str]:
        """Return the names of parameters of batch norms whose statistics do not depend on the batch in evaluation."""
        return frozenset(name for name in self._named if all(_runs(holder.module) for holder in self.of(name)))

    def obstacle(self, name: str) -> str | None:
        """Return why a weight, a bias or an offset cannot be cut, or None."""
        for holder in self.of(name):
            module, attribute = holder.module, holder.attribute
            if isinstance(module, Layer) and attribute in ("weight", "bias"):
                continue
            if not isinstance(module, _BatchNorm) or attribute != "bias":
                return f"{name} belongs to a {type(module).__name__}, which is not cut"
        return None

    def may_hold_units(self, count: int) -> bool:
        """Whether a tensor that belongs neither to a layer nor to a norm has as many numbers along an axis."""
        return any(count in tensor.shape for tensor in self._free)


def _own(module: Any) -> frozenset[str]:
    """Return the names of the tensors whose use is known."""
    if isinstance(module, Layer):
        return frozenset({"weight", "bias"})
    return _OF_NORMS if isinstance(module, _NORMS) else frozenset()


def _runs(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None
