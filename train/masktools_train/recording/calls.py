"""A call of a torch function, and what it was called with."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch._ops import OpOverload, OpOverloadPacket
from torch.overrides import resolve_name

__all__ = ["Call", "flat", "full_name", "label_of"]

_NAMESPACES = ("torch.", "torch.Tensor.", "torch.nn.functional.", "torch.functional.", "aten.")
"""Where the functions live that are known by their own name; elsewhere the same name may mean another thing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """A call that has returned.

    Parameters
    ----------
    func
        The function.
    label
        Its name, the same whether it is a method, a function or in place.
    args, kwargs
        What it was called with.
    result
        What it returned.
    """

    func: Callable[..., Any]
    label: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument, given by position or by name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    @property
    def first(self) -> Any:
        """The first argument, whatever its name."""
        given = (self.kwargs[name] for name in ("input", "self", "tensors", "condition") if name in self.kwargs)
        return self.args[0] if self.args else next(given, None)


def full_name(func: Callable[..., Any]) -> str:
    """Return the name of a function with its module or class."""
    if isinstance(func, OpOverload | OpOverloadPacket):
        return str(func)
    name = getattr(func, "__name__", str(func))
    return str(resolve_name(func) or f"{getattr(func, '__module__', '?')}.{name}")


def label_of(func: Callable[..., Any]) -> str | None:
    """Return the short name of a function of torch, or None for one of another package or a special part of torch."""
    full = full_name(func)
    if isinstance(func, OpOverload | OpOverloadPacket):
        namespace, label = full.split(".")[:2]
        return label.strip("_") if namespace == "aten" else None
    if full.endswith(".__get__"):  # a property of a tensor
        full = full.removesuffix(".__get__")
    space, _, last = full.rpartition(".")
    return last.strip("_") if f"{space}." in _NAMESPACES else None


def flat(value: Any) -> list[Any]:
    """Return the leaves of nested tuples, lists and dicts."""
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in flat(item)]
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in flat(item)]
    return [value]
