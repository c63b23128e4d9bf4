"""Operator graphs of the built-in networks and of small ones."""

import pytest
import torch
from small_networks import Net, a_and_b, brief, graph, images, vectors
from torch import nn

from masktools.topology.graph import Node, Topology, Window
from masktools_train.models import build_model
from masktools_train.models.conv import Conv
from masktools_train.tracing import trace


def test_a_perceptron():
    topology = trace(build_model("mlp", {"widths": [5, 3]}, (1, 2, 4), 2), torch.rand(2, 1, 2, 4))
    assert topology == Topology(
        (
            Node("input", (), (1, 2, 4)),
            Node("flatten", (0,), (8,), label="flatten"),
            Node("linear", (1,), (5,), "fc1.weight", "fc1.bias", label="linear"),
            Node("identity", (2,), (5,), label="relu"),
            Node("linear", (3,), (3,), "fc2.weight", "fc2.bias", label="linear"),
            Node("identity", (4,), (3,), label="relu"),
            Node("linear", (5,), (2,), "fc3.weight", "fc3.bias", label="linear"),
            Node("output", (6,), (2,)),
        )
    )


def test_conv_4():
    topology = trace(build_model("conv-4", {}, (3, 32, 32), 10), torch.rand(2, 3, 32, 32))
    windows = {node.weight or node.op: node.window for node in topology.nodes if node.window}
    shapes = [node.shape for node in topology.nodes if node.op in ("conv2d", "pool2d")]
    assert shapes == [
        (64, 32, 32), (64, 32, 32), (64, 16, 16), (128, 16, 16), (128, 16, 16), (128, 8, 8),
    ]  # fmt: skip
    assert topology.layers == (
        *(f"features.{n}.weight" for n in (0, 2, 5, 7)), *(f"classifier.{n}.weight" for n in (0, 2, 4)),
    )  # fmt: skip
    assert windows["features.5.weight"] == Window((3, 3), (1, 1), (1, 1))
    assert windows["pool2d"] == Window((2, 2), (2, 2))
    assert [node.shape for node in topology.nodes if node.op == "flatten"] == [(8192,)]


def test_resnet20():
    model = build_model("resnet20", {}, (3, 32, 32), 10)
    topology = trace(model, torch.rand(2, 3, 32, 32))
    nodes = topology.nodes
    by_weight = {node.weight: (index, node) for index, node in enumerate(nodes) if node.weight}
    assert len(by_weight) == 1 + 18 + 2 + 1
    assert by_weight["blocks.3.conv1.weight"][1].window == Window((3, 3), (2, 2), (1, 1))
    assert by_weight["blocks.3.shortcut.0.weight"][1].window == Window((1, 1), (2, 2))
    assert by_weight["blocks.3.shortcut.0.weight"][1].bias is None
    assert by_weight["fc.weight"][1].bias == "fc.bias"

    def origin(index):
        """Follow identities back to what made the values."""
        while nodes[index].op == "identity":
            (index,) = nodes[index].inputs
        return index

    adds = [node for node in nodes if node.op == "add"]
    assert len(adds) == 9
    before = by_weight["conv.weight"][0]
    for number, node in enumerate(adds):
        main, side = (origin(source) for source in node.inputs)
        assert nodes[main].weight == f"blocks.{number}.conv2.weight"
        if number in (3, 6):
            assert nodes[side].weight == f"blocks.{number}.shortcut.0.weight"
            assert origin(nodes[side].inputs[0]) == before
        else:
            assert side == before
        before = nodes.index(node)
    offsets = [node.bias for node in nodes if node.label == "batch_norm"]
    assert len(offsets) == 21
    assert offsets[0] == "bn.bias"
    assert nodes[-3].op == "flatten"
    assert nodes[-4] == Node("adaptive_pool2d", nodes[-4].inputs, (64, 1, 1), label="adaptive_avg_pool2d")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp", (7,)), ("lenet-300-100", (1, 28, 28)), ("conv-4", (1, 9, 12)), ("resnet20", (2, 8, 9)),
        ("resnet50", (3, 32, 32)), ("mobilenet-v2", (3, 32, 32)), ("vit-tiny", (3, 16, 16)),
    ],
)  # fmt: skip
def test_every_graph_survives_json(name, shape):
    topology = trace(build_model(name, {}, shape, 10), torch.rand(2, *shape))
    assert Topology.from_json(topology.to_json()) == topology


