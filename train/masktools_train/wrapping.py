"""Models inside what others wrap around them, and the names that parameters have without it."""

from torch import nn

__all__ = ["plain_name", "unwrapped"]

_COMPILED = "_orig_mod"
"""Where `torch.compile` keeps the module that it was given."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside DataParallel, DistributedDataParallel, `torch.compile` and AveragedModel, nested or not.

    They are told by their types: a model of one's own may well call a part of it ``module``.
    """
    while True:
        inner = getattr(model, _COMPILED, None)
        if inner is None and isinstance(model, _wrappers()):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def plain_name(name: str) -> str:
    """Return the name of a parameter without the part that `torch.compile` puts in where a submodule was compiled.

    >>> plain_name("backbone._orig_mod.0.weight")
    'backbone.0.weight'
    """
    return ".".join(part for part in name.split(".") if part != _COMPILED)


def _wrappers() -> tuple[type[nn.Module], ...]:
    # Loaded where they are asked for: the module of moving averages brings the distributed one with it.
    from torch.optim.swa_utils import AveragedModel

    kinds: tuple[type[nn.Module], ...] = (nn.DataParallel, AveragedModel)
    return (*kinds, nn.parallel.DistributedDataParallel)
