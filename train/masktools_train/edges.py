"""The operator graph of a model whose connections are told, not seen: for code that no tracer can follow."""

import functools
import graphlib
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from masktools.topology.graph import Topology
from masktools_train.evaluation_mode import evaluating
from masktools_train.recording.errors import TraceError
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import checked, names_of, record

__all__ = ["topology_from_edges"]

_Shapes: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]


def topology_from_edges(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    edges: Iterable[tuple[str, str]],
    *,
    join: Mapping[str, str] | None = None,
) -> Topology:
    """Put the operator graph of a model together from its modules and the edges between them.

    Every module that an edge names is called on what its edges bring, and followed as `trace` would. What the model
    does between modules is not looked at, but every module has to get and to give the shapes that it has in the
    model, where it has to run once. Maps that a module gets as a row of features are flattened.

    Parameters
    ----------
    model
        The network; the mode of each module is restored afterwards.
    example
        A batch of at least two inputs; a tuple of them where the model takes several.
    edges
        Pairs of names, from and to: of modules, ``input`` (of several inputs ``input:0``, ``input:1``, ...),
        ``output``, and joints of your own that `join` defines. What acts on every unit by itself may be left out.
    join
        How several edges into one name are joined: ``add`` (unless told otherwise), ``mul``, ``concat`` along axis 1,
        or ``concat:-1`` along the last axis; in the order of the edges. A name that is no module is a joint.

    Returns
    -------
    Topology
        The operator graph, checked against the weights of the model.

    Raises
    ------
    TraceError
        If a name is unknown, a layer that runs is in no edge, or what an edge brings does not fit; the message says
        which.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> class Skip(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(8, 2)
    ...     def forward(self, inputs):
    ...         hidden = self.a(inputs)
    ...         return self.c(torch.cat([hidden, self.b(hidden.round())], 1))
    >>> edges = [("input", "a"), ("a", "b"), ("a", "both"), ("b", "both"), ("both", "c"), ("c", "output")]
    >>> topology = topology_from_edges(Skip(), torch.rand(2, 3), edges, join={"both": "concat"})
    >>> [node.op for node in topology.nodes]
    ['input', 'linear', 'linear', 'concat', 'linear', 'output']
    """
    examples = (example,) if isinstance(example, Tensor) else tuple(example)
    inputs = ["input"] if len(examples) == 1 else [f"input:{number}" for number in range(len(examples))]
    sources = _sources(model, list(edges), dict(join or {}), inputs)
    with evaluating(model):
        shapes = _shapes(model, examples, sources)
        stitched = _Stitched(model, inputs, sources, dict(join or {}), shapes)
        return checked(record(stitched, examples, names_of(model)), model)


def _sources(
    model: nn.Module, edges: Sequence[tuple[str, str]], join: Mapping[str, str], inputs: Sequence[str]
) -> dict[str, list[str]]:
    """Return what feeds each name, in an order in which all can be calculated."""
    modules = {name for name, _ in model.named_modules() if name}
    known = {*modules, *join, *inputs, "output"}
    feeds: dict[str, list[str]] = {}
    for source, target in edges:
        for name in (source, target):
            if name not in known:
                raise TraceError(f"edge {source!r} to {target!r}: the model has no module {name!r}")
        if target in inputs or source == "output":
            raise TraceError(f"edge {source!r} to {target!r} leads the wrong way")
        feeds.setdefault(target, []).append(source)
    for source in dict.fromkeys(source for source, _ in edges):
        if source not in feeds and source not in inputs:
            raise TraceError(f"no edge leads to {source!r}")
    if "output" not in feeds:
        raise TraceError("no edge leads to 'output'")
    for name, kind in join.items():
        if kind.partition(":")[0] not in ("add", "mul", "concat"):
            raise TraceError(f"join {name!r}: {kind!r} is unknown; choose from add, mul, concat, concat:AXIS")
    try:
        order = [*graphlib.TopologicalSorter(feeds).static_order()]
    except graphlib.CycleError as error:
        raise TraceError(f"edges lead round in a circle: {' to '.join(map(repr, error.args[1]))}") from error
    return {name: feeds[name] for name in order if name in feeds}


