"""The operator graph as text, DOT and GraphML."""

import io
import re
import shutil
import subprocess

import networkx as nx
import numpy as np
import pytest
from unrolled import NETS, mlp, random_masks

from masktools.exporters.dot import as_dot
from masktools.exporters.graphml import as_graphml, neurons_as_graphml
from masktools.render.graph_text import graph_lines
from masktools.topology.drawing import drawing
from masktools.topology.neuron_graph import neuron_graph


def edges_of_lines(lines):
    """Read the edges back: every line is fed by the one above it unless it names others, or is an input."""
    edges = set()
    for line in lines:
        number = int(re.search(r"o (\d+) ", line)[1])
        named = re.search(r" <- ([\d, ]+)$", line)
        edges |= {(int(source), number) for source in (named[1].split(", ") if named else [])}
    return edges


@pytest.mark.parametrize("net", NETS)
def test_text_has_every_edge_but_those_to_the_next_line(net):
    topology, shapes = NETS[net]()
    drawn = drawing(topology, random_masks(shapes, 0.5, 0))
    lines = graph_lines(drawn)
    assert len(lines) == len(topology.nodes)
    expected = {(source, target) for source, target in drawn.edges if target != source + 1}
    assert edges_of_lines(lines) == expected


def test_text_of_a_residual_network_by_hand():
    topology, shapes = NETS["residual"]()
    masks = {name: np.ones(shape, dtype=bool) for name, shape in shapes.items()}
    assert graph_lines(drawing(topology, masks)) == [
        "o 0 input 1x5x5",
        "o 1 conv2d stem 3x5x5 density 1.00",
        "| o 2 conv2d a1 2x5x5 density 1.00",
        "| o 3 identity 2x5x5",
        "| o 4 conv2d a2 3x5x5 density 1.00",
        "| o 5 add 3x5x5 <- 1",
        "  | o 6 conv2d b1 3x3x3 density 1.00",
        "  | o 7 conv2d b2 4x3x3 density 1.00",
        "| | o 8 conv2d short 4x3x3 density 1.00 <- 5",
        "| o 9 add 4x3x3 <- 7",
        "o 10 adaptive_pool2d 4x1x1",
        "o 11 flatten 4",
        "o 12 linear head 3 density 1.00",
        "o 13 output 3",
    ]


@pytest.mark.parametrize("net", NETS)
def test_graphml_is_read_back_by_networkx(net):
    topology, shapes = NETS[net]()
    masks = random_masks(shapes, 0.5, 0)
    graph = nx.read_graphml(io.BytesIO(as_graphml(drawing(topology, masks)).encode()), force_multigraph=False)
    assert len(graph) == len(topology.nodes)
    assert set(graph.edges) == {(f"n{s}", f"n{i}") for i, node in enumerate(topology.nodes) for s in node.inputs}
    for index, node in enumerate(topology.nodes):
        facts = graph.nodes[f"n{index}"]
        assert facts["op"] == node.op
        assert facts["shape"] == "x".join(map(str, node.shape))
        if node.weight is not None:
            assert facts["active"] == np.count_nonzero(masks[node.weight])


def test_neurons_as_graphml():
    topology, shapes = mlp(4, 3, 2)
    masks = random_masks(shapes, 0.5, 0)
    graph = nx.read_graphml(io.BytesIO(neurons_as_graphml(neuron_graph(topology, masks).to_networkx()).encode()))
    assert graph.number_of_edges() == sum(np.count_nonzero(mask) for mask in masks.values())
    assert {"input:0", "fc2:1"} <= set(graph)


def test_dot_quotes_names_and_draws_every_edge():
    topology, shapes = mlp(4, 3)
    text = as_dot(drawing(topology, random_masks(shapes, 0.5, 0)))
    assert text.startswith("digraph network {")
    assert "n0 -> n1;" in text
    assert "n1 -> n2;" in text
    assert 'label="fc1\\nlinear\\n3\\ndensity ' in text
    if shutil.which("dot"):
        subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, text=True, check=True)
