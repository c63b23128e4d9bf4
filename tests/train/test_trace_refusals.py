"""What the tracer does not know it refuses by name, and it leaves the model as it was."""

import warnings

import pytest
import torch
from small_networks import Net, a_and_b, graph, images, vectors
from torch import nn

from masktools.errors import StructureError
from masktools_train.tracing import TraceError, trace


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
