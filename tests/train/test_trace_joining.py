"""Sums, products, concatenations, paddings, interpolations and reductions."""

import pytest
import torch
from small_networks import a_and_b, graph, images, kinds, tokens, vectors
from test_trace_views import same_numbers
from torch import nn

from masktools.topology.graph import Node, View, Window
from masktools_train.tracing import TraceError

functional = nn.functional


def test_units_side_by_side():
    topology = graph(lambda n, x: torch.cat([n.a(x), x, n.b(x)], 1), a=nn.Linear(4, 2), b=nn.Linear(4, 3))
    assert topology.nodes[3:] == (
        Node("concat", (1, 0, 2), (9,), label="cat", axes=(0,)),
        Node("output", (3,), (9,)),
    )


def test_positions_side_by_side():
    topology = graph(lambda n, x: torch.cat([n.a(x), x], -1), images(), a=nn.Conv2d(3, 3, 1))
    assert topology.nodes[2] == Node("concat", (1, 0), (3, 6, 12), label="cat", axes=(2,))
    topology = graph(lambda n, x: n.b(torch.cat((n.a(x), n.a(x)[:, :2]), dim=1)), tokens(), **a_and_b())
    assert kinds(topology) == [
        ("input", (5, 4)), ("view", (4, 5)), ("linear", (4, 5)), ("linear", (4, 5)), ("view", (4, 2)),
        ("concat", (4, 7)), ("linear", (4, 7)), ("output", (4, 7)),
    ]  # fmt: skip


def test_a_class_token_is_a_constant():
    class WithToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))
            self.place = nn.Parameter(torch.zeros(1, 6, 4))

    def through(net, x):
        return torch.cat([net.m.token.expand(len(x), -1, -1), net.a(x)], 1) + net.m.place

    topology = graph(through, tokens(), m=WithToken(), a=nn.Linear(4, 4))
    assert topology.nodes[3:] == (
        Node("constant", (), (4, 1), label="m.token"),
        Node("concat", (3, 2), (4, 6), label="cat", axes=(1,)),
        Node("identity", (4,), (4, 6), label="add"),
        Node("output", (5,), (4, 6)),
    )


def test_stacking():
    topology = graph(lambda n, x: torch.stack([n.a(x), n.b(x)], 2).sum(2), **a_and_b())
    assert kinds(topology)[3:] == [
        ("view", (4, 1)), ("view", (4, 1)), ("concat", (4, 2)), ("adaptive_pool1d", (4, 1)), ("flatten", (4,)),
        ("output", (4,)),
    ]  # fmt: skip


def test_a_product_of_units_and_their_gates():
    """Squeeze and excite: one factor for each channel, wherever it is."""

    def through(net, x):
        return x * net.b(torch.relu(net.a(functional.adaptive_avg_pool2d(x, 1)))).sigmoid()

    topology = graph(through, images(4), a=nn.Conv2d(4, 2, 1), b=nn.Conv2d(2, 4, 1))
    assert topology.nodes[-3:] == (
        Node("view", (5,), (4, 6, 6), label="view", view=View((4, 36), (1, 0))),
        Node("mul", (0, 6), (4, 6, 6), label="mul"),
        Node("output", (7,), (4, 6, 6)),
    )
    gated = graph(lambda n, x: functional.glu(n.a(x)), a=nn.Linear(4, 6))
    assert gated.nodes[2:5] == (
        Node("view", (1,), (3,), label="view", view=View((3,), (1,))),
        Node("view", (1,), (3,), label="view", view=View((3,), (1,), 3)),
        Node("mul", (2, 3), (3,), label="glu"),
    )


def test_what_is_repeated_before_it_is_added():
    topology = graph(lambda n, x: n.a(x) - n.b(x), a=nn.Linear(4, 1), b=nn.Linear(4, 4))
    assert topology.nodes[3:5] == (
        Node("view", (1,), (4,), label="view", view=View((4,), (0,))),
        Node("add", (3, 2), (4,), label="sub"),
    )
    assert kinds(graph(lambda n, x: n.a(x) * torch.ones(3, 4), a=nn.Linear(4, 1)))[2:4] == [
        ("identity", (1,)), ("view", (4,)),
    ]  # fmt: skip


def test_tensors_of_the_same_order_are_added_as_they_are():
    topology = graph(lambda n, x: n.a(x).transpose(1, 2) + n.b(x).mT, tokens(), **a_and_b())
    assert [node.op for node in topology.nodes] == ["input", "view", "linear", "linear", "add", "output"]
    topology = graph(lambda n, x: n.c(x) + x.transpose(1, 2), tokens(4, 4), c=nn.Conv1d(4, 4, 1))
    assert [(node.op, node.view) for node in topology.nodes[2:4]] == [("view", View((4, 4), (1, 4))), ("add", None)]


