import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import TOPOLOGY

from masktools.errors import StructureError
from masktools.topology.graph import OPERATORS, Heads, Node, Topology, View, Window
from masktools.topology.shapes import check_shapes

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

TOKENS = Topology(
    (
        Node("input", (), (1, 4, 4)),
        Node("conv2d", (0,), (6, 2, 2), "patch.weight", window=Window((2, 2), (2, 2))),
        Node("view", (1,), (6, 4), view=View((6, 4), (4, 1))),
        Node("constant", (), (6, 1)),
        Node("concat", (3, 2), (6, 5), axes=(1,)),
        Node("attention", (4, 4, 4), (6, 5), heads=Heads(2, causal=True)),
        Node("mul", (5, 4), (6, 5)),
        Node("mix", (6,), (6, 5), axes=(0, 1)),
        Node("resample", (7,), (6, 4), reads=(((), (0, 2), (4,), (3, 0)),)),
        Node("conv1d", (8,), (4, 4), "conv1.weight", window=Window((3,), (1,), (1,), (1,), groups=2)),
        Node("pool1d", (9,), (4, 2), window=Window((2,), (2,), (0,), (1,))),
        Node("adaptive_pool1d", (10,), (4, 1)),
        Node("view", (11,), (4,), view=View((4,), (-1,), 3)),
        Node("view", (12,), (1, 2, 2, 2), view=View((2, 2, 2), (2, 1, 0))),
        Node("conv3d", (13,), (2, 2, 2, 2), "conv3.weight", window=Window((1, 1, 1), (1,) * 3, (0,) * 3, (1,) * 3)),
        Node("pool3d", (14,), (2, 1, 2, 2), window=Window((2, 1, 1), (1,) * 3, (0,) * 3, (1,) * 3)),
        Node("adaptive_pool3d", (15,), (2, 1, 1, 1)),
        Node("output", (16,), (2, 1, 1, 1)),
    )
)


def test_the_graphs_fit_their_weights():
    weights = {"patch.weight": (6, 1, 2, 2), "conv1.weight": (4, 3, 3), "conv3.weight": (2, 1, 1, 1, 1)}
    check_shapes(TOKENS, weights)
    check_shapes(CONV, {"conv.weight": (16, 3, 3, 3), "same.weight": (16, 16, 3, 1), "head.weight": (10, 64)})


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
    assert {node.op for node in (*CONV.nodes, *TOKENS.nodes)} == set(OPERATORS)


@pytest.mark.parametrize("graph", [CONV, TOKENS, TOPOLOGY])
def test_json_loses_nothing(graph: Topology):
    assert Topology.from_json(graph.to_json()) == graph


