"""Units and weights of a masked network whose loss cuts an input or an output off."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from masktools.frames import ToFrame
from masktools.topology.dominators import UNREACHED, immediate_dominators
from masktools.topology.graph import Topology
from masktools.topology.layer_edges import EdgeCache
from masktools.topology.unit_graph import NOBODY, UnitGraph, unit_graph

__all__ = ["Bottlenecks", "LayerBottlenecks", "bottlenecks"]


@dataclasses.dataclass(frozen=True)
class LayerBottlenecks:
    """Units and weights of a layer, or of all layers, whose loss cuts something off.

    Parameters
    ----------
    name
        Name of the layer; ``total`` for all together.
    units
        Number of output units. A layer that several nodes use has units and weights of its own at each.
    class_cut_units
        Units without which a class that paths from inputs lead to is not reached by any. (The unit that is the class
        does not count.)
    input_cut_units
        Units without which an input from which paths lead to classes has none. (Units that are a class do not count.)
    cut_weights
        Weights without which a class or an input is cut off.
    """

    name: str
    units: int
    class_cut_units: int
    input_cut_units: int
    cut_weights: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Bottlenecks(ToFrame):
    """What hangs on a single hidden unit, or a single weight, of a network.

    Parameters
    ----------
    layers
        One entry for each layer, in network order.
    total
        All layers together.
    classes
        Number of outputs of the network that paths from inputs lead to.
    classes_on_unit, classes_on_weight
        How many of these are cut off by the loss of one hidden unit, of one weight.
    inputs
        Number of inputs, channels or features, from which paths lead to outputs.
    inputs_on_unit, inputs_on_weight
        How many of these are cut off by the loss of one hidden unit, of one weight.
    worst_unit
        Layer and number of the unit that cuts most classes off, the first of several; None where none cuts any.
    worst_classes
        How many it cuts off.
    """

    layers: tuple[LayerBottlenecks, ...]
    total: LayerBottlenecks
    classes: int
    classes_on_unit: int
    classes_on_weight: int
    inputs: int
    inputs_on_unit: int
    inputs_on_weight: int
    worst_unit: tuple[str, int] | None
    worst_classes: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, layers as a list."""
        return {**dataclasses.asdict(self), "layers": [layer.to_dict() for layer in self.layers]}


