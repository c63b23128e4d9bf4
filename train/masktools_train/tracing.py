"""Record the operator graph of a model by running it once."""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from masktools.errors import StructureError
from masktools.topology.graph import Node, Topology
from masktools.topology.shapes import check_shapes
from masktools_train.error_text import first_line
from masktools_train.evaluation_mode import evaluating
from masktools_train.recording.calls import flat
from masktools_train.recording.errors import TraceError, UnfollowedError
from masktools_train.recording.modes import CompiledCodeGuard, OperatorRecorder
from masktools_train.recording.recording import Recording
from masktools_train.sparse_layer import prunable_weights

__all__ = ["Method", "TraceError", "checked", "names_of", "record", "slow_attention", "trace"]

Method = Literal["auto", "eager", "export"]


def trace(model: nn.Module, example: Tensor | tuple[Tensor, ...], *, method: Method = "auto") -> Topology:
    """Run `model` on an example and return its operator graph.

    The model runs once as it is (eagerly, in evaluation mode, without gradients), so Python that depends on
    data is no obstacle; parameters are recognised by identity. An operation that is not known raises: it is
    never taken for one that acts on every unit by itself. A model that cannot be followed so is exported by
    `torch.export`, which takes seconds, and what it was taken apart into is followed in the same way.

    Parameters
    ----------
    model
        The network; the mode of each module is restored afterwards.
    example
        A batch of at least two inputs, so that the batch axis cannot be mistaken; a tuple of them where the model takes
        several.
    method
        ``eager`` runs the model itself, ``export`` the exported one; ``auto`` the second where the first fails.

    Returns
    -------
    Topology
        The operator graph, checked against the weights of the model.

    Raises
    ------
    TraceError
        If an operation is not known; the message names it.
    """
    examples = (example,) if isinstance(example, Tensor) else tuple(example)
    if method == "export":
        return _by_export(model, examples)
    try:
        return _eager(model, examples)
    except TraceError as error:
        if method == "eager":
            raise
        try:
            return _by_export(model, examples)
        except TraceError as second:
            raise TraceError(f"{error} (nor can what torch.export makes of the model be followed: {second})") from error


def checked(nodes: list[Node], model: nn.Module) -> Topology:
    """Put nodes together, and check them against the weights of the model.

    Raises
    ------
    TraceError
        If they do not fit; the message says where.
    """
    weights = prunable_weights(model)
    try:
        topology = Topology(tuple(nodes))
        for name in topology.layers:
            if name not in weights:
                raise TraceError(f"{name!r} is used as a weight, but belongs to no linear or convolutional module")
        check_shapes(topology, {name: tuple(weights[name].shape) for name in topology.layers})
    except StructureError as error:
        raise error if isinstance(error, TraceError) else TraceError(str(error)) from error
    return topology


def _eager(model: nn.Module, examples: tuple[Tensor, ...]) -> Topology:
    with evaluating(model):
        return checked(record(model, examples, names_of(model)), model)


def _by_export(model: nn.Module, examples: tuple[Tensor, ...]) -> Topology:
    try:
        with evaluating(model), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own making
            # Without in-place operations, and otherwise no further taken apart.
            exported = torch.export.export(model, examples, strict=False).run_decompositions({}).module()
    except Exception as error:  # whatever export fails with, it is that the model cannot be followed so
        raise TraceError(f"torch.export fails: {first_line(error)}") from error
    names = {id(parameter): name for name, parameter in reversed(names_of(model))}
    found = dict(model.named_parameters(remove_duplicate=False))
    parameters = [
        (names[id(found[name])], parameter)
        for name, parameter in exported.named_parameters(remove_duplicate=False)
        if name in found
    ]
    return checked(record(exported, examples, parameters), model)


def names_of(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Return names and parameters; first the names that masks have, should a module share one under another."""
    return [*prunable_weights(model).items(), *model.named_parameters(remove_duplicate=False)]


def record(model: Callable[..., Any], examples: tuple[Tensor, ...], parameters: list[tuple[str, Tensor]]) -> list[Node]:
    """Run a model on examples and return the nodes of its operator graph, checked by themselves alone.

    Parameters
    ----------
    model
        What to run, in evaluation mode.
    examples
        Its arguments.
    parameters
        Names and parameters; of several names the first counts.

    Raises
    ------
    TraceError
        If something cannot be followed.
    """
    batch = examples[0].shape[0] if examples and examples[0].ndim else 0
    for example in examples:
        if example.ndim < 2 or example.shape[0] != batch or batch < 2 or math.prod(example.shape) == 0:
            raise TraceError(f"an example of shape {tuple(example.shape)} is not a batch of at least two inputs")
    recording = Recording(parameters, batch)
    for example in examples:
        recording.new_input(example)
    recorder = OperatorRecorder(recording)
    with torch.no_grad(), slow_attention(), recorder, CompiledCodeGuard(recorder):
        result = model(*examples)
    if recorder.unseen is not None:
        raise TraceError(f"operation {recorder.unseen} is called by compiled code, which cannot be followed")
    _add_outputs(recording, result)
    return recording.nodes


def _add_outputs(recording: Recording, result: Any) -> None:
    leaves = [leaf for leaf in flat(result) if leaf is not None]
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or recording.traced(leaf) is None:
            raise TraceError(f"the model returned {type(leaf).__name__}, not a tensor made from its input")
    if not leaves:
        raise TraceError("the model returned nothing")
    ends = []
    for leaf in leaves:
        try:
            recording.check_unchanged([leaf])
            traced = recording.traced(leaf)
            if traced is not None:
                ends.append(recording.arranged(traced, *recording.natural(traced))[0])
        except UnfollowedError as refusal:
            raise TraceError(f"output of shape {tuple(leaf.shape)}: {refusal}") from refusal
    for node in ends:
        recording.add("output", (node,), recording.nodes[node].shape)


@contextlib.contextmanager
def slow_attention() -> Iterator[None]:
    """Keep attention modules from calling a single fused function."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
