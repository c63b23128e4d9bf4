import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import TOPOLOGY

from masktools.errors import StructureError
from masktools.topology.graph import OPERATORS, Node, Topology, Window

CONV = Topology(
    (
        Node("input", (), (3, 32, 32)),
        Node("conv2d", (0,), (16, 16, 16), "conv.weight", "conv.bias", Window((3, 3), (2, 2), (1, 1), groups=1)),
        Node("identity", (1,), (16, 16, 16), bias="bn.bias", label="batch_norm"),
        Node("conv2d", (2,), (16, 16, 16), "same.weight", window=Window((3, 1), padding=(2, 0), dilation=(2, 1))),
        Node("add", (2, 3), (16, 16, 16)),
        Node("pool2d", (4,), (16, 8, 8), window=Window((2, 2), (2, 2))),
        Node("adaptive_pool2d", (5,), (16, 2, 2)),
        Node("flatten", (6,), (64,)),
        Node("linear", (7,), (10,), "head.weight"),
        Node("output", (8,), (10,)),
    )
)


def test_layers_come_in_the_order_of_first_use_and_once():
    assert CONV.layers == ("conv.weight", "same.weight", "head.weight")
    shared = Topology(
        (
            Node("input", (), (4,)),
            Node("linear", (0,), (4,), "b"),
            Node("linear", (1,), (4,), "a"),
            Node("linear", (2,), (4,), "b"),
            Node("output", (3,), (4,)),
        )
    )
    assert shared.layers == ("b", "a")


def test_every_operator_is_exercised_here():
    assert {node.op for node in CONV.nodes} == set(OPERATORS)


@pytest.mark.parametrize("graph", [CONV, TOPOLOGY])
def test_json_loses_nothing(graph: Topology):
    assert Topology.from_json(graph.to_json()) == graph


def test_json_leaves_out_what_is_not_said():
    rows = json.loads(TOPOLOGY.to_json())["nodes"]
    assert rows[0] == {"op": "input", "inputs": [], "shape": [40]}
    assert rows[1] == {"op": "linear", "inputs": [0], "shape": [30], "weight": "fc1.weight", "bias": "fc1.bias"}
    window = json.loads(CONV.to_json())["nodes"][1]["window"]
    assert window == {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1], "dilation": [1, 1], "groups": 1}


def changed(index: int, **changes: Any) -> tuple[Node, ...]:
    nodes = list(CONV.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    return tuple(nodes)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "needs an input and an output"),
        (CONV.nodes[:-1], "needs an input and an output"),
        ((Node("output", (), (4,)),), r"node 0 \('?output'?\): has 0 inputs, needs 1"),
        (changed(2, op="relu"), r"node 2 \('?relu'?\): unknown operator; known are input, linear, conv2d"),
        (changed(2, inputs=(2,)), "node 2 .*fed by a node that does not come before it"),
        (changed(2, inputs=(5,)), "does not come before it"),
        (changed(2, inputs=(-1,)), "does not come before it"),
        (changed(2, inputs=(0, 1)), "has 2 inputs, needs 1"),
        (changed(2, inputs=()), "has 0 inputs, needs 1"),
        (changed(4, inputs=(2,)), "has 1 inputs, needs 2"),
        (changed(0, op="add", inputs=()), "has 0 inputs, needs 2"),
        (changed(2, op="input"), "has 1 inputs, needs 0"),
        (changed(2, shape=()), "neither"),
        (changed(2, shape=(16, 16)), "neither"),
        (changed(2, shape=(16, 16, 16, 1)), "neither"),
        (changed(2, shape=(16, 0, 16)), "neither"),
        (changed(2, shape=(-4,)), "neither"),
        (changed(2, shape=(2**20, 2**20, 2)), "not credible"),
        (changed(1, weight=None), "linear and conv2d name a weight"),
        (changed(8, weight=None), "linear and conv2d name a weight"),
        (changed(2, weight="w"), "linear and conv2d name a weight"),
        (changed(1, window=None), "conv2d and pool2d have a window"),
        (changed(5, window=None), "conv2d and pool2d have a window"),
        (changed(8, window=Window((1, 1))), "conv2d and pool2d have a window"),
        (changed(1, window=Window((0, 3))), "not credible"),
        (changed(1, window=Window((3, 3), stride=(1, 0))), "not credible"),
        (changed(1, window=Window((3, 3), padding=(0, -1))), "not credible"),
        (changed(1, window=Window((3, 3), dilation=(0, 1))), "not credible"),
        (changed(1, window=Window((3, 3), groups=0)), "not credible"),
        (changed(1, window=Window((3, 2**21))), "not credible"),
    ],
)
def test_rules_are_checked_and_the_node_named(nodes: tuple[Node, ...], message: str):
    with pytest.raises(StructureError, match=message):
        Topology(nodes)


def row(**changes: Any) -> str:
    """Return a graph as JSON whose linear node is changed; None leaves a field out."""
    node: dict[str, Any] = {"op": "linear", "inputs": [0], "shape": [3], "weight": "w", **changes}
    node = {key: value for key, value in node.items() if value is not ...}
    ends = {"op": "input", "inputs": [], "shape": [4]}, {"op": "output", "inputs": [1], "shape": [3]}
    return json.dumps({"nodes": [ends[0], node, ends[1]]})


def test_the_row_itself_is_a_graph():
    assert Topology.from_json(row()).layers == ("w",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "null",
        "[]",
        "{}",
        '{"nodes": 3}',
        '{"nodes": [3]}',
        '{"nodes": [[]]}',
        "[" * 100_000,
        '{"nodes": [' + "9" * 5000 + "]}",
        row(op=...),
        row(inputs=...),
        row(shape=...),
        row(inputs=0),
        row(inputs="0"),
        row(inputs=["0"]),
        row(inputs=[0.0]),
        row(inputs=[True]),
        row(inputs=None),
        row(shape=[3.5]),
        row(shape={"3": 3}),
        row(weight=3),
        row(weight=["w"]),
        row(bias=3),
        row(window=3),
        row(window=[]),
        row(window={}),
        row(window={"kernel": [3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}),
        row(window={"kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": "1"}),
    ],
    ids=lambda text: text[:60],
)
def test_what_is_no_graph_is_refused(text: str):
    with pytest.raises(StructureError, match="operator graph"):
        Topology.from_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["linear", "input", "add"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["nodes", "op", "inputs", "shape", "window", "weight"]) | st.text(), inner)
    ),
    max_leaves=12,
)


@given(st.builds(lambda rows: json.dumps({"nodes": rows}), st.lists(JSON)) | st.builds(json.dumps, JSON) | st.text())
def test_any_text_is_a_graph_or_refused(text: str):
    try:
        graph = Topology.from_json(text)
    except StructureError:
        return
    assert Topology.from_json(graph.to_json()) == graph


@given(st.dictionaries(st.sampled_from(["op", "inputs", "shape", "weight", "bias", "window", "label"]), JSON))
def test_any_node_is_a_node_or_refused(changes: dict[str, Any]):
    test_any_text_is_a_graph_or_refused.hypothesis.inner_test(row(**changes))