def bottlenecks(
    topology: Topology, effective: Mapping[str, NDArray[np.bool_]], edges: EdgeCache | None = None
) -> Bottlenecks:
    """Find the units and weights whose loss cuts a class from all inputs, or an input from all classes.

    Parameters
    ----------
    topology
        The operator graph.
    effective
        The weights that carry a path position by position: boolean arrays by layer name, as
        `masktools.topology.reach.effective_masks` returns them.
    edges
        The edges of its layers, if they are known.

    Returns
    -------
    Bottlenecks
        How many classes and inputs hang on one unit or weight, layer by layer and in all.

    Raises
    ------
    StructureError
        If graph and masks do not fit; the message names the layer.

    Notes
    -----
    Paths are those of `masktools.topology.unit_graph`, from channel to channel: a unit of a convolution is its whole
    channel, and its loss that of all positions. What is cut off there is cut off position by position too, but not the
    other way round. A class is a unit of an output node. Where a residual sum flows into it without a weight in
    between, it hangs on what all summands hang on. The loss of a weight or unit of a layer that several nodes use is
    that of one use. All of it is exact.

    A unit cuts a class off if and only if it is on every path there, which is to say that it dominates the vertex of
    the class; the dominators are the ancestors in the tree of
    `masktools.topology.dominators.immediate_dominators`. For inputs the same holds with all arcs turned round.

    A weight w of a unit b cuts a class off if and only if b dominates the class, or is the class, and w is the only
    weight of b that reads a vertex which inputs reach. *If*: all paths to the class visit b, and enter it by a weight
    from a reached vertex, so by w. *Only if*: all paths to the class use w, hence visit b. If another weight of b read
    a reached vertex, a path there, on through that weight, and on from b to the class would not use w: it visits b
    once, since there are no cycles.

    Likewise the weight w from a vertex a cuts an input off if and only if all paths from the input visit a and w is the
    only arc, be it a weight or not, by which paths lead on from a. Here a may be a junction: where a sum is read by one
    weight alone, that weight cuts off what no single summand would.
    """
    graph = unit_graph(topology, effective, edges)
    vertices = len(graph.arcs.indptr) - 1
    ends = np.bincount(graph.classes[graph.classes != NOBODY], minlength=vertices)
    is_input, is_unit, is_class = graph.of_kind("input"), graph.of_kind("layer"), ends > 0
    places = [place.vertices for place in graph.places]

    ahead = _Tree(immediate_dominators(graph.arcs, places, is_input), places)
    degree, source = _arcs(graph.arcs, ahead.reached)
    only_in = is_unit & (degree == 1)
    here = np.where(ahead.reached, ends, 0)
    classes = ahead.below(here)
    cut_in = np.flatnonzero(only_in & (classes > 0))

    onward = graph.arcs.T.tocsr()
    back = _Tree(immediate_dominators(onward, places[::-1], is_class), places[::-1])
    degree, target = _arcs(onward, back.reached)
    only_out = (degree == 1) & ~is_class
    only_out[only_out] = is_unit[target[only_out]]
    used = is_input & back.reached
    inputs = back.below(used.astype(np.intp))
    cut_out = np.flatnonzero(only_out & (inputs > 0))

    class_cuts = np.where(is_unit, classes - here, 0)
    input_cuts = np.where(is_unit & ~is_class, inputs, 0)
    cuts = np.unique(np.concatenate([cut_in * vertices + source[cut_in], target[cut_out] * vertices + cut_out]))
    layers = _layers(topology, graph, class_cuts > 0, input_cuts > 0, np.bincount(cuts // vertices, minlength=vertices))
    worst = int(class_cuts.argmax())
    return Bottlenecks(
        layers=layers,
        total=LayerBottlenecks("total", *(sum(numbers) for numbers in zip(*map(_numbers, layers), strict=True))),
        classes=int(here.sum()),
        classes_on_unit=int(here[ahead.hanging(is_unit, itself=False)].sum()),
        classes_on_weight=int(here[ahead.hanging(only_in)].sum()),
        inputs=int(used.sum()),
        inputs_on_unit=int(np.count_nonzero(used & back.hanging(is_unit & ~is_class))),
        inputs_on_weight=int(np.count_nonzero(used & back.hanging(only_out))),
        worst_unit=_name(graph, worst) if class_cuts[worst] else None,
        worst_classes=int(class_cuts[worst]),
    )


class _Tree:
    """A tree of dominators: for each vertex the one above it; places in the order from the root."""

    def __init__(self, above: NDArray[np.int32], places: Sequence[slice]) -> None:
        self.above = above
        self.reached = above != UNREACHED
        self._places = [np.arange(place.start, place.stop)[self.reached[place]] for place in places]

    def below(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Sum over each vertex and all below it."""
        total = np.append(numbers, 0)
        for place in reversed(self._places):
            np.add.at(total, self.above[place], total[place])
        return total[:-1]

    def hanging(self, flags: NDArray[np.bool_], *, itself: bool = True) -> NDArray[np.bool_]:
        """Return whether a flag is set for a vertex (itself included or not) or for one above it."""
        found = np.append(flags, False)
        strictly = np.zeros_like(found)
        for place in self._places:
            strictly[place] = found[self.above[place]]
            found[place] |= strictly[place]
        return (found if itself else strictly)[:-1]


def _arcs(arcs: csr_array, counted: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return how many arcs each row has to vertices that count, and where there is one only, which vertex."""
    number = np.arange(len(counted)) * counted
    return arcs @ counted.astype(np.intp), arcs @ number


def _layers(
    topology: Topology,
    graph: UnitGraph,
    class_cuts: NDArray[np.bool_],
    input_cuts: NDArray[np.bool_],
    cut_weights: NDArray[np.intp],
) -> tuple[LayerBottlenecks, ...]:
    found = dict.fromkeys(topology.layers, (0, 0, 0, 0))
    for place in graph.places:
        if place.kind == "layer":
            rows = place.vertices
            new = place.units, class_cuts[rows].sum(), input_cuts[rows].sum(), cut_weights[rows].sum()
            old = found[place.name]
            found[place.name] = (old[0] + new[0], old[1] + int(new[1]), old[2] + int(new[2]), old[3] + int(new[3]))
    return tuple(LayerBottlenecks(name, *numbers) for name, numbers in found.items())


def _numbers(layer: LayerBottlenecks) -> tuple[int, int, int, int]:
    return layer.units, layer.class_cut_units, layer.input_cut_units, layer.cut_weights


def _name(graph: UnitGraph, vertex: int) -> tuple[str, int]:
    place = next(place for place in graph.places if place.first <= vertex < place.first + place.units)
    return place.name, vertex - place.first
