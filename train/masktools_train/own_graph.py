"""The operator graph of a model as its owner has it: wrapped, masked, parametrized, or running sparse already."""

import contextlib
import copy
import warnings
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from masktools.topology.graph import Topology
from masktools_train.tracing import TraceError, trace
from masktools_train.wrapping import unwrapped

__all__ = ["UntracedWarning", "graph_of", "graph_where_known"]


class UntracedWarning(UserWarning):
    """A model cannot be followed: it is recorded without its operator graph."""


def graph_where_known(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Topology | None:
    """Return the operator graph of a model, or None with an `UntracedWarning` where it cannot be followed."""
    try:
        return graph_of(model, example)
    except TraceError as error:
        text = f"operator graph not recorded, connectivity will not be known: {error}"
        # The line that the reader wrote: behind this one and the constructor that calls it.
        warnings.warn(text, UntracedWarning, stacklevel=3)
        return None


def graph_of(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Topology:
    """Return the operator graph of a model, without what computes its weights.

    Parameters
    ----------
    model
        The network, wrapped or not; it is left as it is.
    example
        What it is called with, a batch of at least two; taken to its device.

    Raises
    ------
    TraceError
        If it cannot be followed.
    """
    model = unwrapped(model)
    place = next((parameter.device for parameter in model.parameters()), None)
    examples = tuple(part.to(place) for part in ((example,) if isinstance(example, Tensor) else example))
    if any(parametrize.is_parametrized(module) or _made(module) for module in model.modules()):
        model = _without_masks(model)
    with _dense_forward(model):
        return trace(model, examples)


def _without_masks(model: nn.Module) -> nn.Module:
    """Return a copy whose weights are parameters of their own."""
    # A weight that is made of others is no leaf of its graph, which cannot be copied otherwise.
    made = [value for module in model.modules() for value in _made(module)]
    copied = copy.deepcopy(model, {id(value): value.detach().clone() for value in made})
    for module in list(copied.modules()):
        for name, _ in list(module.named_parameters(recurse=False)):
            if name.endswith("_orig"):
                with contextlib.suppress(ValueError):  # masked in the same words, but by someone else
                    prune.remove(module, name.removesuffix("_orig"))  # type: ignore[no-untyped-call]
        if parametrize.is_parametrized(module):
            _take_values(module)
    return copied


def _made(module: nn.Module) -> list[Tensor]:
    """Return the tensors that a module holds beside its parameters and buffers, such as those that pruning makes."""
    return [value for value in vars(module).values() if isinstance(value, Tensor)]


def _take_values(module: nn.Module) -> None:
    """Make the tensors of a module that parametrizations compute its own."""
    kinds = dict(module.named_children())["parametrizations"]
    values = {name: getattr(module, name).detach().clone() for name, _ in kinds.named_children()}
    # Not `remove_parametrizations`: it changes the class, which a copy has in common with the original.
    module.__class__ = type(module).__bases__[0]
    del module.parametrizations
    for name, value in values.items():
        if value.is_floating_point():
            setattr(module, name, nn.Parameter(value))
        else:
            module.register_buffer(name, value)


@contextlib.contextmanager
def _dense_forward(model: nn.Module) -> Iterator[None]:
    """Let linear layers that a sparsifier gave another way to compute do it as ever inside the block."""
    ours = [(module, vars(module).pop("forward")) for module in model.modules() if _computes_sparse(module)]
    try:
        yield
    finally:
        for module, forward in ours:
            module.forward = forward


def _computes_sparse(module: nn.Module) -> bool:
    forward = vars(module).get("forward")
    function = getattr(forward, "func", forward)
    return getattr(function, "__module__", "").startswith("masktools_train.execution.")
