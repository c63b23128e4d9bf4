"""What makes a node a node of its operator, whatever else is in the graph."""

import math
import reprlib

from masktools.topology.nodes import CONVOLUTIONS, LAYERS, OPERATORS, POOLS, Node, Window

__all__ = ["problem_of"]

_CARRIED = {
    "weight": LAYERS,
    "window": frozenset({*CONVOLUTIONS, *POOLS}),
    "view": frozenset({"view"}),
    "reads": frozenset({"resample"}),
    "axes": frozenset({"concat", "mix"}),
    "heads": frozenset({"attention"}),
}
"""Which operators have a field that the others have not."""

_LARGEST_RANK = 5
_LARGEST_EXTENT = 2**40
_LARGEST_VIEW = 32
"""Sizes of a view; of those above 1 there cannot be more than 40."""


def problem_of(index: int, node: Node) -> str | None:
    """Return what is wrong with a node by itself, or None.

    Parameters
    ----------
    index
        Its place in the graph.
    node
        The node.
    """
    if node.op not in OPERATORS:
        return f"unknown operator; known are {', '.join(OPERATORS)}"
    if any(not 0 <= source < index for source in node.inputs):
        return "is fed by a node that does not come before it"
    if not 1 <= len(node.shape) <= _LARGEST_RANK or any(extent < 1 for extent in node.shape):
        return f"shape {reprlib.repr(node.shape)} is no number of units and up to {_LARGEST_RANK - 1} axes of positions"
    if math.prod(node.shape) > _LARGEST_EXTENT:
        return f"shape {node.shape} is not credible"
    least = {"input": 0, "constant": 0, "add": 2, "mul": 2, "concat": 2, "attention": 3}.get(node.op, 1)
    if len(node.inputs) < least or (len(node.inputs) > least and node.op not in ("add", "mul", "concat")):
        return f"has {len(node.inputs)} inputs, needs {least}"
    for field, operators in _CARRIED.items():
        if (node.op in operators) != (getattr(node, field) is not None):
            return f"{field} is given where it has no meaning, or missing: {', '.join(sorted(operators))} have one"
    if node.window is not None:
        return _window_problem(node.window, {**CONVOLUTIONS, **POOLS}[node.op])
    if node.view is not None:
        numbers = (*node.view.sizes, *node.view.strides, node.view.offset)
        if max(len(node.view.sizes), len(node.view.strides)) > _LARGEST_VIEW:
            return f"view has more than {_LARGEST_VIEW} sizes"
        if len(node.view.sizes) != len(node.view.strides) or min(node.view.sizes, default=1) < 1:
            return f"{node.view} has no stride for each size"
        if max(map(abs, numbers)) > _LARGEST_EXTENT or math.prod(node.view.sizes) != math.prod(node.shape):
            return f"{node.view} does not hold the elements of {node.shape}"
    if node.axes is not None and (
        not node.axes
        or len(set(node.axes)) != len(node.axes)
        or any(not 0 <= axis < len(node.shape) for axis in node.axes)
        or (node.op == "concat" and len(node.axes) != 1)
    ):
        return f"axes {node.axes} do not fit shape {node.shape}"
    if node.heads is not None and (node.heads.count < 1 or node.shape[0] % node.heads.count or len(node.shape) < 2):
        return f"shape {node.shape} does not split into {node.heads.count} heads"
    return None


def _window_problem(window: Window, axes: int) -> str | None:
    lists = (window.kernel, window.stride, window.padding, window.dilation)
    if any(len(numbers) != axes for numbers in lists):
        return f"window {window} does not have {axes} axes"
    positive = (*window.kernel, *window.stride, *window.dilation, window.groups)
    if min(positive) < 1 or min(window.padding) < 0 or max(*positive, *window.padding) > 2**20:
        return f"window {window} is not credible"
    return None
