"""Operator graphs of the built-in networks and of small ones, and refusals that name what is unknown."""

import warnings

import pytest
import torch
from torch import nn

from masktools.errors import StructureError
from masktools.topology.graph import Node, Topology, Window
from masktools_train.models import build_model
from masktools_train.models.conv import Conv
from masktools_train.tracing import TraceError, trace


class Net(nn.Module):
    """A network of the given modules and the given way through them."""

    def __init__(self, through, **modules):
        super().__init__()
        self.through = through
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, inputs):
        return self.through(self, inputs)


def vectors(features=4):
    return torch.rand(3, features)


def images(channels=3, side=6):
    return torch.rand(2, channels, side, side)


def graph(through, example=None, **modules):
    return trace(Net(through, **modules), vectors() if example is None else example)


def brief(topology):
    return [(node.op, node.inputs, node.weight or node.label) for node in topology.nodes]


def a_and_b():
    return {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}


# -- the built-in networks ------------------------------------------------------------------------------------


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
    ("name", "shape"), [("mlp", (7,)), ("lenet-300-100", (1, 28, 28)), ("conv-4", (1, 9, 12)), ("resnet20", (2, 8, 9))]
)
def test_every_graph_survives_json(name, shape):
    topology = trace(build_model(name, {}, shape, 10), torch.rand(2, *shape))
    assert Topology.from_json(topology.to_json()) == topology


# -- single operations ----------------------------------------------------------------------------------------


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
    ("options", "window"),
    [
        ({"kernel_size": 3, "padding": "same"}, Window((3, 3), padding=(1, 1))),
        (
            {"kernel_size": (3, 5), "padding": "same", "dilation": (2, 1)},
            Window((3, 5), padding=(2, 2), dilation=(2, 1)),
        ),
        ({"kernel_size": 2, "padding": "same", "dilation": 2}, Window((2, 2), padding=(1, 1), dilation=(2, 2))),
        ({"kernel_size": (2, 3), "padding": "valid", "stride": (2, 1)}, Window((2, 3), (2, 1))),
        ({"kernel_size": 1, "groups": 3, "bias": False}, Window((1, 1), groups=3)),
        ({"kernel_size": 3, "padding": (0, 2), "dilation": (1, 2)}, Window((3, 3), (1, 1), (0, 2), (1, 2))),
    ],
)
def test_windows_of_convolutions(options, window):
    layer = nn.Conv2d(3, 6, **options)
    topology = graph(lambda net, x: net.c(x), images(), c=layer)
    node = topology.nodes[1]
    assert node.window == window
    assert node.shape == tuple(layer(images()).shape[1:])
    assert node.bias == ("c.bias" if options.get("bias", True) else None)


@pytest.mark.parametrize(
    ("pool", "window"),
    [
        (nn.MaxPool2d(2), Window((2, 2), (2, 2))),
        (nn.MaxPool2d(3, 1, 1, dilation=2), Window((3, 3), (1, 1), (1, 1), (2, 2))),
        (nn.MaxPool2d((2, 3), ceil_mode=True), Window((2, 3), (2, 3))),
        (nn.AvgPool2d(3, 2, 1), Window((3, 3), (2, 2), (1, 1))),
        (nn.AvgPool2d(4, ceil_mode=True), Window((4, 4), (4, 4))),
        (lambda x: nn.functional.max_pool2d(x, kernel_size=[3], stride=[1]), Window((3, 3), (1, 1))),
        (lambda x: nn.functional.avg_pool2d(x, 2, stride=(1, 2), padding=1), Window((2, 2), (1, 2), (1, 1))),
        (lambda x: torch.max_pool2d(x, 2, 1), Window((2, 2), (1, 1))),
    ],
)
def test_windows_of_pooling(pool, window):
    topology = graph(lambda net, x: pool(x), images())
    assert topology.nodes[1].op == "pool2d"
    assert topology.nodes[1].window == window
    assert topology.nodes[1].shape == tuple(pool(images()).shape[1:])


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


# -- refusals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (lambda n, x: n.a(x).softmax(1), r"torch\.Tensor\.softmax on \[\(3, 4\)\]"),
        (lambda n, x: nn.functional.layer_norm(x, (4,)), r"torch\.nn\.functional\.layer_norm"),
        (lambda n, x: torch.cat([n.a(x), n.b(x)], 1), r"torch\.cat"),
        (lambda n, x: x @ n.a.weight, "matmul"),
        (lambda n, x: n.a(x) * n.b(x), "mul"),
        (lambda n, x: n.a(x)[:, [3, 2, 1, 0]], "__getitem__"),
        (lambda n, x: n.a(x).flip(1), "flip"),
        (lambda n, x: n.a(x).max(1)[0], "max returns several tensors"),
        (lambda n, x: n.a(x).chunk(2, 1)[0], "chunk"),
        (lambda n, x: n.a(x) + x.sum(), r"torch\.Tensor\.sum"),
        (lambda n, x: x.transpose(0, 1), "transpose"),
        (lambda n, x: nn.functional.linear(x, n.a.weight * 2), "uses a weight that is no parameter"),
        (lambda n, x: nn.functional.linear(x, n.a(x)), "uses a weight that is no parameter"),
        (lambda n, x: torch.where(n.a(x) > 0, n.a(x), n.b(x)), "gt"),
        (lambda n, x: x.new_zeros(3, 4) + n.a(x), "new_zeros"),
        (lambda n, x: (n.a(x),), "the model returned tuple"),
        (lambda n, x: torch.ones(3, 4), "the model returned Tensor, not a tensor made from its input"),
        (lambda n, x: n.a.weight, "the model returned Parameter"),
    ],
)
def test_an_unknown_operation_is_named(through, words):
    with pytest.raises(TraceError, match=words):
        graph(through, **a_and_b())
    assert issubclass(TraceError, StructureError)


