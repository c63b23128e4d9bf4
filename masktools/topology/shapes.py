"""Whether the shapes of an operator graph and of its weights fit each other."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.topology.graph import ADAPTIVE, CONVOLUTIONS, POOLS, Node, Topology, Window

__all__ = ["check_masks", "check_shapes"]

_LARGEST = 2**26
"""Most units of a node, and most (tap, position) pairs of a window, that an analysis allocates for."""


def check_masks(topology: Topology, masks: Mapping[str, NDArray[np.bool_]]) -> None:
    """Check that there is exactly one boolean mask of the right shape for every layer of the graph.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Mask by layer name, each of its weight's shape.

    Raises
    ------
    StructureError
        If a mask is missing, not boolean, of a wrong shape, or belongs to no layer of the graph. The
        message names the layer.
    """
    for name, mask in masks.items():
        if mask.dtype != np.bool_:
            raise StructureError(f"layer {name}: a mask is boolean, got {mask.dtype}")
    check_shapes(topology, {name: tuple(mask.shape) for name, mask in masks.items()})


def check_shapes(topology: Topology, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check the shapes of all nodes against those that feed them, their windows and their weights.

    Parameters
    ----------
    topology
        The operator graph.
    shapes
        Shape of the weight by layer name: (out, in) of `linear`, (out, in per group, kernel ...) of a convolution.

    Raises
    ------
    StructureError
        If a shape does not fit, or if graph and `shapes` do not hold the same layers. The message names
        the layer, or the node where it has no weight.
    """
    missing = [name for name in topology.layers if name not in shapes]
    if missing:
        raise StructureError(f"layer {missing[0]} of the operator graph has no mask")
    known = set(topology.layers)
    unplaced = [name for name in shapes if name not in known]
    if unplaced:
        raise StructureError(f"layer {unplaced[0]} is not in the operator graph, so its part in the network is unknown")
    for index, node in enumerate(topology.nodes):
        sources = tuple(topology.nodes[source].shape for source in node.inputs)
        weight = None if node.weight is None else shapes[node.weight]
        problem = _too_large(node, sources) or _CHECKS[node.op](node, sources, weight)
        if problem:
            place = f"operator graph, node {index} ({node.op})" if node.weight is None else f"layer {node.weight}"
            raise StructureError(f"{place}: {problem}")


_Shape = tuple[int, ...]


