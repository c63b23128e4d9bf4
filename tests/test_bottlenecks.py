"""Bottlenecks against taking every unit and every weight out in turn; dominators against networkx."""

import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from unrolled import NETS, Build, channel_graph, full_masks, mlp, random_masks, unrolled

from masktools.topology.bottlenecks import Bottlenecks, LayerBottlenecks, bottlenecks
from masktools.topology.dominators import UNREACHED, immediate_dominators
from masktools.topology.graph import LAYERS
from masktools.topology.reach import effective_masks


def without_each(topology, masks):
    """Slow oracle: take each unit and each weight at a node out of the channel graph, and see what is cut off."""
    graph = channel_graph(topology, unrolled(topology, masks))
    kinds = {name: topology.nodes[name[0]].op for name in graph}
    inputs = [name for name in graph if kinds[name] == "input"]
    outputs = [name for name in graph if kinds[name] == "output"]
    reached, reaching = connected(graph, inputs, outputs)
    own = {end: sole_unit(topology, graph, end) for end in outputs}
    result = {name: [0, 0, 0, 0] for name in topology.layers}
    on_unit, on_weight, worst = set(), set(), 0
    for unit in [name for name in graph if kinds[name] in LAYERS]:
        numbers = result[topology.nodes[unit[0]].weight]
        smaller = graph.copy()
        smaller.remove_node(unit)
        after, back = connected(smaller, inputs, outputs)
        classes = {end for end in reached - after if own[end] != unit}
        lost = reaching - back if unit not in own.values() else set()
        numbers[0] += 1
        numbers[1] += bool(classes)
        numbers[2] += bool(lost)
        worst = max(worst, len(classes))
        on_unit |= classes | lost
        weights = {}
        for near, _, key in graph.in_edges(unit, keys=True):
            weights.setdefault(key, []).append(near)
        for key, (near,) in weights.items():
            smaller = graph.copy()
            smaller.remove_edge(near, unit, key)
            after, back = connected(smaller, inputs, outputs)
            numbers[3] += (after, back) != (reached, reaching)
            on_weight |= (reached - after) | (reaching - back)
    ends, starts = set(outputs), set(inputs)
    counts = [len(reached), len(on_unit & ends), len(on_weight & ends)]
    counts += [len(reaching), len(on_unit & starts), len(on_weight & starts)]
    return result, counts, worst


def connected(graph, inputs, outputs):
    """Outputs that inputs reach, and inputs that reach outputs."""
    ahead = set().union(*({name} | nx.descendants(graph, name) for name in inputs))
    back = set().union(*({name} | nx.ancestors(graph, name) for name in outputs))
    return ahead & set(outputs), back & set(inputs)


def sole_unit(topology, graph, end):
    """The only unit that flows into an output, through whatever is no layer, or None."""
    found, stack = set(), [end]
    while stack:
        name = stack.pop()
        if topology.nodes[name[0]].op in ("input", *LAYERS):
            found.add(name)
        else:
            stack += graph.predecessors(name)
    return found.pop() if len(found) == 1 else None


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("density", "seed"), [(0.25, 0), (0.45, 1)])
def test_what_is_cut_off_equals_what_taking_out_cuts_off(net, density, seed):
    topology, shapes = NETS[net]()
    effective = effective_masks(topology, random_masks(shapes, density, seed))
    layers, counts, worst = without_each(topology, effective)
    found = bottlenecks(topology, effective)
    assert [(layer.name, list(vars(layer).values())[1:]) for layer in found.layers] == list(layers.items())
    total = np.sum(list(layers.values()), axis=0).tolist()
    assert found.total == LayerBottlenecks("total", *total)
    assert counts == [
        *(found.classes, found.classes_on_unit, found.classes_on_weight),
        *(found.inputs, found.inputs_on_unit, found.inputs_on_weight),
    ]
    assert found.worst_classes == worst
    assert (found.worst_unit is None) == (worst == 0)


def test_the_masks_above_leave_bottlenecks_of_every_kind():
    kinds = np.zeros(8, dtype=int)
    for net in NETS.values():
        topology, shapes = net()
        for density, seed in ((0.25, 0), (0.45, 1)):
            found = bottlenecks(topology, effective_masks(topology, random_masks(shapes, density, seed)))
            kinds += np.sign(
                [
                    *(found.total.class_cut_units, found.total.input_cut_units, found.total.cut_weights),
                    *(found.classes_on_unit, found.classes_on_weight, found.inputs_on_unit, found.inputs_on_weight),
                    found.worst_classes,
                ]
            )
    assert (kinds >= 4).all(), kinds


def test_by_hand():
    topology, _ = mlp(3, 3, 2, 2)
    masks = {
        # Hidden unit 2 of the first layer reads nothing.
        "fc1": np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0]], dtype=bool),
        # Both lead to unit 0 of the second layer alone.
        "fc2": np.array([[1, 1, 0], [0, 0, 0]], dtype=bool),
        "fc3": np.array([[1, 0], [1, 0]], dtype=bool),
    }
    assert bottlenecks(topology, masks) == Bottlenecks(
        layers=(
            # Input 0 leads to unit 0 alone, by one weight, and on by one weight.
            LayerBottlenecks("fc1", 3, 0, 1, 1),
            LayerBottlenecks("fc2", 2, 1, 1, 1),
            LayerBottlenecks("fc3", 2, 0, 0, 2),
        ),
        total=LayerBottlenecks("total", 7, 1, 2, 4),
        classes=2,
        classes_on_unit=2,
        classes_on_weight=2,
        inputs=2,
        inputs_on_unit=2,
        inputs_on_weight=1,
        worst_unit=("fc2", 0),
        worst_classes=2,
    )


