"""Which axes of which parameters share one permutation of hidden units."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeAlias

from masktools.errors import StructureError
from masktools.topology.graph import ADAPTIVE, CONVOLUTIONS, POOLS, Node, Topology
from masktools.topology.orders import Axis, Orders, Run, starts
from masktools.topology.rearrangement import source_blocks
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
    start
        Where the first unit begins along the axis: units of several sets lie there one after the other where they were
        concatenated.
    after
        How many indices there are along the axis after the last unit.
    """

    layer: str
    axis: int
    block: int
    start: int = 0
    after: int = 0


@dataclasses.dataclass(frozen=True)
class PermutationGroup:
    """Hidden units that can be put in another order without changing what the network computes.

    Parameters
    ----------
    size
        Number of units that are permuted.
    members
        Axes of weights along which they lie, layers in network order; unit ``u`` owns the indices
        ``start + u * block .. start + (u + 1) * block - 1``.
    biases
        The same for the biases and offsets that the operator graph names, axis 0 each. The other parameters and
        statistics of a norm are permuted as its offset is, and so are constants that are added along the units.
    """

    size: int
    members: tuple[Member, ...]
    biases: tuple[Member, ...] = ()


def permutation_groups(topology: Topology, shapes: Mapping[str, tuple[int, ...]]) -> tuple[PermutationGroup, ...]:
    """Find the hidden units of a network, and where each set of them must be permuted alike.

    Units are the elements along the first axis of a node: features, or channels of a map. Activations, norms and
    pooling hand them on; a sum or a product has one order of units for all its terms; flattening makes a block of
    columns of each channel; inputs side by side keep an order each; a weight (or a bias) that is used at several nodes
    has one order of outputs and one of inputs. What the network is fed and what it returns keeps its order, and so do
    hidden units that share their order with either: such sets are not returned.

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
    whole groups among each other; here both its sides keep their order. So do queries, keys and values of an
    attention, where units could move within their head, the units of a group norm, and what a view takes apart
    otherwise than in whole sets, block by block.

    Sets of units whose blocks differ can meet in a sum: then whole multiples of both blocks move, so that a unit is
    more than one channel or feature.

    This is the symmetry of Hecht-Nielsen (1990), carried through the operator graph as Ainsworth et al. (Git Re-Basin,
    arXiv 2209.04836) do by hand for each network.

    Examples
    --------
    >>> nodes = Node("input", (), (4,)), Node("linear", (0,), (3,), "fc1"), Node("linear", (1,), (2,), "fc2")
    >>> topology = Topology((*nodes, Node("output", (2,), (2,))))
    >>> permutation_groups(topology, {"fc1": (3, 4), "fc2": (2, 3)})[0].members
    (Member(layer='fc1', axis=0, block=1, start=0, after=0), Member(layer='fc2', axis=1, block=1, start=0, after=0))
    """
    check_shapes(topology, shapes)
    orders = Orders()
    made: list[Run] = []
    for index, node in enumerate(topology.nodes):
        if node.op not in _RULES:
            raise StructureError(f"operator graph, node {index} ({node.op}): how it permutes units is not known")
        sources = [(topology.nodes[source], made[source]) for source in node.inputs]
        made.append(_RULES[node.op](orders, node, sources))
        if node.bias is not None:
            orders.at((node.bias, 0), made[-1], node.bias)
    weights = [(name, axis) for name in topology.layers for axis in (0, 1)]
    biases = [(name, 0) for name in dict.fromkeys(node.bias for node in topology.nodes) if name is not None]
    return tuple(
        PermutationGroup(size, _members(orders, root, weights), _members(orders, root, biases))
        for root, size in orders.free().items()
    )


def _members(orders: Orders, root: int, axes: list[Axis]) -> tuple[Member, ...]:
    return tuple(Member(*part.axis, part.block, part.start, part.after) for part in orders.parts(root, axes))


_Sources: TypeAlias = list[tuple[Node, Run]]


def _input(orders: Orders, node: Node, _sources: _Sources) -> Run:
    return orders.new(node.shape[0], fixed=True)


def _constant(orders: Orders, node: Node, _sources: _Sources) -> Run:
    return orders.new(node.shape[0])


def _hand_on(_orders: Orders, node: Node, sources: _Sources) -> Run:
    # That holds for flatten too: all columns of a channel are a longer block of the same unit.
    ((source, run),) = sources
    longer = node.shape[0] // source.shape[0]
    return tuple((order, extent * longer) for order, extent in run)


def _identity(orders: Orders, node: Node, sources: _Sources) -> Run:
    if node.label == "group_norm":
        orders.fix(sources[0][1])
    return sources[0][1]


def _join(orders: Orders, _node: Node, sources: _Sources) -> Run:
    return orders.join(*(run for _, run in sources))


def _concat(orders: Orders, node: Node, sources: _Sources) -> Run:
    if node.axes == (0,):
        return tuple(piece for _, run in sources for piece in run)
    return _join(orders, node, sources)


def _view(orders: Orders, node: Node, sources: _Sources) -> Run:
    ((source, run),) = sources
    if source.op == "constant":
        return orders.new(node.shape[0])  # a constant of its own
    blocks, ends = source_blocks(node, source.shape), [*starts(run)]
    if blocks is not None and blocks.first in ends and blocks.first + blocks.number * blocks.near in ends:
        whole = run[ends.index(blocks.first) : ends.index(blocks.first + blocks.number * blocks.near)]
        if all(extent % blocks.near == 0 for _, extent in whole):
            for order, extent in whole:
                orders.limit(order, extent // blocks.near)
            return tuple((order, extent // blocks.near * blocks.far) for order, extent in whole)
    orders.fix(run)
    return orders.new(node.shape[0], fixed=True)


def _attention(orders: Orders, _node: Node, sources: _Sources) -> Run:
    orders.fix(*(run for _, run in sources))
    return sources[2][1]


def _output(orders: Orders, _node: Node, sources: _Sources) -> Run:
    orders.fix(sources[0][1])
    return sources[0][1]


def _layer(orders: Orders, node: Node, sources: _Sources) -> Run:
    ((_, run),) = sources
    made = orders.made(str(node.weight), node.shape[0])
    orders.at((str(node.weight), 1), run, str(node.weight))
    return made


def _conv(orders: Orders, node: Node, sources: _Sources) -> Run:
    if node.groups == 1:
        return _layer(orders, node, sources)
    ((source, run),) = sources
    depthwise = source.shape[0] == node.shape[0] == node.groups
    made = run if depthwise else orders.new(node.shape[0], fixed=True)
    if not depthwise:
        orders.fix(run)
    orders.at((str(node.weight), 0), made, str(node.weight))
    return made


_RULES: Mapping[str, Callable[[Orders, Node, _Sources], Run]] = {
    "input": _input,
    "constant": _constant,
    "linear": _layer,
    **dict.fromkeys(CONVOLUTIONS, _conv),
    **dict.fromkeys(("add", "mul"), _join),
    "identity": _identity,
    **dict.fromkeys((*POOLS, *ADAPTIVE, "resample", "flatten", "mix"), _hand_on),
    "view": _view,
    "concat": _concat,
    "attention": _attention,
    "output": _output,
}
"""How each operator orders its units, given what feeds it and the orders of that."""
