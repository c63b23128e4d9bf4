"""Models that cannot be followed as they run are exported, and followed as what they were taken apart into."""

import functools

import pytest
import torch
from small_networks import Net, a_and_b, images, tokens, vectors
from test_trace_attention import without_scaling
from torch import nn

from masktools_train.models.resnet import CifarResNet
from masktools_train.models.vit import VisionTransformer
from masktools_train.tracing import TraceError, trace

functional = nn.functional


class Mixed(nn.Module):
    """Padding, norms, pooling, interpolation and attention in one."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, (2, 3), padding="same")
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.InstanceNorm2d(4)])
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, dropout=0.0)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs):
        hidden = functional.max_pool2d(self.norms[0](self.conv(inputs)).relu_(), 2)
        hidden = functional.interpolate(self.norms[1](hidden), scale_factor=2, mode="bilinear")
        hidden = self.norms[3](functional.pad(hidden, (1, 0, 0, 0), mode="replicate"))
        words = self.norms[2](hidden.flatten(2).transpose(1, 2))
        words = words + self.attention(words, words, words, need_weights=False)[0]
        return self.head(self.encoder(words).mean(1))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: CifarResNet((3, 8, 8), 4, 1), (3, 8, 8)),
        (lambda: VisionTransformer((3, 8, 8), 4, 2, 8, 2, 2), (3, 8, 8)),
        (Mixed, (3, 6, 6)),
    ],
)
def test_both_ways_see_the_same(build, shape):
    torch.manual_seed(0)
    model, example = build(), torch.rand(2, *shape)
    eager, exported = (trace(model, example, method=method) for method in ("eager", "export"))
    assert exported.layers == eager.layers
    # Names of parameters that scale or that norm all the same, and what is done to scores, may differ.
    plain = [
        [(node.op, node.inputs, node.shape, node.weight, node.window) for node in without_scaling(t)]
        for t in (eager, exported)
    ]
    assert plain[0] == plain[1]
    biases = [[node.bias for node in topology.nodes if node.bias] for topology in (eager, exported)]
    assert biases[0] == biases[1]


def in_place_through_chunks(net, x):
    left, right = net.a(x).chunk(2, -1)
    left.mul_(2)
    return left + right


def written_into_a_blank(net, x):
    out = torch.zeros_like(x)
    out[:, :2] = net.a(x)[:, 2:]
    return net.b(out)


def changed_through_a_view(net, x):
    out = net.b(x)
    view = out.view(3, 4)
    view += net.a(x)
    return out


@pytest.mark.parametrize(
    ("through", "ops"),
    [
        (in_place_through_chunks, ["linear", "identity", "view", "view", "concat", "view", "view", "add", "output"]),
        (written_into_a_blank, ["linear", "view", "constant", "concat", "linear", "output"]),
        (changed_through_a_view, ["linear", "linear", "add", "output"]),
        (lambda n, x: torch.func.vmap(torch.relu)(n.a(x)), ["linear", "identity", "output"]),
    ],
)
def test_what_only_export_can_follow(through, ops):
    net = Net(through, **a_and_b())
    with pytest.raises(TraceError):
        trace(net, vectors(), method="eager")
    assert [node.op for node in trace(net, vectors()).nodes][1:] == ops


@pytest.mark.parametrize(
    "through",
    [
        lambda n, x: n.b(x) + torch.from_numpy(n.a(x).numpy()),
        lambda n, x: n.b(x) + torch.tensor(n.a(x).tolist()),
        lambda n, x: n.b(x) + n.a(x).data,
        lambda n, x: n.b(x) + float(n.a(x).amax(1)[0]),
        lambda n, x: n.a(x).cumsum(1),
    ],
)
def test_what_neither_way_can_follow(through):
    with pytest.raises(
        TraceError, match=r"operation torch\.Tensor.*\(nor can what torch\.export makes of the model be"
    ):
        trace(Net(through, **a_and_b()), vectors())


def test_weights_by_name_also_when_shared():
    shared = nn.Linear(4, 4)
    net = Net(lambda n, x: n.b(torch.relu(n.a(x))), a=shared, b=nn.Linear(4, 4))
    net.b.weight = shared.weight
    net.alias = shared.weight
    assert trace(net, vectors(), method="export").layers == ("a.weight",)


def test_several_inputs_and_outputs():
    def through(net, x, y):
        return {"sum": net.a(x) + y, "parts": [net.b(y), None]}

    net = Net(through, **a_and_b())
    for method in ("eager", "export"):
        topology = trace(net, (vectors(), vectors()), method=method)
        ops = [node.op for node in topology.nodes]
        assert ops == ["input", "input", "linear", "add", "linear", "output", "output"]
        assert [node.inputs for node in topology.nodes[2:]] == [(0,), (2, 1), (1,), (3,), (4,)]


@functools.cache
def examples():
    return {"images": images(), "tokens": tokens()}


@pytest.mark.parametrize("kind", ["images", "tokens"])
def test_the_model_is_as_it_was(kind):
    layer = nn.BatchNorm2d(3) if kind == "images" else nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
    net = Net(lambda n, x: n.layer(x), layer=layer)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trace(net, examples()[kind], method="export")
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