def test_padding():
    topology = graph(lambda n, x: functional.pad(x, (1, 0, -1, 2)), images(3, 3))
    cut, padded, _ = topology.nodes[1:]
    assert (cut.op, cut.shape, cut.view) == ("view", (3, 2, 3), View((3, 6), (9, 1), 3))
    assert padded == Node(
        "resample", (1,), (3, 4, 4), label="pad", reads=(((0,), (1,), (), ()), ((), (0,), (1,), (2,)))
    )
    reflected = graph(lambda n, x: functional.pad(x, (2, 1), mode="reflect"), tokens(1, 4))
    assert reflected.nodes[1].reads == (((2,), (1,), (0,), (1,), (2,), (3,), (2,)),)
    channels = graph(lambda n, x: functional.pad(x, (0, 0, 0, 0, 1, 2)), images(3))
    assert kinds(channels)[1:-1] == [("constant", (1, 6, 6)), ("constant", (2, 6, 6)), ("concat", (6, 6, 6))]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_padding_that_differs_from_side_to_side():
    topology = same_numbers(lambda n, x: n.c(x), images(), c=nn.Conv2d(3, 2, (2, 3), padding="same"))
    assert topology.nodes[1] == Node(
        "resample",
        (0,),
        (3, 7, 6),
        label="pad",
        reads=(((0,), (1,), (2,), (3,), (4,), (5,), ()), tuple((i,) for i in range(6))),
    )
    assert topology.nodes[2].window == Window((2, 3), padding=(0, 1))


@pytest.mark.parametrize(
    ("options", "reads"),
    [
        ({"scale_factor": 2}, ((0,), (0,), (1,), (1,), (2,), (2,))),
        ({"size": 2}, ((0,), (1,))),
        ({"size": 5, "mode": "linear", "align_corners": True}, ((0,), (0, 1), (1,), (1, 2), (2,))),
        ({"size": 6, "mode": "linear"}, ((0,), (0, 1), (0, 1), (1, 2), (1, 2), (2,))),
        ({"size": 2, "mode": "area"}, ((0, 1), (1, 2))),
    ],
)
def test_interpolation_reads_what_it_weighs(options, reads):
    topology = graph(lambda n, x: functional.interpolate(x, **options), tokens(2, 3))
    assert topology.nodes[1].reads == (reads,)
    same_numbers(lambda n, x: functional.interpolate(x, scale_factor=1.7), images())


@pytest.mark.parametrize(
    ("through", "expected"),
    [
        (lambda x: x.mean((1, 2, 3)), [("mix", (3, 6, 6)), ("view", (1,))]),
        (lambda x: x.amax(1, keepdim=True), [("mix", (3, 6, 6)), ("view", (1, 6, 6))]),
        (lambda x: x.sum(-1), [("resample", (3, 6, 1)), ("view", (3, 6))]),
        (lambda x: x.std((2, 3)), [("adaptive_pool2d", (3, 1, 1)), ("flatten", (3,))]),
        (lambda x: x.flatten(2).mean(2), [("view", (3, 36)), ("adaptive_pool1d", (3, 1)), ("flatten", (3,))]),
        (lambda x: x.softmax(1), [("mix", (3, 6, 6))]),
        (lambda x: functional.normalize(x, dim=-1), [("mix", (3, 6, 6))]),
    ],
)
def test_reductions(through, expected):
    topology = graph(lambda n, x: through(x), images())
    assert kinds(topology)[1:-1] == expected


def test_where_softmax_mixes():
    axes = [graph(lambda n, x, a=axis: x.softmax(a), images()).nodes[1].axes for axis in (1, 2, -1)]
    assert axes == [(0,), (1,), (2,)]


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (lambda n, x: n.a(x) + x.sum(), r"torch\.Tensor\.sum on \[\(3, 4\)\]: reads all examples"),
        (lambda n, x: x.mean(0, keepdim=True) + x, "reads several examples"),
        (lambda n, x: x.softmax(0), "reads several examples"),
        (lambda n, x: torch.cat([x, x], 0), "batch"),
        (lambda n, x: x.cumsum(1), r"torch\.Tensor\.cumsum"),
        (lambda n, x: torch.cat([torch.zeros(3, 1), x.max(1, keepdim=True)[0]], 1), r"torch\.Tensor\.max"),
    ],
)
def test_what_reads_several_examples_is_refused(through, words):
    with pytest.raises(TraceError, match=words):
        graph(through, vectors(), **a_and_b())
