"""The operator graph of a chain: layer after layer, as far as their shapes fit."""

from collections.abc import Mapping, Sequence

from masktools.errors import CheckpointError
from masktools.topology.graph import Node, Topology, Window
from masktools.topology.shapes import check_shapes

__all__ = ["sequential_graph"]

_CONVOLUTIONS = {3: 1, 4: 2, 5: 3}
"""Axes of positions of a convolution by the axes of its weight."""


def sequential_graph(
    shapes: Mapping[str, tuple[int, ...]], file: str, input_shape: Sequence[int] | None = None
) -> Topology:
    """Chain linear and convolutional layers in their order: the inputs of each are the outputs of the one before.

    A convolution whose weight reads one channel and makes as many as there are is depthwise. What shapes do not tell is
    taken to be as simple as can be: stride 1, a padding that keeps the extent, and before the first linear layer an
    adaptive pooling to as many positions as it reads of each channel.

    Parameters
    ----------
    shapes
        Shape of the weight by layer.
    file
        For messages.
    input_shape
        ``(features,)`` or ``(channels, extents ...)``; None takes the smallest maps that have room for all kernels.

    Raises
    ------
    CheckpointError
        At the first layer that does not fit; the message names it and the one before.
    """
    first, *_ = shapes
    rank = _CONVOLUTIONS.get(len(shapes[first]), 0)
    given = tuple(input_shape or _smallest(shapes, rank))
    if len(given) != rank + 1 or given[0] % shapes[first][1]:
        raise CheckpointError(
            f"{file}: --graph sequential: the input shape {given} does not fit the first layer {first} {shapes[first]}"
        )
    nodes = [Node("input", (), given)]
    before = ""
    for name, weight in shapes.items():
        problem = _append(nodes, name, weight)
        if problem:
            raise CheckpointError(
                f"{file}: --graph sequential: layer {name} {weight} does not fit {before or 'the input'}: {problem}"
            )
        before = f"{name} {weight}"
    nodes.append(Node("output", (len(nodes) - 1,), nodes[-1].shape))
    topology = Topology(tuple(nodes))
    check_shapes(topology, shapes)
    return topology


def _smallest(shapes: Mapping[str, tuple[int, ...]], rank: int) -> tuple[int, ...]:
    first, *_ = shapes.values()
    extents = [
        max(weight[axis] for weight in shapes.values() if len(weight) == rank + 2) for axis in range(2, rank + 2)
    ]
    return (first[1], *extents)


def _append(nodes: list[Node], name: str, weight: tuple[int, ...]) -> str | None:
    """Add a layer, or say why it does not fit."""
    fed = nodes[-1].shape
    rank = _CONVOLUTIONS.get(len(weight), 0)
    if len(weight) == 2:
        if len(fed) > 1:
            if weight[1] % fed[0]:
                return f"{weight[1]} inputs are no multiple of {fed[0]} channels"
            extents = _extents(weight[1] // fed[0], len(fed) - 1)
            if extents != fed[1:]:
                nodes.append(Node(f"adaptive_pool{len(fed) - 1}d", (len(nodes) - 1,), (fed[0], *extents)))
            nodes.append(Node("flatten", (len(nodes) - 1,), (weight[1],)))
        if nodes[-1].shape[0] != weight[1]:
            return f"{weight[1]} inputs, {nodes[-1].shape[0]} outputs before"
        nodes.append(Node("linear", (len(nodes) - 1,), (weight[0],), weight=name))
        return None
    if not rank or len(fed) != rank + 1:
        return f"a weight of {len(weight)} axes does not read an output of {len(fed)}"
    groups = fed[0] if weight[1] == 1 and weight[0] == fed[0] else 1
    if weight[1] * groups != fed[0]:
        return f"{weight[1]} input channels, {fed[0]} output channels before"
    kernel = weight[2:]
    padding = tuple(extent // 2 for extent in kernel)
    made = tuple(size + 2 * pad - extent + 1 for size, pad, extent in zip(fed[1:], padding, kernel, strict=True))
    window = Window(kernel, (1,) * rank, padding, (1,) * rank, groups)
    nodes.append(Node(f"conv{rank}d", (len(nodes) - 1,), (weight[0], *made), weight=name, window=window))
    return None


def _extents(positions: int, rank: int) -> tuple[int, ...]:
    """Return extents whose product is a number of positions, as equal as can be, the longer ones last."""
    found: list[int] = []
    for left in range(rank, 0, -1):
        root = round(positions ** (1 / left))
        extent = next(
            size for size in range(min(root + 1, positions), 0, -1) if not positions % size and size**left <= positions
        )
        found.append(extent)
        positions //= extent
    return tuple(found)
