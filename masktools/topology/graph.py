"""The operator graph of a network: what feeds what, and with which geometry."""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from masktools.errors import StructureError

__all__ = ["OPERATORS", "Node", "Topology", "Window"]

OPERATORS: Mapping[str, str] = {
    "input": "what the network is fed; no inputs",
    "linear": "a weight of axes (out, in) over the features",
    "conv2d": "a weight of axes (out, in per group, kh, kw) slid over the positions",
    "add": "element-wise sum of two or more inputs of the same shape: the union of their paths",
    "identity": "unit to unit: activations, batch norm, dropout",
    "pool2d": "each channel by itself, a window of positions to one",
    "adaptive_pool2d": "each channel by itself, the positions split evenly into the output's positions",
    "flatten": "(C, H, W) to (C*H*W,): every channel owns a contiguous block of H*W features",
    "output": "what the network returns",
}
"""Every operator that a node can have, and what it means for connectivity."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Geometry of a convolution or a pooling window; pairs are (vertical, horizontal)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Node:
    """One operator.

    Parameters
    ----------
    op
        A key of `OPERATORS`.
    inputs
        Indices of the nodes that feed this one, all smaller than the node's own index.
    shape
        Shape of the output without the batch axis: ``(features,)`` or ``(channels, height, width)``.
    weight
        Name of the parameter that carries the connections (`linear` and `conv2d`), else None.
    bias
        Name of the parameter that adds a constant to each unit (a bias, or the offset of a batch norm).
    window
        Geometry of `conv2d` and `pool2d`, else None.
    label
        What the operator is called in the network, for people: ``relu``, ``batch_norm``, ...
    """

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    weight: str | None = None
    bias: str | None = None
    window: Window | None = None
    label: str = ""


@dataclasses.dataclass(frozen=True)
class Topology:
    """The operator graph, nodes in topological order: inputs first, outputs last.

    Raises
    ------
    StructureError
        If the graph breaks one of its rules; the message names the node.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        for index, node in enumerate(self.nodes):
            problem = _problem(index, node)
            if problem:
                raise StructureError(f"operator graph, node {index} ({node.op!r}): {problem}")
        if not any(node.op == "input" for node in self.nodes) or not any(n.op == "output" for n in self.nodes):
            raise StructureError("operator graph needs an input and an output")

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the weights, each once, in the order of first use."""
        return tuple(dict.fromkeys(node.weight for node in self.nodes if node.weight is not None))

    @functools.cached_property
    def groups(self) -> Mapping[str, int]:
        """Number of channel groups of each layer: 1 unless it is a grouped convolution."""
        return {node.weight: node.window.groups if node.window else 1 for node in self.nodes if node.weight is not None}

    def to_json(self) -> str:
        """Return the graph as JSON text; fields that hold their default are left out."""
        blank = Node("", (), ())
        rows = []
        for node in self.nodes:
            row = dataclasses.asdict(node)
            rows.append({k: v for k, v in row.items() if k in ("op", "inputs", "shape") or v != getattr(blank, k)})
        return json.dumps({"nodes": rows}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        StructureError
            If the text is no operator graph.
        """
        try:
            rows = json.loads(text)["nodes"]
            return cls(tuple(_node(row) for row in rows))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StructureError(f"not an operator graph: {error}") from error


def _node(row: Mapping[str, Any]) -> Node:
    window = row.get("window")
    return Node(
        op=str(row["op"]),
        inputs=_integers(row["inputs"]),
        shape=_integers(row["shape"]),
        weight=_text(row.get("weight")),
        bias=_text(row.get("bias")),
        window=None if window is None else _window(window),
        label=str(row.get("label", "")),
    )


def _window(row: Mapping[str, Any]) -> Window:
    return Window(
        kernel=_pair(row["kernel"]),
        stride=_pair(row["stride"]),
        padding=_pair(row["padding"]),
        dilation=_pair(row["dilation"]),
        groups=_integers([row["groups"]])[0],
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no parameter name")
    return value


def _integers(values: Sequence[object]) -> tuple[int, ...]:
    result = tuple(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    if len(result) != len(values):
        raise TypeError(f"{values!r} are not all integers")
    return result


def _pair(values: Sequence[object]) -> tuple[int, int]:
    vertical, horizontal = _integers(values)
    return vertical, horizontal


def _problem(index: int, node: Node) -> str | None:
    """Return what is wrong with a node by itself, or None."""
    if node.op not in OPERATORS:
        return f"unknown operator; known are {', '.join(OPERATORS)}"
    if any(not 0 <= source < index for source in node.inputs):
        return "is fed by a node that does not come before it"
    if not node.shape or len(node.shape) not in (1, 3) or any(extent < 1 for extent in node.shape):
        return f"shape {node.shape} is neither (features,) nor (channels, height, width)"
    if math.prod(node.shape) > 2**40:
        return f"shape {node.shape} is not credible"
    arity = {"input": 0, "add": len(node.inputs) if len(node.inputs) >= 2 else 2}.get(node.op, 1)
    if len(node.inputs) != arity:
        return f"has {len(node.inputs)} inputs, needs {arity}"
    if (node.op in ("linear", "conv2d")) != (node.weight is not None):
        return "linear and conv2d name a weight, other operators do not"
    if (node.op in ("conv2d", "pool2d")) != (node.window is not None):
        return "conv2d and pool2d have a window, other operators do not"
    if node.window is not None:
        window = node.window
        positive = (*window.kernel, *window.stride, *window.dilation, window.groups)
        if min(positive) < 1 or min(window.padding) < 0 or max(*positive, *window.padding) > 2**20:
            return f"window {window} is not credible"
    return None