def test_json_leaves_out_what_is_not_said():
    rows = json.loads(TOPOLOGY.to_json())["nodes"]
    assert rows[0] == {"op": "input", "inputs": [], "shape": [40]}
    assert rows[1] == {"op": "linear", "inputs": [0], "shape": [30], "weight": "fc1.weight", "bias": "fc1.bias"}
    window = json.loads(CONV.to_json())["nodes"][1]["window"]
    assert window == {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    rows = json.loads(TOKENS.to_json())["nodes"]
    assert rows[12]["view"] == {"sizes": [4], "strides": [-1], "offset": 3}
    assert rows[4] == {"op": "concat", "inputs": [3, 2], "shape": [6, 5], "axes": [1]}
    assert rows[5] == {"op": "attention", "inputs": [4] * 3, "shape": [6, 5], "heads": {"count": 2, "causal": True}}
    assert rows[8] == {"op": "resample", "inputs": [7], "shape": [6, 4], "reads": [[[], [0, 2], [4], [3, 0]]]}


def changed(index: int, graph: Topology = CONV, **changes: Any) -> tuple[Node, ...]:
    nodes = list(graph.nodes)
    nodes[index] = dataclasses.replace(nodes[index], **changes)
    return tuple(nodes)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((), "needs an input and an output"),
        (CONV.nodes[:-1], "needs an input and an output"),
        ((Node("output", (), (4,)),), r"node 0 \('?output'?\): has 0 inputs, needs 1"),
        (changed(2, op="relu"), r"node 2 \('?relu'?\): unknown operator; known are input, constant, linear, conv1d"),
        (changed(2, inputs=(2,)), "node 2 .*fed by a node that does not come before it"),
        (changed(2, inputs=(5,)), "does not come before it"),
        (changed(2, inputs=(-1,)), "does not come before it"),
        (changed(2, inputs=(0, 1)), "has 2 inputs, needs 1"),
        (changed(2, inputs=()), "has 0 inputs, needs 1"),
        (changed(4, inputs=(2,)), "has 1 inputs, needs 2"),
        (changed(0, op="add", inputs=()), "has 0 inputs, needs 2"),
        (changed(2, op="input"), "has 1 inputs, needs 0"),
        (changed(2, shape=()), "no number of units and up to 4 axes"),
        (changed(2, shape=(16, 1, 1, 1, 1, 1)), "no number of units and up to 4 axes"),
        (changed(2, shape=(16, 0, 16)), "no number of units"),
        (changed(2, shape=(-4,)), "no number of units"),
        (changed(3, TOKENS, inputs=(0,)), "has 1 inputs, needs 0"),
        (changed(4, TOKENS, inputs=(2,)), "has 1 inputs, needs 2"),
        (changed(6, TOKENS, inputs=(5,)), "has 1 inputs, needs 2"),
        (changed(5, TOKENS, inputs=(4, 4)), "has 2 inputs, needs 3"),
        (changed(5, TOKENS, inputs=(4, 4, 4, 4)), "has 4 inputs, needs 3"),
        (changed(2, shape=(2**20, 2**20, 2)), "not credible"),
        (changed(1, weight=None), r"weight is given .* or missing: conv1d, conv2d, conv3d, linear have one"),
        (changed(8, weight=None), r"weight is given .* or missing: conv1d, conv2d, conv3d, linear have one"),
        (changed(2, weight="w"), r"weight is given .* or missing: conv1d, conv2d, conv3d, linear have one"),
        (
            changed(1, window=None),
            r"window is given .* or missing: conv1d, conv2d, conv3d, pool1d, pool2d, pool3d have",
        ),
        (
            changed(5, window=None),
            r"window is given .* or missing: conv1d, conv2d, conv3d, pool1d, pool2d, pool3d have",
        ),
        (
            changed(8, window=Window((1, 1))),
            r"window is given .* or missing: conv1d, conv2d, conv3d, pool1d, pool2d, pool3d have",
        ),
        (changed(1, window=Window((0, 3))), "not credible"),
        (changed(1, window=Window((3, 3), stride=(1, 0))), "not credible"),
        (changed(1, window=Window((3, 3), padding=(0, -1))), "not credible"),
        (changed(1, window=Window((3, 3), dilation=(0, 1))), "not credible"),
        (changed(1, window=Window((3, 3), groups=0)), "not credible"),
        (changed(1, window=Window((3, 2**21))), "not credible"),
        (changed(1, window=Window((3,))), "does not have 2 axes"),
        (changed(9, TOKENS, window=Window((3,))), "does not have 1 axes"),
        (changed(14, TOKENS, window=Window((1, 1, 1))), "does not have 3 axes"),
        (changed(2, TOKENS, view=None), "view is given where it has no meaning, or missing: view have one"),
        (changed(3, TOKENS, view=View((6,), (1,))), "view is given where it has no meaning"),
        (changed(8, TOKENS, reads=None), "reads is given .* or missing: resample"),
        (changed(7, TOKENS, reads=()), "reads is given where it has no meaning"),
        (changed(4, TOKENS, axes=None), "axes is given .* or missing: concat, mix"),
        (changed(7, TOKENS, axes=None), "axes is given .* or missing: concat, mix"),
        (changed(6, TOKENS, axes=(0,)), "axes is given where it has no meaning"),
        (changed(5, TOKENS, heads=None), "heads is given .* or missing: attention"),
        (changed(6, TOKENS, heads=Heads(1)), "heads is given where it has no meaning"),
        (changed(2, TOKENS, view=View((6, 4), (4,))), "no stride for each size"),
        (changed(2, TOKENS, view=View((6, 4, 0), (4, 1, 1))), "no stride for each size"),
        (changed(2, TOKENS, view=View((6, 2), (4, 1))), "does not hold the elements of"),
        (changed(2, TOKENS, view=View((6, 4), (4, 2**41))), "does not hold"),
        (changed(2, TOKENS, view=View((6, 4), (-(2**41), 1))), "does not hold"),
        (changed(2, TOKENS, view=View((6, 4), (4, 1), 2**41)), "does not hold"),
        (changed(2, TOKENS, view=View((6, 4) + (1,) * 31, (1,) * 33)), "more than 32 sizes"),
        (changed(4, TOKENS, axes=()), "axes .* do not fit shape"),
        (changed(4, TOKENS, axes=(0, 1)), "axes .* do not fit shape"),
        (changed(4, TOKENS, axes=(2,)), "axes .* do not fit shape"),
        (changed(7, TOKENS, axes=(0, 0)), "axes .* do not fit shape"),
        (changed(7, TOKENS, axes=(-1,)), "axes .* do not fit shape"),
        (changed(5, TOKENS, heads=Heads(4)), "does not split into 4 heads"),
        (changed(5, TOKENS, heads=Heads(0)), "does not split into 0 heads"),
        (changed(5, TOKENS, shape=(6,)), "does not split into 2 heads"),
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
        row(op="input", inputs="", weight=...),
        row(op="input", inputs={}, weight=...),
        *(
            row(op="view", weight=..., view=view)
            for view in (
                3,
                [],
                {},
                {"sizes": [3], "strides": [1]},
                {"sizes": 3, "strides": 1, "offset": 0},
                {"sizes": [3], "strides": [1], "offset": False},
                {"sizes": [3], "strides": [1], "offset": None},
                {"sizes": [3], "strides": [0.5], "offset": 0},
                {"sizes": "", "strides": "", "offset": 0},
            )
        ),
        *(
            row(op="resample", weight=..., reads=reads)
            for reads in (
                3,
                "",
                {},
                [3],
                [[3]],
                [["3"]],
                [[[1.0]]],
                [[[None]]],
                [{"1": [1]}],
                [[{}]],
                [[""]],
                [""],
            )
        ),
        *(row(op="mix", weight=..., axes=axes) for axes in (0, "0", [0.0], [[0]], [None], [False], {}, "")),
        *(
            row(op="attention", inputs=[0, 0, 0], shape=[4, 1], weight=..., heads=heads)
            for heads in (
                1,
                [],
                {},
                {"count": 1},
                {"causal": True},
                {"count": 1, "causal": 0},
                {"count": 1, "causal": 1},
                {"count": 1, "causal": "false"},
                {"count": 1, "causal": None},
                {"count": True, "causal": True},
            )
        ),
    ],
    ids=lambda text: text[:200],
)
def test_what_is_no_graph_is_refused(text: str):
    with pytest.raises(StructureError, match="operator graph"):
        Topology.from_json(text)