def test_in_place_operations_are_new_nodes():
    def through(net, x):
        hidden = nn.functional.relu(net.a(x), inplace=True)
        other = net.b(hidden)
        other += hidden
        other *= 2
        return other.relu_()

    assert brief(graph(through, **a_and_b())) == [
        ("input", (), ""),
        ("linear", (0,), "a.weight"),
        ("identity", (1,), "relu"),
        ("linear", (2,), "b.weight"),
        ("add", (3, 2), "add"),
        ("identity", (4,), "mul"),
        ("identity", (5,), "relu"),
        ("output", (6,), ""),
    ]


def test_what_is_changed_in_place_feeds_its_old_self_to_earlier_readers():
    def through(net, x):
        hidden = net.a(x)
        other = net.b(hidden)
        hidden.relu_()
        return other - hidden

    assert brief(graph(through, **a_and_b()))[-2:] == [("add", (2, 3), "sub"), ("output", (4,), "")]


def test_a_module_used_twice_is_one_layer():
    shared = nn.Linear(4, 4)
    topology = graph(lambda net, x: net.b(torch.relu(net.a(x))), a=shared, b=shared)
    assert [node.weight for node in topology.nodes if node.weight] == ["a.weight", "a.weight"]
    assert topology.layers == ("a.weight",)
    tied = nn.Linear(4, 4)
    tied.weight = shared.weight
    topology = graph(lambda net, x: net.b(torch.relu(net.a(x))), a=shared, b=tied)
    assert [(node.weight, node.bias) for node in topology.nodes if node.weight] == [
        ("a.weight", "a.bias"),
        ("a.weight", "b.bias"),
    ]


def test_a_shared_weight_goes_by_the_name_that_the_masks_have():
    """A parameter that the root holds too comes first among the parameters, but it is the module's weight."""
    net = Net(lambda net, x: net.a(x), a=nn.Linear(4, 4))
    net.alias = net.a.weight
    assert next(iter(dict(net.named_parameters()))) == "alias"
    assert trace(net, vectors()).layers == ("a.weight",)


def test_the_same_value_added_to_itself():
    assert brief(graph(lambda net, x: x + x))[1] == ("add", (0, 0), "add")


@pytest.mark.parametrize(
    "through",
    [
        lambda x: nn.functional.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: nn.AdaptiveMaxPool2d(1)(x).view(x.shape[0], -1),
        lambda x: x.mean((2, 3)),
        lambda x: x.mean(dim=[-1, -2]),
        lambda x: torch.mean(x, (3, 2), keepdim=True).squeeze(),
        lambda x: x.mean([2, 3], True).reshape(len(x), x.size(1)),
    ],
)
def test_global_pooling_however_it_is_written(through):
    topology = graph(lambda net, x: through(x), images())
    assert [(node.op, node.shape) for node in topology.nodes] == [
        ("input", (3, 6, 6)),
        ("adaptive_pool2d", (3, 1, 1)),
        ("flatten", (3,)),
        ("output", (3,)),
    ]


@pytest.mark.parametrize(
    "through",
    [
        lambda x: x.view(x.shape),
        lambda x: x.reshape(2, 3, 6, 6),
        lambda x: x.squeeze(),
        lambda x: x.contiguous().clone().detach(),
        lambda x: x.to(torch.float64).float(),
        lambda x: nn.functional.dropout2d(x, 0.5),
        lambda x: nn.BatchNorm2d(3).eval()(x),
        lambda x: nn.functional.leaky_relu(x, 0.1, inplace=True),
        lambda x: nn.Hardswish(inplace=True)(x * 2 - 1),
        lambda x: (x + torch.ones(3, 1, 1)) / 3,
        lambda x: x.clamp(0, 1).sigmoid().tanh(),
        lambda x: -x,
    ],
)
def test_what_acts_on_each_unit_is_an_identity(through):
    topology = graph(lambda net, x: through(x), images())
    assert {node.op for node in topology.nodes[1:-1]} <= {"identity"}
    assert all(node.shape == (3, 6, 6) for node in topology.nodes)


def test_python_may_look_at_shapes():
    def through(net, x):
        assert x.dim() == x.ndim == 2
        assert x.is_floating_point()
        assert len(x) == x.size(0) == x.shape[0] == 3
        assert x.dtype == torch.float32
        assert not x.is_cuda
        assert x.stride() == (4, 1)
        assert x.grad is None
        assert str(x.device) == "cpu"
        return net.a(x) if x.numel() == 12 else x

    assert brief(graph(through, a=nn.Linear(4, 2)))[1] == ("linear", (0,), "a.weight")


def test_a_small_conv_net_like_the_large_one():
    topology = trace(Conv((1, 4, 4), 3, (2, 3)), torch.rand(2, 1, 4, 4))
    assert [node.shape for node in topology.nodes if node.op == "flatten"] == [(3,)]
