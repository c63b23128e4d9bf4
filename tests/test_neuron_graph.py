"""The neuron graph against the unrolled one, and by hand."""

import dataclasses

import networkx as nx
import numpy as np
import pytest
from stored import content
from unrolled import NETS, Build, channel_graph, full_masks, mlp, random_masks, unrolled

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.snapshot.read import Snapshot
from masktools.snapshot.write import write_snapshot
from masktools.topology.graph import LAYERS, Node, Topology
from masktools.topology.neuron_graph import neuron_graph


def flowing(topology, masks):
    """Slow oracle: the channel graph without the edges of layers, and for each weight what it reads and writes."""
    channels = channel_graph(topology, unrolled(topology, masks))
    flow, weights = nx.DiGraph(), []
    flow.add_nodes_from(channels)
    for near, far, (_, element) in channels.edges(keys=True):
        if topology.nodes[far[0]].op in LAYERS:
            weights.append((near, far, element))
        else:
            flow.add_edge(near, far)
    return flow, weights


def expected(topology, masks):
    """Number of weights by pair of (node, channel), and the units that flow into each output channel."""
    flow, weights = flowing(topology, masks)
    units = {name for name in flow if topology.nodes[name[0]].op in ("input", *LAYERS)}
    into = {name: ({name} | nx.ancestors(flow, name)) & units for name in flow}
    taps = {}
    for near, far, _ in weights:
        for unit in into[near]:
            taps[unit, far] = taps.get((unit, far), 0) + 1
    ends = [name for name in sorted(flow) if topology.nodes[name[0]].op == "output"]
    return units, taps, [into[name] for name in ends]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("density", [0.3, 1.0])
def test_edges_and_outputs_equal_those_of_the_unrolled_graph(net, density):
    topology, shapes = NETS[net]()
    masks = random_masks(shapes, density, 1)
    units, taps, ends = expected(topology, masks)
    found = neuron_graph(topology, masks)
    names = [(place.node, index) for place in found.places for index in range(place.units)]
    assert found.units == len(names)
    assert set(names) == units
    edges = found.adjacency.tocoo()
    near, far, counts = edges.row.tolist(), edges.col.tolist(), edges.data.tolist()
    assert {(names[a], names[b]): count for a, b, count in zip(near, far, counts, strict=True)} == taps
    assert len(counts) == len(taps)
    assert all(a < b for a, b in zip(near, far, strict=True))
    classes = [{names[unit] for unit in np.flatnonzero(row)} for row in found.classes.toarray()]
    assert classes == ends
    assert {names[unit] for unit in found.outputs} == set().union(*ends)


def test_the_nets_above_have_weights_that_read_several_units():
    topology, shapes = NETS["residual"]()
    assert (
        neuron_graph(topology, full_masks(shapes)).adjacency.nnz
        > sum(out * fed for out, fed, *_ in shapes.values()) - shapes["head"][0] * shapes["head"][1]
    )


def test_networkx_has_labels_and_taps():
    b = Build()
    x = b.conv(b.input(1, 3, 3), 2, "c", kernel=(2, 2))
    topology, _ = b.done(b.linear(b.flatten(b.same("identity", x)), 2, "fc"))
    conv, linear = np.zeros((2, 1, 2, 2), dtype=bool), np.zeros((2, 8), dtype=bool)
    conv[0, 0, :, 0] = conv[1, 0, 0, 1] = True
    # Columns 0 to 3 are positions of channel 0, the rest of channel 1.
    linear[0, [0, 2, 3]] = linear[0, 4] = linear[1, 7] = True
    graph = neuron_graph(topology, {"c": conv, "fc": linear}).to_networkx()
    assert {(near, far): taps for near, far, taps in graph.edges(data="taps")} == {
        (("input", 0), ("c", 0)): 2,
        (("input", 0), ("c", 1)): 1,
        (("c", 0), ("fc", 0)): 3,
        (("c", 1), ("fc", 0)): 1,
        (("c", 1), ("fc", 1)): 1,
    }
    assert graph.nodes["fc", 1] == {"kind": "layer", "place": "fc", "node": 4, "index": 1, "output": True}
    assert graph.nodes["input", 0] == {"kind": "input", "place": "input", "node": 0, "index": 0, "output": False}


def test_an_image_that_is_only_flattened_has_a_unit_for_each_pixel():
    b = Build()
    topology, _ = b.done(b.linear(b.flatten(b.same("identity", b.input(1, 2, 2))), 2, "fc"))
    graph = neuron_graph(topology, {"fc": np.array([[1, 1, 0, 0], [0, 0, 0, 1]], dtype=bool)})
    assert graph.adjacency.toarray()[:4, 4:].T.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1]]


