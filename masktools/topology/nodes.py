"""Operators, their geometry, and the nodes of an operator graph."""

import dataclasses
from collections.abc import Mapping

__all__ = ["ADAPTIVE", "CONVOLUTIONS", "LAYERS", "OPERATORS", "POOLS", "Heads", "Node", "View", "Window"]

OPERATORS: Mapping[str, str] = {
    "input": "what the network is fed; no inputs",
    "constant": "a parameter or a number that is no function of the input; no inputs",
    "linear": "a weight of axes (out, in) over the units, at every position alike",
    "conv1d": "a weight of axes (out, in per group, k) slid over the positions",
    "conv2d": "a weight of axes (out, in per group, kh, kw) slid over the positions",
    "conv3d": "a weight of axes (out, in per group, kd, kh, kw) slid over the positions",
    "add": "element-wise sum of two or more inputs of the same shape: the union of their paths",
    "mul": "element-wise product of two or more inputs of the same shape: the union of their paths",
    "identity": "unit to unit: activations, norms, dropout",
    "pool1d": "each unit by itself, a window of positions to one",
    "pool2d": "each unit by itself, a window of positions to one",
    "pool3d": "each unit by itself, a window of positions to one",
    "adaptive_pool1d": "each unit by itself, the positions split evenly into the output's positions",
    "adaptive_pool2d": "each unit by itself, the positions split evenly into the output's positions",
    "adaptive_pool3d": "each unit by itself, the positions split evenly into the output's positions",
    "resample": "each unit by itself, along each axis of positions a list of those read: interpolation, padding, means",
    "flatten": "(C, H, W) to (C*H*W,): every unit owns a contiguous block of H*W features",
    "view": "the same elements in another arrangement: slices, transposes, repetitions",
    "concat": "inputs side by side along one axis: of units, or of positions",
    "mix": "every element reads all elements along some axes: softmax",
    "attention": "values mixed over all positions, head by head, with weights from queries and keys",
    "output": "what the network returns",
}
"""Every operator that a node can have, and what it means for connectivity."""

CONVOLUTIONS: Mapping[str, int] = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
"""Operators with a weight and a window, and over how many axes of positions it slides."""

POOLS: Mapping[str, int] = {"pool1d": 1, "pool2d": 2, "pool3d": 3}
"""Operators with a window and no weight, and over how many axes of positions it slides."""

ADAPTIVE: Mapping[str, int] = {"adaptive_pool1d": 1, "adaptive_pool2d": 2, "adaptive_pool3d": 3}
"""Adaptive pooling, and over how many axes of positions."""

LAYERS = frozenset({"linear", *CONVOLUTIONS})
"""Operators that carry a weight."""


@dataclasses.dataclass(frozen=True)
class Window:
    """Geometry of a convolution or a pooling window: numbers for each axis of positions, vertical first."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class View:
    """Where the elements of a rearranged node come from.

    Element ``(i, j, ...)`` of an array of shape `sizes` is element ``offset + i * strides[0] + j * strides[1] + ...``
    of the source, counted in C order; that array, in C order again, is then given the node's shape.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0


@dataclasses.dataclass(frozen=True)
class Heads:
    """How an attention splits its units: `count` heads of neighbours; `causal` reads no later positions."""

    count: int
    causal: bool = False


@dataclasses.dataclass(frozen=True)
class Node:
    """One operator.

    Parameters
    ----------
    op
        A key of `OPERATORS`.
    inputs
        Indices of the nodes that feed this one, all smaller than the node's own index. Those of `attention` are
        queries, keys and values.
    shape
        Shape of the output without the batch axis, units first: ``(features,)``, ``(channels, height, width)``,
        ``(features, tokens)``, ... The axes after the first are positions, at most four.
    weight
        Name of the parameter that carries the connections (of `LAYERS`), else None.
    bias
        Name of the parameter that adds a constant to each unit (a bias, or the offset of a norm).
    window
        Geometry of `CONVOLUTIONS` and `POOLS`, else None.
    label
        What the operator is called in the network, for people: ``relu``, ``batch_norm``, ... A norm over the units of a
        position is called ``layer_norm``, ``group_norm`` or ``rms_norm``: for connectivity it is an identity, but no
        unit can be taken out of it without changing the others.
    view
        Where the elements of `view` come from, else None.
    reads
        For each axis of positions of a `resample`, for each index along it, the indices of the source that it reads.
    axes
        The axis of `concat` (one), those of `mix`; 0 is that of the units.
    heads
        Of `attention`, else None.
    """

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    weight: str | None = None
    bias: str | None = None
    window: Window | None = None
    label: str = ""
    view: View | None = None
    reads: tuple[tuple[tuple[int, ...], ...], ...] | None = None
    axes: tuple[int, ...] | None = None
    heads: Heads | None = None

    @property
    def groups(self) -> int:
        """Number of groups of channels: 1 unless it is a grouped convolution."""
        return self.window.groups if self.window else 1