class Unseen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.numpy() * 2)


def written(net, x):
    out = torch.zeros(3, 4)
    out[:] = net.a(x)
    return net.b(x) + out


def written_in_part(net, x):
    out = net.b(x)
    out[:, :2] += net.a(x)[:, :2]
    return out


def added_to_a_buffer(net, x):
    out = torch.zeros(3, 4)
    view = out.view(-1, 4)
    view += net.a(x)
    return net.b(x) + out


def changed_through_a_view(net, x):
    out = net.b(x)
    view = out.view(3, 4)
    view += net.a(x)
    return out


def changed_through_a_view_and_read(net, x):
    out = net.a(x)
    view = out.view(3, 4)
    view += net.b(x)
    return torch.relu(out)


def changed_through_its_data(net, x):
    out = net.b(x)
    out.data += net.a(x)
    return out


def given_to_out(net, x):
    out = torch.zeros(3, 4)
    torch.add(net.a(x), 1, out=out)
    return net.b(x) + out


def through_a_script(net, x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        compiled = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    return net.b(x) + compiled(net.a(x))


@pytest.mark.parametrize(
    "through",
    [
        lambda n, x: n.b(x) + n.a(x).data,
        lambda n, x: n.b(x) + n.a(x).T.T,
        lambda n, x: n.b(x) + n.a(x).mT.mT,
        lambda n, x: n.b(x) + torch.from_numpy(n.a(x).numpy()),
        lambda n, x: n.b(x) + torch.tensor(n.a(x).tolist()),
        lambda n, x: n.b(x) + torch.stack([torch.stack(list(row)) for row in n.a(x)]),
        lambda n, x: n.b(x) + Unseen.apply(n.a(x)),
        lambda n, x: n.b(x) + torch.func.vmap(torch.relu)(n.a(x)),
        through_a_script,
        written,
        written_in_part,
        added_to_a_buffer,
        changed_through_a_view,
        changed_through_a_view_and_read,
        changed_through_its_data,
        given_to_out,
    ],
)
def test_no_path_is_lost_in_silence(through):
    """Each of these has a path through ``a`` that a recorder could overlook: better no graph than a wrong one."""
    with pytest.raises(TraceError):
        graph(through, **a_and_b())


def test_broadcasting_is_refused():
    with pytest.raises(TraceError, match="add broadcasts"):
        graph(lambda net, x: net.a(x) + net.b(x), a=nn.Linear(4, 1), b=nn.Linear(4, 4))
    with pytest.raises(TraceError, match="mul broadcasts"):
        graph(lambda net, x: net.a(x) * torch.ones(3, 4), a=nn.Linear(4, 1))
    with pytest.raises(TraceError):
        graph(lambda net, x: torch.ones(3, 4).clamp(min=net.a(x)), a=nn.Linear(4, 1))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular"), r"torch\.nn\.functional\.pad"),
        (nn.ConvTranspose2d(3, 2, 3), "conv_transpose2d"),
        (nn.Linear(6, 2), r"linear on \(2, 3, 6, 6\)"),
        (nn.PixelShuffle(1), "pixel_shuffle"),
        (nn.PReLU(3), "prelu"),
        (nn.GroupNorm(1, 3), "group_norm"),
        (nn.MaxPool2d(2, return_indices=True), "."),
        (nn.Flatten(1, 2), "flatten"),
        (nn.Unflatten(1, (1, 3)), "unflatten"),
    ],
)
def test_layers_that_are_not_known(layer, words):
    with pytest.raises(TraceError, match=words):
        graph(lambda net, x: net.c(x), images(), c=layer)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_padding_that_differs_from_side_to_side():
    with pytest.raises(TraceError, match="not symmetric"):
        graph(lambda net, x: net.c(x), images(), c=nn.Conv2d(3, 2, (2, 3), padding="same"))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (2, 1, 2, 3, 4)])
def test_inputs_that_are_neither_features_nor_images(shape):
    with pytest.raises(TraceError, match="is not"):
        graph(lambda net, x: x, torch.rand(shape))


def test_a_weight_that_the_masks_do_not_know():
    net = Net(lambda net, x: nn.functional.linear(x, net.own))
    net.own = nn.Parameter(torch.ones(2, 4))
    with pytest.raises(TraceError, match="'own' is used as a weight, but belongs to no linear or convolutional module"):
        trace(net, vectors())


# -- what tracing leaves behind -------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
def test_the_mode_of_every_module_is_restored(fails):
    norm, drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def through(net, x):
        assert not net.training
        assert not norm.training
        hidden = net.drop(net.norm(net.a(x)))
        return hidden.sum() if fails else hidden

    net = Net(through, a=nn.Linear(4, 4), norm=norm, drop=drop)
    norm.eval()  # frozen by its owner, in a network that trains
    before = {name: value.clone() for name, value in net.state_dict().items()}
    if fails:
        with pytest.raises(TraceError):
            trace(net, vectors())
    else:
        trace(net, vectors())
    assert net.training
    assert drop.training
    assert not norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert (net.a(vectors()) * 1).requires_grad


def test_a_small_conv_net_like_the_large_one():
    topology = trace(Conv((1, 4, 4), 3, (2, 3)), torch.rand(2, 1, 4, 4))
    assert [node.shape for node in topology.nodes if node.op == "flatten"] == [(3,)]
