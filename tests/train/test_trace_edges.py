"""Operator graphs from edges that a user tells."""

import pytest
import torch
from small_networks import Net, images, kinds, tokens, vectors
from torch import nn

from masktools.topology.graph import Node
from masktools_train.edges import topology_from_edges
from masktools_train.models.resnet import CifarResNet
from masktools_train.tracing import TraceError, trace


class Untraceable(nn.Module):
    """Two branches, a skip and a joint, with functions between them that no tracer knows."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.left = nn.Conv2d(4, 4, 1)
        self.right = nn.Conv2d(4, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(24, 2)

    def forward(self, inputs):
        hidden = self.stem(inputs)
        hidden = hidden + torch.from_numpy(self.left(hidden).detach().numpy())
        both = torch.cat([hidden, self.right(hidden).round()], 1)
        return self.fc(self.pool(both).reshape(len(inputs), -1))


EDGES = [
    ("input", "stem.0"), ("stem.0", "stem.1"), ("stem.1", "stem.2"),
    ("stem.2", "left"), ("left", "sum"), ("stem.2", "sum"),
    ("sum", "right"), ("sum", "both"), ("right", "both"),
    ("both", "pool"), ("pool", "fc"), ("fc", "output"),
]  # fmt: skip
JOIN = {"sum": "add", "both": "concat"}


def test_a_model_that_cannot_be_traced():
    model = Untraceable()
    with pytest.raises(TraceError):
        trace(model, images())
    topology = topology_from_edges(model, images(), EDGES, join=JOIN)
    assert topology.nodes[4:] == (
        Node("conv2d", (3,), (4, 6, 6), "left.weight", "left.bias", topology.nodes[4].window, label="conv2d"),
        Node("add", (4, 3), (4, 6, 6), label="add"),
        Node("conv2d", (5,), (2, 6, 6), "right.weight", "right.bias", topology.nodes[6].window, label="conv2d"),
        Node("concat", (5, 6), (6, 6, 6), label="cat", axes=(0,)),
        Node("adaptive_pool2d", (7,), (6, 2, 2), label="adaptive_avg_pool2d"),
        Node("flatten", (8,), (24,), label="flatten"),
        Node("linear", (9,), (2,), "fc.weight", "fc.bias", label="linear"),
        Node("output", (10,), (2,)),
    )
    assert all(module.training for module in model.modules())
    assert topology.layers == ("stem.0.weight", "left.weight", "right.weight", "fc.weight")


def test_whole_parts_of_a_model_may_be_one_name():
    model = Untraceable()
    edges = [("input", "stem"), ("stem", "left"), *EDGES[4:]]
    edges[3] = ("stem", "sum")
    assert topology_from_edges(model, images(), edges, join=JOIN) == topology_from_edges(
        model, images(), EDGES, join=JOIN
    )


def test_what_changes_shapes_has_to_be_a_module():
    model, example = CifarResNet((3, 8, 8), 4, 1), torch.rand(2, 3, 8, 8)
    edges = [("input", "conv"), ("conv", "bn"), ("bn", "blocks"), ("blocks", "fc"), ("fc", "output")]
    with pytest.raises(TraceError, match=r"module 'fc' gets shape \(2, 64\) in the model, and \(2, 256\) by its edges"):
        topology_from_edges(model, example, edges)
    model.pool = nn.AdaptiveAvgPool2d(1)
    edges[3:4] = [("blocks", "pool"), ("pool", "fc")]
    with pytest.raises(TraceError, match="module 'pool' does not run in the model"):
        topology_from_edges(model, example, edges)


def test_what_is_changed_in_place_is_changed_for_nobody_else():
    net = Net(lambda n, x: n.act(n.a(x)), a=nn.Linear(4, 4), act=nn.ReLU(inplace=True))
    edges = [("input", "a"), ("a", "act"), ("act", "output"), ("a", "output")]
    assert topology_from_edges(net, vectors(), edges).nodes[3] == Node("add", (2, 1), (4,), label="add")


def test_several_inputs_and_axes():
    net = Net(lambda n, x, y: n.b(torch.cat([n.a(x), y], -1)) * n.b.bias, a=nn.Linear(4, 3), b=nn.Linear(7, 2))
    edges = [("input:0", "a"), ("a", "both"), ("input:1", "both"), ("both", "b"), ("b", "output")]
    topology = topology_from_edges(net, (tokens(), tokens()), edges, join={"both": "concat:-1"})
    assert kinds(topology)[-3:] == [("concat", (7, 5)), ("linear", (2, 5)), ("output", (2, 5))]
    product = Net(lambda n, x: n.a(x) * n.b(x), a=nn.Linear(4, 3), b=nn.Linear(4, 3))
    edges = [("input", "a"), ("input", "b"), ("a", "output"), ("b", "output")]
    topology = topology_from_edges(product, vectors(), edges, join={"output": "mul"})
    assert topology.nodes[3:] == (Node("mul", (1, 2), (3,), label="mul"), Node("output", (3,), (3,)))
    assert topology_from_edges(product, vectors(), edges).nodes[3] == Node("add", (1, 2), (3,), label="add")


def test_attention_by_its_name():
    net = Net(lambda n, x: n.m(x, x, x)[0], m=nn.MultiheadAttention(4, 2, batch_first=True))
    edges = [("input", "m"), ("m", "output")]
    assert topology_from_edges(net, tokens(), edges) == trace(net, tokens())


@pytest.mark.parametrize(
    ("edges", "join", "words"),
    [
        ([("input", "convolution"), *EDGES[1:]], JOIN, "the model has no module 'convolution'"),
        (EDGES, {"sum": "add"}, "the model has no module 'both'"),
        (EDGES, {"sum": "add", "both": "max"}, "join 'both': 'max' is unknown; choose from add, mul, concat"),
        (EDGES[:-1], JOIN, "no edge leads to 'output'"),
        (EDGES[1:], JOIN, "no edge leads to 'stem.0'"),
        ([*EDGES, ("right", "left")], JOIN, "in a circle"),
        ([*EDGES, ("left", "input")], JOIN, "leads the wrong way"),
        ([*EDGES[:6], ("sum", "both"), *EDGES[9:]], JOIN, "layer 'right' runs, but no edge names it"),
        ([*EDGES[:8], *EDGES[9:]], JOIN, r"module 'pool' gets shape \(2, 6, 6, 6\) in the model, and \(2, 4, 6, 6\)"),
        (EDGES, {"sum": "concat", "both": "concat"}, r"'right' gets shape \(2, 4, 6, 6\) in the model, and \(2, 8"),
        (EDGES, {"sum": "add", "both": "add"}, r"'both': shapes \[.*\] cannot be joined by add"),
        ([*EDGES[:9], ("both", "fc"), ("fc", "output")], JOIN, r"module 'fc' gets shape \(2, 24\)"),
    ],
)  # fmt: skip
def test_edges_that_do_not_fit(edges, join, words):
    with pytest.raises(TraceError, match=words):
        topology_from_edges(Untraceable(), images(), edges, join=join)


def test_modules_that_cannot_be_followed():
    class Odd(nn.Module):
        def forward(self, inputs):
            return inputs.cumsum(1)

    net = Net(lambda n, x: n.odd(n.a(x)), a=nn.Linear(4, 4), odd=Odd())
    with pytest.raises(TraceError, match=r"module 'odd': operation torch\.Tensor\.cumsum"):
        topology_from_edges(net, vectors(), [("input", "a"), ("a", "odd"), ("odd", "output")])
    twice = Net(lambda n, x: n.a(n.a(x)), a=nn.Linear(4, 4))
    with pytest.raises(TraceError, match="module 'a' runs several times"):
        topology_from_edges(twice, vectors(), [("input", "a"), ("a", "output")])
