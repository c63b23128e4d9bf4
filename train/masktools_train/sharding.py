"""Refuse what keeps a part of the weights, or of their optimizer's state, in each of several processes."""

from torch import nn
from torch.optim import Optimizer

from masktools.errors import RecipeError

__all__ = ["refuse_sharded_model", "refuse_sharded_optimizer"]

# Told by where their types live, not by the types: these modules take long to load, and whoever uses one has it loaded.
_SHARDED_MODULES = ("torch.distributed.fsdp",)
_SHARDED_TENSORS = ("torch.distributed.tensor", "torch.distributed._tensor")
_SHARDED_OPTIMIZERS = ("torch.distributed.optim.zero_redundancy_optimizer",)


def refuse_sharded_model(model: nn.Module) -> None:
    """Check that every process holds all weights: under a mask, the largest of a part are not the largest.

    Parameters
    ----------
    model
        The network, as it is wrapped.

    Raises
    ------
    RecipeError
        If a module of it is under FSDP (either version), or a parameter is a distributed tensor.
    """
    for name, module in model.named_modules():
        if _is_of(module, _SHARDED_MODULES):
            where = f"module {name!r}" if name else "the model"
            raise RecipeError(
                f"{where} is under FSDP, by which each process holds a part of every weight, and masks need the whole; "
                "use DistributedDataParallel"
            )
    for name, parameter in model.named_parameters():
        if _is_of(parameter, _SHARDED_TENSORS):
            raise RecipeError(
                f"weight {name!r} is a distributed tensor, of which each process holds a part, and masks need the whole"
            )


def refuse_sharded_optimizer(optimizer: Optimizer) -> None:
    """Check that the optimizer's state of every weight is in this process: it changes with the mask.

    Parameters
    ----------
    optimizer
        The optimizer.

    Raises
    ------
    RecipeError
        If it is a ZeroRedundancyOptimizer.
    """
    if _is_of(optimizer, _SHARDED_OPTIMIZERS):
        raise RecipeError(
            f"optimizer {type(optimizer).__name__} keeps the state of a weight in one of the processes, and each needs "
            "all of it where masks change; use the optimizer that is inside"
        )


def _is_of(thing: object, places: tuple[str, ...]) -> bool:
    kinds = (kind.__module__ for kind in type(thing).__mro__)
    return any(module == place or module.startswith(f"{place}.") for module in kinds for place in places)
