"""Whether the shapes of an operator graph and of its weights fit each other."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.topology.graph import Node, Topology, Window

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
        Shape of the weight by layer name: (out, in) of `linear`, (out, in per group, kh, kw) of `conv2d`.

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
    taps = math.prod(node.window.kernel) if node.window else 1
    if node.op == "adaptive_pool2d" and len(sources[0]) == 3:
        taps = math.prod(before // after + 2 for before, after in zip(sources[0][1:], node.shape[1:], strict=False))
    positions = max(math.prod(shape[1:]) for shape in (node.shape, *sources))
    if math.prod(node.shape) > _LARGEST or taps * positions > _LARGEST:
        return f"shape {node.shape} with {taps} taps is too large to follow"
    return None


def _same(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    different = [shape for shape in sources if shape != node.shape]
    return f"shape {node.shape} is fed by shape {different[0]}" if different else None


def _flatten(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    if node.shape != (math.prod(sources[0]),):
        return f"shape {node.shape} does not hold the elements of {sources[0]}"
    return None


def _linear(node: Node, sources: tuple[_Shape, ...], weight: _Shape | None) -> str | None:
    if len(sources[0]) != 1 or len(node.shape) != 1:
        return f"a linear layer maps features to features, not {sources[0]} to {node.shape}"
    if weight != (*node.shape, *sources[0]):
        return f"weight {weight} does not map {sources[0][0]} features to {node.shape[0]}"
    return None


def _conv(node: Node, sources: tuple[_Shape, ...], weight: _Shape | None) -> str | None:
    problem = _maps(node, sources)
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
    problem = _maps(node, sources)
    if problem or node.window is None:
        return problem
    if node.shape[0] != sources[0][0] or node.shape[1:] not in _sizes(node.window, sources[0], ceil=True):
        return f"shape {node.shape} does not follow from {sources[0]} with {node.window}"
    return None


def _adaptive(node: Node, sources: tuple[_Shape, ...], _: _Shape | None) -> str | None:
    problem = _maps(node, sources)
    if problem:
        return problem
    return None if node.shape[0] == sources[0][0] else f"shape {node.shape} has other channels than {sources[0]}"


def _maps(node: Node, sources: tuple[_Shape, ...]) -> str | None:
    if len(sources[0]) != 3 or len(node.shape) != 3:
        return f"maps (channels, height, width) are needed, not {sources[0]} to {node.shape}"
    return None


def _sizes(window: Window, fed: _Shape, *, ceil: bool) -> list[tuple[int, int]]:
    """Return the output sizes that a window can give: rounded down and, for pooling, rounded up too."""
    ways: list[tuple[int, ...]] = []
    for up in (False, True) if ceil else (False,):
        size = []
        for axis in range(2):
            span = window.dilation[axis] * (window.kernel[axis] - 1) + 1
            room = fed[axis + 1] + 2 * window.padding[axis] - span
            steps = -(-room // window.stride[axis]) if up else room // window.stride[axis]
            # A window that would begin beyond the map and its left padding is left out (PyTorch's rule).
            if up and steps * window.stride[axis] >= fed[axis + 1] + window.padding[axis]:
                steps -= 1
            size.append(steps + 1)
        ways.append(tuple(size))
    return [(height, width) for height, width in ways]


def _nothing(_node: Node, _sources: tuple[_Shape, ...], _weight: _Shape | None) -> str | None:
    return None


_CHECKS: Mapping[str, Callable[[Node, tuple[_Shape, ...], _Shape | None], str | None]] = {
    "input": _nothing,
    "linear": _linear,
    "conv2d": _conv,
    "add": _same,
    "identity": _same,
    "pool2d": _pool,
    "adaptive_pool2d": _adaptive,
    "flatten": _flatten,
    "output": _same,
}
