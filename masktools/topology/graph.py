"""The operator graph of a network: what feeds what, and with which geometry."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from typing import Self

from masktools.errors import StructureError
from masktools.topology.node_json import node_of_row, row_of_node
from masktools.topology.node_rules import problem_of
from masktools.topology.nodes import (
    ADAPTIVE,
    CONVOLUTIONS,
    LAYERS,
    OPERATORS,
    POOLS,
    Heads,
    Node,
    View,
    Window,
)

__all__ = ["ADAPTIVE", "CONVOLUTIONS", "LAYERS", "OPERATORS", "POOLS", "Heads", "Node", "Topology", "View", "Window"]


@dataclasses.dataclass(frozen=True)
class Topology:
    """The operator graph.

    Parameters
    ----------
    nodes
        In topological order: inputs first, outputs last.

    Raises
    ------
    StructureError
        If the graph breaks one of its rules; the message names the node.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        for index, node in enumerate(self.nodes):
            problem = problem_of(index, node)
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
        return {node.weight: node.groups for node in self.nodes if node.weight is not None}

    def to_json(self) -> str:
        """Return the graph as JSON text; fields that hold their default are left out."""
        return json.dumps({"nodes": [row_of_node(node) for node in self.nodes]}, separators=(",", ":"))

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
            return cls(tuple(node_of_row(row) for row in rows))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StructureError(f"not an operator graph: {error}") from error