def _shapes(
    model: nn.Module, examples: tuple[Tensor, ...], sources: Mapping[str, Sequence[str]]
) -> dict[str, _Shapes | None]:
    """Run the model, and return the shapes that each module gets and gives; None for joints."""
    layers = {name.rpartition(".")[0] for name in prunable_weights(model)}
    found: dict[str, _Shapes | None] = dict.fromkeys(sources)
    ran: list[str] = []

    def note(name: str, _module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        ran.append(name)
        given = result[0] if isinstance(result, tuple) else result
        if args and isinstance(args[0], Tensor) and isinstance(given, Tensor):
            found[name] = (tuple(args[0].shape), tuple(given.shape))

    modules = {name: module for name, module in model.named_modules() if name in sources or name in layers}
    hooks = [module.register_forward_hook(functools.partial(note, name)) for name, module in modules.items()]
    try:
        with torch.no_grad():
            model(*examples)
    finally:
        for hook in hooks:
            hook.remove()
    inside = tuple(f"{name}." for name in sources)
    for name in ran:
        if name in layers and name not in sources and not name.startswith(inside):
            raise TraceError(f"layer {name!r} runs, but no edge names it")
        if ran.count(name) > 1:
            raise TraceError(f"module {name!r} runs several times, which edges cannot tell")
    return found


class _Stitched:
    """The model as its edges have it."""

    def __init__(
        self,
        model: nn.Module,
        inputs: Sequence[str],
        sources: Mapping[str, Sequence[str]],
        join: Mapping[str, str],
        shapes: Mapping[str, _Shapes | None],
    ) -> None:
        self._modules = dict(model.named_modules())
        self._inputs, self._sources, self._join, self._shapes = inputs, sources, join, shapes

    def __call__(self, *examples: Tensor) -> Tensor:
        values = dict(zip(self._inputs, examples, strict=True))
        for name, sources in self._sources.items():
            kind = self._join.get(name, "add")
            values[name] = self._calculated(name, _joined(name, kind, [values[source] for source in sources]))
        return values["output"]

    def _calculated(self, name: str, fed: Tensor) -> Tensor:
        shapes, module = self._shapes[name], self._modules.get(name)
        if module is None or name == "output":
            return fed
        if shapes is None:
            raise TraceError(f"module {name!r} does not run in the model")
        if len(shapes[0]) == 2 and tuple(fed.shape) != shapes[0]:
            fed = fed.flatten(1)
        if tuple(fed.shape) != shapes[0]:
            raise TraceError(
                f"module {name!r} gets shape {shapes[0]} in the model, and {tuple(fed.shape)} by its edges"
            )
        fed = fed.clone()  # a module may change what it gets, which others may read too
        try:
            if isinstance(module, nn.MultiheadAttention):
                made: Tensor = module(fed, fed, fed, need_weights=False)[0]
            else:
                made = module(fed)
        except TraceError as error:
            raise TraceError(f"module {name!r}: {error}") from error
        if tuple(made.shape) != shapes[1]:
            raise TraceError(
                f"module {name!r} gives shape {shapes[1]} in the model, and {tuple(made.shape)} by its edges"
            )
        return made


def _joined(name: str, kind: str, parts: Sequence[Tensor]) -> Tensor:
    kind, _, axis = kind.partition(":")
    if len(parts) == 1:
        return parts[0]
    try:
        if kind == "concat":
            return torch.cat(list(parts), int(axis or 1))
        return functools.reduce(operator.mul if kind == "mul" else operator.add, parts)
    except (RuntimeError, IndexError, ValueError) as error:
        shapes = [tuple(part.shape) for part in parts]
        raise TraceError(f"{name!r}: shapes {shapes} cannot be joined by {kind}") from error
