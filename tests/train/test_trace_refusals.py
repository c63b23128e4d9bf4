"""What the tracer does not know it refuses by name, and it leaves the model as it was."""

import warnings

import pytest
import torch
from small_networks import Net, a_and_b, graph, images, vectors
from torch import nn

from masktools.errors import StructureError
from masktools_train.recording import registry
from masktools_train.tracing import TraceError, trace


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (
            lambda n, x: n.a(x).cumsum(1),
            r"torch\.Tensor\.cumsum on \[\(3, 4\)\]: its effect on connectivity is not known",
        ),
        (lambda n, x: torch.fft.fft(x).real, r"torch\.fft\.fft.*a function for it to masktools_train/recording"),
        (lambda n, x: x @ torch.ones(4, 4), "matmul"),
        (lambda n, x: n.a(x).max(1)[0], r"torch\.Tensor\.max"),
        (lambda n, x: n.a(x) + x.sum(), r"torch\.Tensor\.sum"),
        (lambda n, x: nn.functional.linear(x, n.a.weight * 2), "uses a weight that is no parameter"),
        (lambda n, x: nn.functional.linear(x, n.a(x)), "more than the first is made from the input"),
        (lambda n, x: torch.where(n.a(x) > 0, n.a(x), n.b(x)), "gt"),
        (lambda n, x: torch.linalg.norm(x, dim=1, keepdim=True) * x, r"torch\.linalg\.norm"),
        (lambda n, x: x.masked_fill(torch.eye(3, 4) > 0, 0), "masked_fill"),
        (lambda n, x: x.fill_(0), "fill_"),
        (lambda n, x: torch.full_like(x, 0).fill_(x.mean(1)[0]) + n.a(x), "batch are mixed"),
        (lambda n, x: {"out": n.a(x), "note": "a string"}, "the model returned str"),
        (lambda n, x: (n.a(x), torch.ones(3, 4)), "the model returned Tensor, not a tensor made from its input"),
        (lambda n, x: [None], "the model returned nothing"),
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
        lambda n, x: n.b(x) + n.a(x)[:, :1].select(1, 0).mean(0).item(),
        lambda n, x: n.b(x) + float(n.a(x).amax(1)[0]),
        lambda n, x: n.b(x) + n.b(x).new_full((3, 4), 0).copy_(n.a(x)),
        lambda n, x: n.b(x) + torch.tensor([n.a(x)[i, 0] for i in range(3)]),
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


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.ConvTranspose2d(3, 2, 3), "conv_transpose2d"),
        (nn.MaxPool2d(2, return_indices=True), "max_pool2d_with_indices"),
        (nn.LocalResponseNorm(2), "local_response_norm"),
        (nn.Unfold(2), "unfold"),
        (lambda x: nn.Bilinear(6, 6, 2)(x, x), "bilinear"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 1)), "uses a weight that is no parameter"),
        (nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Flatten(0, 1), nn.Conv2d(1, 2, 1)), "several maps of each example"),
    ],
)
def test_layers_that_are_not_known(layer, words):
    with pytest.raises(TraceError, match=words):
        graph(lambda net, x: layer(x), images(), **({"c": layer} if isinstance(layer, nn.Module) else {}))


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 0)])
def test_examples_that_are_no_batch(shape):
    with pytest.raises(TraceError, match="is not a batch of at least two inputs"):
        graph(lambda net, x: x, torch.rand(shape))


def test_examples_of_different_numbers():
    with pytest.raises(TraceError, match="is not a batch of at least two inputs"):
        trace(Net(lambda net, x, y: x), (torch.rand(3, 4), torch.rand(2, 4)), method="eager")


def test_functions_of_others_are_not_taken_for_those_of_torch():
    """A function is known by its own name, not by that of one of torch's."""

    def relu(x):
        if torch.overrides.has_torch_function_unary(x):
            return torch.overrides.handle_torch_function(relu, (x,), x)
        return x.flip(1)

    with pytest.raises(TraceError, match=r"test_trace_refusals\.relu"):
        graph(lambda net, x: relu(x))


def test_calls_that_nobody_thought_of(monkeypatch):
    """A call that a rule cannot read ends in a refusal, not in the error of the rule."""
    monkeypatch.setitem(registry.FUNCTIONS, "relu", lambda recording, call: call.args[7])
    with pytest.raises(TraceError, match=r"torch\.relu.* is called in a way that is not known \(IndexError"):
        graph(lambda net, x: torch.relu(x))


def test_a_weight_that_the_masks_do_not_know():
    net = Net(lambda net, x: nn.functional.linear(x, net.own))
    net.own = nn.Parameter(torch.ones(2, 4))
    with pytest.raises(TraceError, match="'own' is used as a weight, but belongs to no linear or convolutional module"):
        trace(net, vectors(), method="eager")


@pytest.mark.parametrize(("fails", "exported"), [(False, False), (False, True), (True, True)])
def test_the_mode_of_every_module_is_restored(fails, exported):
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
        trace(net, vectors(), method="export" if exported else "eager")
    assert net.training
    assert drop.training
    assert not norm.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert (net.a(vectors()) * 1).requires_grad