def _too_large(node: Node, sources: tuple[_Shape, ...]) -> str | None:
    """Refuse what a small hostile file could declare to exhaust the memory."""
    # Taps onward, from each position of the result, and back, from each of the source.
    taps = back = math.prod(node.window.kernel) if node.window else 1
    if node.op in ADAPTIVE and len(sources[0]) == len(node.shape):
        extents = list(zip(sources[0][1:], node.shape[1:], strict=True))
        taps = math.prod(before // after + 2 for before, after in extents)
        back = math.prod(after // before + 2 for before, after in extents)
    if node.reads is not None:
        taps = math.prod(max(map(len, axis), default=1) for axis in node.reads)
        readers = [Counter(itertools.chain.from_iterable(axis)) for axis in node.reads]
        back = math.prod(max(counts.values(), default=1) for counts in readers)
    pairs = max([taps * math.prod(node.shape[1:]), *(back * math.prod(shape[1:]) for shape in sources)])
    if math.prod(node.shape) > _LARGEST or pairs > _LARGEST:
        return f"shape {node.shape} with {max(taps, back)} taps is too large to follow"
    return None


def _same(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    different = [shape for shape in sources if shape != node.shape]
    return f"shape {node.shape} is fed by shape {different[0]}" if different else None


def _flatten(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    if node.shape != (math.prod(sources[0]),):
        return f"shape {node.shape} does not hold the elements of {sources[0]}"
    return None


def _linear(node: Node, sources: tuple[_Shape, ...], weight: _Shape | None) -> str | None:
    if sources[0][1:] != node.shape[1:]:
        return f"a linear layer maps units at every position alike, not {sources[0]} to {node.shape}"
    if weight != (node.shape[0], sources[0][0]):
        return f"weight {weight} does not map {sources[0][0]} features to {node.shape[0]}"
    return None


def _conv(node: Node, sources: tuple[_Shape, ...], weight: _Shape | None) -> str | None:
    problem = _maps(node, sources, CONVOLUTIONS[node.op])
    if problem or node.window is None:
        return problem
    window, fed, made = node.window, sources[0], node.shape
    if fed[0] % window.groups or made[0] % window.groups:
        return f"{fed[0]} and {made[0]} channels do not split into {window.groups} groups"
    if weight != (made[0], fed[0] // window.groups, *window.kernel):
        return f"weight {weight} does not fit {fed[0]} to {made[0]} channels with {window}"
    if made[1:] not in _sizes(window, fed, ceil=False):
        return f"shape {made} does not follow from {fed} with {window}"
    return None


def _pool(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    problem = _maps(node, sources, POOLS[node.op])
    if problem or node.window is None:
        return problem
    if node.shape[0] != sources[0][0] or node.shape[1:] not in _sizes(node.window, sources[0], ceil=True):
        return f"shape {node.shape} does not follow from {sources[0]} with {node.window}"
    return None


def _adaptive(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    problem = _maps(node, sources, ADAPTIVE[node.op])
    if problem:
        return problem
    return None if node.shape[0] == sources[0][0] else f"shape {node.shape} has other channels than {sources[0]}"


def _maps(node: Node, sources: tuple[_Shape, ...], axes: int) -> str | None:
    if not len(sources[0]) == len(node.shape) == axes + 1:
        return f"maps of {axes} axes beside the channels are needed, not {sources[0]} to {node.shape}"
    return None


def _sizes(window: Window, fed: _Shape, *, ceil: bool) -> list[tuple[int, ...]]:
    """Return the output sizes that a window can give: rounded down and, for pooling, rounded up too."""
    ways: list[tuple[int, ...]] = []
    for up in (False, True) if ceil else (False,):
        size = []
        for axis in range(len(window.kernel)):
            span = window.dilation[axis] * (window.kernel[axis] - 1) + 1
            room = fed[axis + 1] + 2 * window.padding[axis] - span
            steps = -(-room // window.stride[axis]) if up else room // window.stride[axis]
            # A window that would begin beyond the map and its left padding is left out (PyTorch's rule).
            if up and steps * window.stride[axis] >= fed[axis + 1] + window.padding[axis]:
                steps -= 1
            size.append(steps + 1)
        ways.append(tuple(size))
    return ways


def _resample(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    reads, fed = node.reads or (), sources[0]
    if len(reads) != len(fed) - 1 or tuple(map(len, reads)) != node.shape[1:] or fed[0] != node.shape[0]:
        return f"lists of positions do not lead from {fed} to {node.shape}"
    for axis, (lists, extent) in enumerate(zip(reads, fed[1:], strict=True), start=1):
        for place, read in enumerate(lists):
            if any(not 0 <= index < extent for index in read):
                return f"along axis {axis} position {place} reads beyond the {extent} of {fed}"
            if len(set(read)) != len(read):
                return f"along axis {axis} position {place} reads the same twice"
    return None


def _view(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    view = node.view
    if view is None:
        return None  # excluded by Topology
    reach = [(size - 1) * stride for size, stride in zip(view.sizes, view.strides, strict=True)]
    low = view.offset + sum(min(step, 0) for step in reach)
    high = view.offset + sum(max(step, 0) for step in reach)
    if low < 0 or high >= math.prod(sources[0]):
        return f"{view} leaves the elements of {sources[0]}"
    return None


def _concat(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    (axis,) = node.axes or (0,)
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in (node.shape, *sources)}
    ranks = {len(shape) for shape in (node.shape, *sources)}
    if len(rests) != 1 or len(ranks) != 1 or sum(shape[axis] for shape in sources) != node.shape[axis]:
        return f"shapes {sources} side by side along axis {axis} do not make {node.shape}"
    return None


def _attention(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    queries, keys, values = sources
    count = node.heads.count if node.heads else 1
    if len({len(shape) for shape in (node.shape, *sources)}) != 1:
        return f"queries {queries}, keys {keys} and values {values} do not have as many axes as {node.shape}"
    if queries[0] != keys[0] or queries[0] % count or values[0] != node.shape[0]:
        return f"queries {queries}, keys {keys} and values {values} do not split into {count} heads of {node.shape}"
    if queries[1:] != node.shape[1:] or keys[1:] != values[1:] or queries[1:-1] != keys[1:-1]:
        return f"positions of queries {queries}, keys {keys} and values {values} do not fit {node.shape}"
    return None


def _nothing(_node: Node, _sources: tuple[_Shape, ...], _weight: _Shape | None) -> str | None:
    return None


_CHECKS: Mapping[str, Callable[[Node, tuple[_Shape, ...], _Shape | None], str | None]] = {
    "input": _nothing,
    "constant": _nothing,
    "linear": _linear,
    **dict.fromkeys(CONVOLUTIONS, _conv),
    "add": _same,
    "mul": _same,
    "identity": _same,
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(ADAPTIVE, _adaptive),
    "resample": _resample,
    "flatten": _flatten,
    "view": _view,
    "concat": _concat,
    "mix": _same,
    "attention": _attention,
    "output": _same,
}