def test_what_is_added_to_itself_is_read_once():
    b = Build()
    x = b.linear(b.input(1), 1, "a")
    topology, shapes = b.done(b.linear(b.same("add", x, x), 1, "b"))
    assert neuron_graph(topology, full_masks(shapes)).adjacency.toarray().tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_what_flows_into_a_sum_in_two_ways_is_read_once():
    b = Build()
    x, y = b.input(1), b.input(1)
    topology, shapes = b.done(b.linear(b.same("add", b.same("add", x, y), x), 1, "a"))
    assert neuron_graph(topology, full_masks(shapes)).adjacency.toarray()[:, 2].tolist() == [1, 1, 0]


def test_a_weight_at_several_nodes_has_units_at_each():
    topology, shapes = NETS["shared"]()
    labels = neuron_graph(topology, full_masks(shapes)).labels
    assert len(set(labels)) == len(labels)
    assert [name for name, index in labels if index == 0] == [
        *("input@0", "w@1", "input@2", "w@3", "unread"),
        *("w@6", "head"),
    ]


def test_taps_that_only_meet_padding_are_no_edges():
    b = Build()
    topology, shapes = b.done(b.conv(b.input(1, 1, 1), 1, "c", padding=(1, 1)))
    assert neuron_graph(topology, full_masks(shapes)).adjacency.toarray().tolist() == [[0, 1], [0, 0]]


def test_a_constant_is_no_unit():
    b = Build()
    x = b.same("add", b.constant(2), b.linear(b.input(1), 2, "a"))
    topology, shapes = b.done(b.linear(b.concat(x, b.constant(1)), 1, "b"), b.constant(1))
    graph = neuron_graph(topology, full_masks(shapes))
    assert graph.labels == [("input", 0), ("a", 0), ("a", 1), ("b", 0)]
    assert graph.adjacency.toarray()[1:3, 3].tolist() == [1, 1]
    assert graph.classes.toarray().tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]


def test_a_mask_that_does_not_fit_is_refused():
    topology, _ = mlp(3, 2)
    with pytest.raises(StructureError, match="fc1"):
        neuron_graph(topology, {"fc1": np.ones((2, 4), dtype=bool)})


def test_a_snapshot_gives_its_graph(tmp_path):
    write_snapshot(tmp_path / "s.h5", content())
    snapshot = Snapshot(tmp_path / "s.h5")
    masks = {name: mask.to_bool() for name, mask in snapshot.masks().items()}
    adjacency, labels = snapshot.to_scipy()
    assert labels[0] == ("input", 0)
    assert labels[-1] == ("fc2.weight", 6)
    np.testing.assert_array_equal(adjacency.toarray()[:40, 40:70], masks["fc1.weight"].T)
    np.testing.assert_array_equal(adjacency.toarray()[40:70, 70:], masks["fc2.weight"].T)
    graph = snapshot.to_networkx()
    assert graph.number_of_edges() == snapshot.active
    assert list(graph) == labels


def test_axes_in_another_order_are_the_same_graph(tmp_path):
    plain = content()
    turned = tuple(
        dataclasses.replace(
            layer, mask=PackedMask.from_bool(layer.mask.to_bool().T.copy()), values=None, kind="none", axes="in,out"
        )
        for layer in plain.layers
    )
    write_snapshot(tmp_path / "a.h5", plain)
    write_snapshot(tmp_path / "b.h5", dataclasses.replace(plain, layers=turned))
    one, other = (Snapshot(tmp_path / f"{name}.h5").to_scipy()[0] for name in "ab")
    assert (one != other).nnz == 0


def test_a_snapshot_without_a_graph_says_so(tmp_path):
    write_snapshot(tmp_path / "s.h5", content(topology=None))
    for export in (Snapshot(tmp_path / "s.h5").to_scipy, Snapshot(tmp_path / "s.h5").to_networkx):
        with pytest.raises(StructureError, match=r"s\.h5: holds no operator graph"):
            export()


def test_a_snapshot_whose_graph_does_not_fit_says_so(tmp_path):
    other = Topology(
        (Node("input", (), (40,)), Node("linear", (0,), (30,), weight="fc1.weight"), Node("output", (1,), (30,)))
    )
    write_snapshot(tmp_path / "s.h5", content(topology=other))
    with pytest.raises(StructureError, match=r"s\.h5: layer fc2\.weight"):
        Snapshot(tmp_path / "s.h5").to_scipy()