def test_a_dense_network_has_none():
    topology, shapes = mlp(4, 3, 3, 2)
    found = bottlenecks(topology, full_masks(shapes))
    assert found.total == LayerBottlenecks("total", 8, 0, 0, 0)
    assert (found.classes, found.inputs, found.worst_unit) == (2, 4, None)


def test_a_network_without_paths_has_nothing_to_cut():
    topology, shapes = mlp(4, 3, 2)
    found = bottlenecks(topology, {name: np.zeros(shape, dtype=bool) for name, shape in shapes.items()})
    assert (found.classes, found.inputs, found.worst_unit, found.worst_classes) == (0, 0, None, 0)
    assert found.total == LayerBottlenecks("total", 5, 0, 0, 0)


def residual_output():
    """Two classes, each the sum of a unit and of what a layer makes of both units."""
    b = Build()
    x = b.linear(b.input(2), 2, "a")
    topology, shapes = b.done(b.same("add", x, b.linear(x, 2, "b")))
    return topology, full_masks(shapes)


def test_a_class_that_is_a_sum_hangs_on_what_all_summands_hang_on():
    topology, masks = residual_output()
    masks["b"][:] = [[True, False], [True, True]]
    found = bottlenecks(topology, masks)
    # Class 0 sums unit 0 and what is made of unit 0 alone; class 1 has both units.
    assert (found.classes_on_unit, found.worst_unit, found.worst_classes) == (1, ("a", 0), 1)
    masks["b"][0] = True
    assert bottlenecks(topology, masks).classes_on_unit == 0


def test_a_weight_that_alone_reads_a_sum_cuts_off_what_no_summand_would():
    b = Build()
    x = b.input(1)
    topology, shapes = b.done(b.linear(b.same("add", b.linear(x, 1, "a"), b.linear(x, 1, "b")), 2, "c"))
    masks = full_masks(shapes)
    found = bottlenecks(topology, masks)
    assert [layer.cut_weights for layer in found.layers] == [0, 0, 2]
    assert (found.inputs_on_weight, found.inputs_on_unit) == (0, 0)
    masks["c"][1] = False
    found = bottlenecks(topology, masks)
    assert [layer.cut_weights for layer in found.layers] == [0, 0, 1]
    assert (found.inputs_on_weight, found.classes_on_weight) == (1, 1)


def test_an_input_that_flows_into_an_output_does_not_hang_on_the_weight_beside():
    b = Build()
    x = b.linear(b.input(2), 1, "a")
    topology, shapes = b.done(x, b.linear(x, 1, "b"))
    found = bottlenecks(topology, full_masks(shapes))
    # The input channels have one weight each; that of b is all that its class has, and no input hangs on it.
    assert [layer.cut_weights for layer in found.layers] == [2, 1]
    masks = {**full_masks(shapes), "a": np.array([[True, False]])}
    assert bottlenecks(topology, masks).inputs_on_weight == 1
    b = Build()
    x = b.input(2)
    topology, shapes = b.done(x, b.linear(x, 1, "b"))
    assert bottlenecks(topology, full_masks(shapes)).inputs_on_weight == 0


def test_a_unit_that_is_only_added_to_another_leads_on_by_no_weight():
    b = Build()
    x, y = (b.conv(b.input(1, 1, 2), 1, name, kernel=(1, 2)) for name in "ab")
    topology, shapes = b.done(b.conv(b.same("add", x, y), 2, "c", kernel=(1, 1)))
    found = bottlenecks(topology, full_masks(shapes))
    assert (found.inputs, found.inputs_on_unit, found.inputs_on_weight) == (2, 2, 0)


def test_a_unit_of_a_convolution_is_its_channel():
    b = Build()
    x = b.conv(b.input(1, 3, 3), 2, "c", kernel=(2, 2))
    topology, shapes = b.done(b.linear(b.flatten(x), 2, "fc"))
    masks = full_masks(shapes)
    masks["c"][1] = False
    masks["c"][1, 0, 0, 0] = True
    masks["fc"][0, :4] = masks["fc"][1, 4:] = False
    masks["fc"][0, 5:] = False
    # Class 0 reads one column of channel 1, which has one tap; class 1 reads all columns of channel 0.
    found = bottlenecks(topology, masks)
    assert (found.classes_on_unit, found.classes_on_weight) == (2, 1)
    assert [layer.cut_weights for layer in found.layers] == [1, 1]


def test_results_become_dicts():
    topology, shapes = mlp(2, 1)
    found = bottlenecks(topology, full_masks(shapes)).to_dict()
    assert found["layers"] == [
        {"name": "fc1", "units": 1, "class_cut_units": 0, "input_cut_units": 0, "cut_weights": 2}
    ]
    assert found["total"] == {**found["layers"][0], "name": "total"}
    assert found["inputs_on_weight"] == 2


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 5), min_size=2, max_size=6), st.floats(0.05, 0.9))
def test_immediate_dominators_equal_those_of_networkx(seed, sizes, density):
    rng = np.random.default_rng(seed)
    bounds = np.cumsum([0, *sizes])
    place = np.repeat(np.arange(len(sizes)), sizes)
    arcs = (rng.random((bounds[-1], bounds[-1])) < density) & (place[:, None] > place)
    starts = (place == 0) | (rng.random(bounds[-1]) < 0.1)
    graph = nx.DiGraph([(near, far) for far, near in np.argwhere(arcs).tolist()])
    graph.add_edges_from((bounds[-1], start) for start in np.flatnonzero(starts).tolist())
    expected = nx.immediate_dominators(graph, bounds[-1])
    found = immediate_dominators(
        csr_array(arcs), [slice(start, stop) for start, stop in itertools.pairwise(bounds)], starts
    )
    for vertex, above in enumerate(found.tolist()):
        assert above == expected.get(vertex, UNREACHED)