FIELDS = [field.name for field in dataclasses.fields(Node)]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["linear", "input", "add", "view", "mix", "resample"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "nodes", "sizes", "strides", "offset", "count", "causal"]) | st.text(), inner
        )
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


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_node_is_a_node_or_refused(changes: dict[str, Any]):
    test_any_text_is_a_graph_or_refused.hypothesis.inner_test(row(**changes))


NUMBERS = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@st.composite
def any_node(draw: st.DrawFn) -> Node:
    """A node that is sound by itself, fed by node 0."""
    op = draw(st.sampled_from(["linear", "conv1d", "pool3d", "view", "resample", "concat", "mix", "attention"]))
    shape = draw(NUMBERS)
    inputs = (0,) * {"concat": draw(st.integers(2, 3)), "attention": 3}.get(op, 1)
    fields: dict[str, Any] = {"label": draw(st.text(max_size=3)), "bias": draw(st.none() | st.text(max_size=3))}
    if op in ("linear", "conv1d"):
        fields["weight"] = draw(st.text(min_size=1, max_size=3))
    if op in ("conv1d", "pool3d"):
        axes = (1,) if op == "conv1d" else (1, 1, 1)
        fields["window"] = Window(
            *(tuple(draw(st.integers(1, 9)) for _ in axes) for _ in range(4)), draw(st.integers(1, 3))
        )
    if op == "view":
        strides = tuple(draw(st.integers(-9, 9)) for _ in shape)
        fields["view"] = View(draw(st.permutations(shape).map(tuple)), strides, draw(st.integers(0, 9)))
    if op == "resample":
        lists = st.lists(st.lists(st.integers(0, 9), max_size=3).map(tuple), max_size=3).map(tuple)
        fields["reads"] = draw(st.lists(lists, max_size=3).map(tuple))
    if op in ("concat", "mix"):
        axes = draw(st.permutations(range(len(shape))))
        fields["axes"] = tuple(axes[: 1 if op == "concat" else draw(st.integers(1, len(axes)))])
    if op == "attention":
        count = draw(st.integers(1, 3))
        shape, fields["heads"] = (count * shape[0], 2, *shape[1:]), Heads(count, draw(st.booleans()))
    return Node(op, inputs, shape, **fields)


@given(st.lists(any_node(), max_size=4))
def test_json_loses_nothing_of_any_graph(nodes: list[Node]):
    graph = Topology((Node("input", (), (3,)), *nodes, Node("output", (0,), (3,))))
    text = graph.to_json()
    assert Topology.from_json(text) == graph
    assert Topology.from_json(text).to_json() == text


def test_what_is_refused_is_not_repeated_in_full():
    for text in (row(shape=[0] * 10**5), row(inputs=["x" * 10**5]), row(op="mix", weight=..., axes="0" * 10**5)):
        with pytest.raises(StructureError) as caught:
            Topology.from_json(text)
        assert len(str(caught.value)) < 1000
