"""Which axes of which parameters share one permutation of hidden units."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TypeAlias

from masktools.errors import StructureError
from masktools.topology.graph import Node, Topology
from masktools.topology.shapes import check_shapes

__all__ = ["Member", "PermutationGroup", "permutation_groups"]


@dataclasses.dataclass(frozen=True)
class Member:
    """An axis of a parameter along which hidden units lie.

    Parameters
    ----------
    layer
        Name of the parameter.
    axis
        0 for the outputs of a layer (the only axis of a bias), 1 for its inputs.
    block
        How many neighbours along the axis belong to one unit: H * W where a map of H x W positions was flattened,
        else 1.
    """

    layer: str
    axis: int
    block: int


@dataclasses.dataclass(frozen=True)
class PermutationGroup:
    """Hidden units that can be put in another order without changing what the network computes.

    Parameters
    ----------
    size
        Number of units that are permuted.
    members
        Axes of weights along which they lie, layers in network order; unit ``u`` owns the indices
        ``u * block .. (u + 1) * block - 1``.
    biases
        The same for the biases and offsets that the operator graph names, axis 0 each. The other parameters and
        statistics of a batch norm are permuted as its offset is.
    """

    size: int
    members: tuple[Member, ...]
    biases: tuple[Member, ...] = ()


def permutation_groups(topology: Topology, shapes: Mapping[str, tuple[int, ...]]) -> tuple[PermutationGroup, ...]:
    """Find the hidden units of a network, and where each set of them must be permuted alike.

    Units are the elements along the first axis of a node: features, or channels of a map. Activations, batch norm and
    pooling hand them on; a sum has one order of units for all that is added; flattening makes a block of columns of
    each channel; a weight (or a bias) that is used at several nodes has one order of outputs and one of inputs. What
    the network is fed and what it returns keeps its order, and so do hidden units that share their order with either:
    such sets are not returned.

    Parameters
    ----------
    topology
        The operator graph.
    shapes
        Shape of the weight by layer name, as for `check_shapes`.

    Returns
    -------
    tuple of PermutationGroup
        In the order in which the network first makes their units.

    Raises
    ------
    StructureError
        If graph and shapes do not fit, a bias is used for different numbers of units, or an operator has no rule.

    Notes
    -----
    Grouped convolutions: a depthwise one (as many groups as inputs and as outputs) gives its outputs the order of its
    inputs, and its weight has no input axis to permute. Any other one would let units move within their group and
    whole groups among each other; here both its sides keep their order.

    Sets of units whose blocks differ can meet in a sum: then whole multiples of both blocks move, so that a unit is
    more than one channel or feature.

    This is the symmetry of Hecht-Nielsen (1990), carried through the operator graph as Ainsworth et al. (Git Re-Basin,
    arXiv 2209.04836) do by hand for each network.

    Examples
    --------
    >>> nodes = Node("input", (), (4,)), Node("linear", (0,), (3,), "fc1"), Node("linear", (1,), (2,), "fc2")
    >>> topology = Topology((*nodes, Node("output", (2,), (2,))))
    >>> permutation_groups(topology, {"fc1": (3, 4), "fc2": (2, 3)})[0].members
    (Member(layer='fc1', axis=0, block=1), Member(layer='fc2', axis=1, block=1))
    """
    check_shapes(topology, shapes)
    orders = _Orders()
    made: list[int] = []
    for index, node in enumerate(topology.nodes):
        if node.op not in _RULES:
            raise StructureError(f"operator graph, node {index} ({node.op}): how it permutes units is not known")
        weight = None if node.weight is None else shapes[node.weight]
        made.append(_RULES[node.op](orders, node, [made[source] for source in node.inputs], weight))
        if node.bias is not None:
            orders.at((node.bias, 0), made[-1], node.shape[0], node.bias)
    weights = [(name, axis) for name in topology.layers for axis in (0, 1)]
    biases = [(name, 0) for name in dict.fromkeys(node.bias for node in topology.nodes) if name is not None]
    return tuple(
        PermutationGroup(size, orders.members(root, weights), orders.members(root, biases))
        for root, size in orders.free().items()
    )


_Axis: TypeAlias = tuple[str, int]
_Shape: TypeAlias = tuple[int, ...]


class _Orders:
    """Sets of units, joined where they must be permuted alike.

    A set is all that there is to know about an order: the number of its units, and whether it is free. Whatever the
    extent of an axis that it orders, a unit owns an equal block of neighbours there. Where two sets meet along one
    axis, the blocks that move are the least common multiples of both blocks: units of the greatest common divisor of
    both numbers.
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._units: list[int] = []
        self._fixed: list[bool] = []
        self._axes: dict[_Axis, tuple[int, int]] = {}

    def new(self, units: int, *, fixed: bool = False) -> int:
        self._parent.append(len(self._parent))
        self._units.append(units)
        self._fixed.append(fixed)
        return len(self._parent) - 1

    def root(self, order: int) -> int:
        while self._parent[order] != order:
            self._parent[order] = self._parent[self._parent[order]]
            order = self._parent[order]
        return order

    def join(self, *orders: int) -> int:
        first, *others = sorted({self.root(order) for order in orders})
        for other in others:
            self._parent[other] = first
            self._units[first] = math.gcd(self._units[first], self._units[other])
            self._fixed[first] |= self._fixed[other]
        return first

    def fix(self, *orders: int) -> None:
        for order in orders:
            self._fixed[self.root(order)] = True

    def at(self, axis: _Axis, order: int, extent: int, place: str) -> None:
        """Note the order of an axis of a parameter; a second use of the parameter joins both orders."""
        known, before = self._axes.setdefault(axis, (order, extent))
        if before != extent:
            raise StructureError(f"{place} is used for {before} units and for {extent}")
        self.join(known, order)

    def free(self) -> dict[int, int]:
        """Return the number of units of each set that may be permuted."""
        roots = sorted({self.root(order) for order in range(len(self._parent))})
        return {root: self._units[root] for root in roots if not self._fixed[root]}

    def members(self, root: int, axes: list[_Axis]) -> tuple[Member, ...]:
        """Return which of the axes a set orders."""
        found = [(axis, *self._axes[axis]) for axis in axes if axis in self._axes]
        return tuple(
            Member(*axis, block=extent // self._units[root])
            for axis, order, extent in found
            if self.root(order) == root
        )


def _input(orders: _Orders, node: Node, _sources: list[int], _weight: _Shape | None) -> int:
    return orders.new(node.shape[0], fixed=True)


def _hand_on(_orders: _Orders, _node: Node, sources: list[int], _weight: _Shape | None) -> int:
    # That holds for flatten too: all columns of a channel are a longer block of the same unit.
    return sources[0]


def _add(orders: _Orders, _node: Node, sources: list[int], _weight: _Shape | None) -> int:
    return orders.join(*sources)


def _output(orders: _Orders, _node: Node, sources: list[int], _weight: _Shape | None) -> int:
    orders.fix(sources[0])
    return sources[0]


def _layer(orders: _Orders, node: Node, sources: list[int], weight: _Shape | None) -> int:
    name, (outputs, inputs) = _weight_of(node, weight)
    made = orders.new(outputs)
    orders.at((name, 0), made, outputs, name)
    orders.at((name, 1), sources[0], inputs, name)
    return made


def _conv(orders: _Orders, node: Node, sources: list[int], weight: _Shape | None) -> int:
    groups = node.window.groups if node.window else 1
    if groups == 1:
        return _layer(orders, node, sources, weight)
    name, (outputs, inputs) = _weight_of(node, weight)
    depthwise = inputs == 1 and outputs == groups
    made = sources[0] if depthwise else orders.new(outputs, fixed=True)
    if not depthwise:
        orders.fix(sources[0])
    orders.at((name, 0), made, outputs, name)
    return made


def _weight_of(node: Node, weight: _Shape | None) -> tuple[str, tuple[int, int]]:
    if node.weight is None or weight is None:
        raise StructureError(f"operator {node.op!r} without a weight")  # excluded by Topology and check_shapes
    return node.weight, (weight[0], weight[1])


_RULES: Mapping[str, Callable[[_Orders, Node, list[int], _Shape | None], int]] = {
    "input": _input,
    "linear": _layer,
    "conv2d": _conv,
    "add": _add,
    "identity": _hand_on,
    "pool2d": _hand_on,
    "adaptive_pool2d": _hand_on,
    "flatten": _hand_on,
    "output": _output,
}
"""How each operator orders its units, given the orders of what feeds it."""
