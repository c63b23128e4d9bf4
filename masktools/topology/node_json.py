"""Nodes of an operator graph as rows of JSON."""

import dataclasses
import reprlib
from collections.abc import Mapping
from typing import Any

from masktools.topology.nodes import Heads, Node, View, Window

__all__ = ["node_of_row", "row_of_node"]


def row_of_node(node: Node) -> dict[str, Any]:
    """Return a node as plain values; fields that hold their default are left out."""
    row = dataclasses.asdict(node)
    return {k: v for k, v in row.items() if k in ("op", "inputs", "shape") or v != getattr(_BLANK, k)}


_BLANK = Node("", (), ())


def node_of_row(row: Mapping[str, Any]) -> Node:
    """Read what `row_of_node` returned.

    Raises
    ------
    TypeError, ValueError, KeyError, AttributeError
        If the row is no node.
    """
    window, view, reads, axes, heads = (row.get(key) for key in ("window", "view", "reads", "axes", "heads"))
    return Node(
        op=str(row["op"]),
        inputs=_integers(row["inputs"]),
        shape=_integers(row["shape"]),
        weight=_text(row.get("weight")),
        bias=_text(row.get("bias")),
        window=None if window is None else _window(window),
        label=str(row.get("label", "")),
        view=None
        if view is None
        else View(_integers(view["sizes"]), _integers(view["strides"]), _integer(view["offset"])),
        reads=None if reads is None else tuple(tuple(map(_integers, _list(axis))) for axis in _list(reads)),
        axes=None if axes is None else _integers(axes),
        heads=None if heads is None else Heads(_integer(heads["count"]), _truth(heads["causal"])),
    )


def _window(row: Mapping[str, Any]) -> Window:
    return Window(
        kernel=_integers(row["kernel"]),
        stride=_integers(row["stride"]),
        padding=_integers(row["padding"]),
        dilation=_integers(row["dilation"]),
        groups=_integer(row["groups"]),
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{reprlib.repr(value)} is no parameter name")
    return value


def _integer(value: object) -> int:
    return _integers([value])[0]


def _integers(values: object) -> tuple[int, ...]:
    result = tuple(value for value in _list(values) if isinstance(value, int) and not isinstance(value, bool))
    if len(result) != len(_list(values)):
        raise TypeError(f"{reprlib.repr(values)} are not all integers")
    return result


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{reprlib.repr(value)} is no list")
    return value


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{reprlib.repr(value)} is neither true nor false")
    return value
