"""Which units that no input reaches emit a constant that biases can carry instead.

A ghost is a unit from which an output is reached but that no input reaches: whatever the network is fed, it emits the
same map, made of biases. If that map is the same number at every position, and everything that reads it reads it at all
of its positions, the number can be put into the biases of the readers, and the unit can go. Whether that is so is read
off the structure here, for any values of weights and biases, in evaluation (dropout off, batch norm with its running
statistics).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.topology.fields import Field
from masktools.topology.graph import POOLS, Node, Topology
from masktools.topology.rearrangement import source_units
from masktools.topology.shapes import check_masks
from masktools.topology.windows import tap_matrices, tap_table

__all__ = ["foldable_ghosts"]

Masks = Mapping[str, NDArray[np.bool_]]
Flags = NDArray[np.bool_]

_ALIKE = frozenset(
    "identity relu relu6 leaky_relu rrelu elu selu celu gelu silu mish sigmoid logsigmoid log_sigmoid tanh hardtanh "
    "hardswish hardsigmoid softplus softsign tanhshrink prelu dropout dropout1d dropout2d dropout3d feature_dropout "
    "alpha_dropout feature_alpha_dropout native_dropout neg negative abs exp expm1 log log1p sqrt rsqrt square "
    "reciprocal sin cos erf batch_norm".split()
) | {""}
"""Labels of identities that do the same to a unit at every position, and nothing to other units."""


def foldable_ghosts(
    topology: Topology, masks: Masks, reached: tuple[Field, ...], reaching: tuple[Field, ...]
) -> dict[str, NDArray[np.bool_]]:
    """Find the ghosts whose constant can be folded into biases without changing what the network computes.

    Parameters
    ----------
    topology
        The operator graph.
    masks
        Boolean mask by layer name, each of its weight's shape.
    reached, reaching
        What `masktools.topology.reach.forward` and `backward` returned for the same masks.

    Returns
    -------
    dict
        Boolean array by layer name, shape (out,): true for a ghost that is foldable wherever the layer is used and
        an output is reached from it.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    The rule is sufficient, not necessary: what it finds can be folded, all of it at once, and where it is in doubt it
    says no.

    A unit is *uniform* if it is the same number at every position for every input. A layer's unit is, if all its active
    taps read uniform units, and none ever meets padding; also, if it has none. Units stay uniform in activations and
    batch norm; in sums and products of uniform units; where positions are pooled without padding (or by maxima), picked
    or repeated; in attention as values, whose weights sum to 1; and where a view makes a unit of one other. They do not
    through norms over units or positions, softmax, units side by side along positions, or what is not known to do the
    same at every position. A constant is uniform if it has one position only.

    A uniform unit is *foldable* if all that reads it and leads to an output

    - is a layer whose weight and bias no other node uses, and reads it through taps that are inside the map at
      every position: the layer's bias takes weight times constant, for each output unit;
    - or hands it on uniform, to what in turn can fold it;
    - or adds it to others that are not uniform, if one of those is a layer's output, or that of a norm with an offset,
      which nothing but the sum reads and whose parameters nothing else uses: its bias takes the constant.

    A bias is one that the layer has or can be given. What an output of the network returns is not folded, nor is a
    query or a key.
    """
    check_masks(topology, masks)
    found = {name: np.ones(masks[name].shape[0], dtype=np.bool_) for name in topology.layers}
    ghosts = {name: np.zeros_like(flags) for name, flags in found.items()}
    for node, ahead, behind in zip(topology.nodes, reached, reaching, strict=True):
        if node.weight is not None:
            ghosts[node.weight] |= behind.anywhere & ~ahead.anywhere
    if not any(flags.any() for flags in ghosts.values()):
        return ghosts
    uniform: list[Flags] = []
    for index in range(len(topology.nodes)):
        uniform.append(_uniform(topology, index, uniform, masks))
    leading = [field.anywhere for field in reaching]
    carried = _carried(topology, masks, uniform, leading)
    for node, constant, carry, leads in zip(topology.nodes, uniform, carried, leading, strict=True):
        if node.weight is not None:
            found[node.weight] &= (constant & carry) | ~leads
    return {name: found[name] & ghosts[name] for name in topology.layers}


def _uniform(topology: Topology, index: int, uniform: Sequence[Flags], masks: Masks) -> Flags:
    """Return which units of a node are the same number at every position for every input."""
    node = topology.nodes[index]
    sources = [uniform[source] for source in node.inputs]
    if node.op == "constant":
        return np.full(node.shape[0], math.prod(node.shape[1:]) == 1)
    if node.weight is not None:
        padded, inside = _reads(topology, node, masks[node.weight])
        per_group = sources[0].reshape(node.groups, 1, -1)
        return ~(padded.any(axis=2) | (inside & ~per_group).any(axis=2)).reshape(-1)
    if node.op in ("flatten", "view"):
        near, far = source_units(node, topology.nodes[node.inputs[0]].shape)
        one = np.bincount(far, minlength=node.shape[0]) == 1
        return np.asarray(one & (np.bincount(far, sources[0][near], minlength=node.shape[0]) > 0))
    if node.op == "concat" and node.axes == (0,):
        return np.concatenate(sources)
    if node.op == "attention":
        return sources[2]
    if node.op in ("add", "mul") or (sources and _keeps(topology, node)):
        return np.asarray(np.logical_and.reduce(sources))
    return np.zeros(node.shape[0], dtype=np.bool_)


def _keeps(topology: Topology, node: Node) -> bool:
    """Whether an operator that acts on each unit by itself makes uniform ones of uniform ones."""
    if node.op in POOLS:
        table = tap_table(topology, node) >= 0
        return bool(table.any(axis=0).all() if "max" in node.label else table.all())
    if node.reads is not None:
        # None meets padding, and none is a sum of more positions than another.
        return all(len(set(map(len, axis))) == 1 and min(map(len, axis)) > 0 for axis in node.reads)
    return (
        node.op.startswith("adaptive_pool") or node.op == "output" or (node.op == "identity" and node.label in _ALIKE)
    )


def _reads(topology: Topology, node: Node, mask: Flags) -> tuple[Flags, Flags]:
    """Return which inputs each unit of a layer reads through taps that meet padding somewhere, and through others.

    Shapes are (groups, out per group, in per group). A tap that only ever meets padding reads nothing.
    """
    taps, table = tap_matrices(mask, node.groups), tap_table(topology, node) >= 0
    usable, always = table.any(axis=1), table.all(axis=1)
    none = np.zeros(taps.shape[1:], dtype=np.bool_)
    padded, inside = none, none
    for tap in taps[usable & ~always]:
        padded = padded | tap
    for tap in taps[always]:
        inside = inside | tap
    return padded, inside


def _carried(topology: Topology, masks: Masks, uniform: Sequence[Flags], leading: Sequence[Flags]) -> list[Flags]:
    """Return for the units of each node whether what follows can carry their constant, if they are uniform."""
    parameters = Counter(name for node in topology.nodes for name in (node.weight, node.bias) if name is not None)
    readers = Counter(source for node in topology.nodes for source in node.inputs)
    private = [all(parameters[name] < 2 for name in (node.weight, node.bias) if name) for node in topology.nodes]
    shifts = [
        private[index]
        and readers[index] == 1
        and (node.weight is not None or (node.op == "identity" and bool(node.bias)))
        for index, node in enumerate(topology.nodes)
    ]
    carried = [np.ones(node.shape[0], dtype=np.bool_) for node in topology.nodes]
    for index in reversed(range(len(topology.nodes))):
        node, useless = topology.nodes[index], ~leading[index]
        onward = (uniform[index] & carried[index]) | useless
        shared = node.weight is not None and not private[index]
        for place, source in enumerate(node.inputs):
            if node.weight is not None:
                padded, inside = _reads(topology, node, masks[node.weight])
                hindered = (padded | inside) if shared else padded
                able = ~(hindered & leading[index].reshape(node.groups, -1, 1)).any(axis=1).reshape(-1)
            elif node.op == "add":
                others = [other for other in node.inputs if other != source and shifts[other]]
                able = onward | np.any([~uniform[other] for other in others] or [useless], axis=0)
            elif node.op in ("flatten", "view"):
                near, far = source_units(node, topology.nodes[source].shape)
                able = np.bincount(near, ~onward[far], minlength=topology.nodes[source].shape[0]) == 0
            elif node.op == "concat" and node.axes == (0,):
                start = sum(topology.nodes[other].shape[0] for other in node.inputs[:place])
                able = onward[start : start + topology.nodes[source].shape[0]]
            elif node.op == "output":
                able = np.zeros(node.shape[0], dtype=np.bool_)
            elif _by_unit(node, place):
                able = onward
            else:
                able = np.full(topology.nodes[source].shape[0], useless.all())
            carried[source] &= able
    return carried


def _by_unit(node: Node, place: int) -> bool:
    """Whether what an operator makes of a unit of one of its inputs depends on that unit alone, or on uniform ones."""
    if node.op == "attention":
        return place == 2
    return node.op != "mix" and (node.op != "identity" or node.label in _ALIKE)
