"""Elements that are moved about: what the graph makes of them is, number by number, what the network returns."""

import pytest
import torch
from oracle import Linearised
from run_graph import run_graph
from small_networks import Net, graph, images, kinds, tokens, vectors
from torch import nn

from masktools.topology.graph import Node, View
from masktools_train.tracing import TraceError, trace

functional = nn.functional


def same_numbers(through, example, **modules):
    """Trace a network of linear functions and compare what the graph makes of the example."""
    net = Net(through, **modules).eval()
    topology = trace(net, example, method="eager")
    with torch.no_grad(), Linearised():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
        expected = net(example)
    (found,) = run_graph(topology, dict(net.named_parameters()), example)
    ends = zip(found.flatten(1).sort(1)[0], expected.flatten(1).sort(1)[0], strict=True)
    assert all(torch.allclose(near, far, atol=1e-5) for near, far in ends)
    return topology


@pytest.mark.parametrize(
    "through",
    [
        lambda n, x: n.c(x.transpose(2, 3)),
        lambda n, x: n.c(x.permute(0, 1, 3, 2).mT.swapaxes(-1, -2)),
        lambda n, x: n.c(x[:, :, ::2, 1:-1]),
        lambda n, x: n.c(x.narrow(2, 1, 4).flip(3)),
        lambda n, x: n.c(x.repeat(1, 1, 2, 1)),
        lambda n, x: n.c(x.repeat_interleave(3, dim=3)),
        lambda n, x: n.c(x[:, :, :, None, 0].expand(-1, -1, -1, 7)),
        lambda n, x: n.c(torch.roll(x, (1, 2), (2, 3))),
        lambda n, x: n.c(x.roll(1, 1)),
        lambda n, x: n.c(x[:, [2, 0, 0]]),
        lambda n, x: n.c(x.index_select(3, torch.tensor([5, 1, 1, 0]))),
        lambda n, x: n.c(x.unfold(2, 3, 2)[..., 1]),
        lambda n, x: n.c(functional.pixel_shuffle(x.repeat(1, 4, 1, 1), 2)),
        lambda n, x: n.c(functional.pixel_unshuffle(x, 2)[:, 4:7]),
        lambda n, x: n.c(functional.channel_shuffle(x.repeat(1, 2, 1, 1), 3)[:, :3]),
        lambda n, x: n.c(torch.stack(x.unbind(1)[::-1], 1)),
        lambda n, x: n.c(torch.cat(x.split([2, 1], 1)[::-1], 1)),
        lambda n, x: n.c(torch.cat([*x.chunk(2, 2)][::-1], 2)),
        lambda n, x: n.c(x.view(2, 3, 2, 3, 3, 2).permute(0, 1, 3, 2, 5, 4).reshape(2, 3, 6, 6)),
        lambda n, x: n.c(x.view(2, 3, 2, 3, 6).roll(1, 3).view(2, 3, 3, 2, 6).roll(1, 2).reshape(2, 3, 6, 6)),
        lambda n, x: n.d(x.flatten(1, 2)),
        lambda n, x: n.d(x.reshape(2, 18, -1).roll(5, 1)),
        lambda n, x: n.e(x.permute(0, 2, 3, 1)),
        lambda n, x: n.e(x.flatten(2).mT.flatten(0, 1)).unflatten(0, (2, 36)),
        lambda n, x: n.e(x.movedim(1, -1).reshape(-1, 3)[:, [1, 0, 0]]).unflatten(0, (2, 36)),
    ],
)  # fmt: skip
def test_numbers_stay_where_they_belong(through):
    modules = {"c": nn.Conv2d(3, 2, 2, bias=False), "d": nn.Conv1d(18, 2, 3, groups=2), "e": nn.Linear(3, 1)}
    same_numbers(through, images(), **modules)


def test_views_as_nodes():
    topology = graph(lambda n, x: n.e(x[:, 1:, ::2].transpose(1, 2)), tokens(5, 4), e=nn.Linear(4, 3))
    assert topology.nodes[1:] == (
        Node("view", (0,), (4, 2), label="view", view=View((8,), (2,), 4)),
        Node("linear", (1,), (3, 2), "e.weight", "e.bias", label="linear"),
        Node("output", (2,), (3, 2)),
    )


def test_what_needs_no_node():
    """A layer that reads its units along another axis than the one before wrote them is fed by that one."""
    topology = graph(
        lambda n, x: n.norm(n.b(n.a(x).permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)),
        images(),
        a=nn.Conv2d(3, 4, 1),
        b=nn.Linear(4, 5),
        norm=nn.BatchNorm2d(5),
    )
    assert topology.nodes[1:] == (
        topology.nodes[1],
        Node("linear", (1,), (5, 6, 6), "b.weight", "b.bias", label="linear"),
        Node("identity", (2,), (5, 6, 6), bias="norm.bias", label="batch_norm"),
        Node("output", (3,), (5, 6, 6)),
    )


def test_a_view_is_made_once():
    topology = graph(
        lambda n, x: n.a(x.flatten(1)) + n.b(x.flatten(1)), images(), a=nn.Linear(108, 2), b=nn.Linear(108, 2)
    )
    assert [node.op for node in topology.nodes] == ["input", "flatten", "linear", "linear", "add", "output"]


def test_channels_in_another_order():
    topology = graph(lambda n, x: n.a(x)[:, [3, 1, 1, 0]], a=nn.Linear(4, 4))
    assert topology.nodes[2:] == (
        Node("view", (1,), (1, 4), label="view", view=View((4,), (1,))),
        Node("resample", (2,), (1, 4), label="select", reads=(((3,), (1,), (1,), (0,)),)),
        Node("flatten", (3,), (4,), label="flatten"),
        Node("output", (4,), (4,)),
    )


def test_shifts_are_one_resampling():
    topology = graph(lambda n, x: torch.roll(x, (1, -1), (2, 3)), images(3, 3))
    assert topology.nodes[1] == Node(
        "resample", (0,), (3, 3, 3), label="select", reads=(((2,), (0,), (1,)), ((1,), (2,), (0,)))
    )


def test_a_reshape_through_several_axes_of_a_node():
    """Windows of 3 cut where windows of 2 were: the map has to be put together in between."""
    cut = graph(lambda n, x: x.unflatten(2, (3, 2)).transpose(1, 2).flatten(1).unflatten(1, (9, 12)), images())
    assert kinds(cut)[-1][0] == "output"
    assert all(node.op in ("input", "view", "output") for node in cut.nodes)


@pytest.mark.parametrize(
    ("through", "words"),
    [
        (lambda n, x: x[:1].expand(3, 4), "batch are mixed"),
        (lambda n, x: x[0], "batch are mixed"),
        (lambda n, x: x.flip(0), "batch are mixed"),
        (lambda n, x: x.roll(1, 0), "cannot be followed"),
        (lambda n, x: (x.T @ n.a(x)).softmax(1) @ n.a(x).T, "batch"),
        (lambda n, x: n.a(x.T.flatten().view(3, 4)), "batch|followed"),
        (lambda n, x: x.view(torch.int32), "takes the memory of elements apart"),
        (lambda n, x: x.to(torch.int32), "loses values"),
        (lambda n, x: x + x.new_zeros(4, 3).copy_(x.T).T, "not made from the input"),
    ],
)
def test_moves_that_are_refused(through, words):
    with pytest.raises(TraceError, match=words):
        graph(through, vectors(), a=nn.Linear(4, 4))


def test_a_parameter_under_another_shape():
    """A bias, a weight or some rows of it are recognised where they were moved before their use."""
    rows = graph(lambda n, x: functional.linear(x, n.a.weight[1:3], n.a.bias[1:3]), a=nn.Linear(4, 5))
    assert rows.nodes[1:3] == (
        Node("linear", (0,), (5,), "a.weight", "a.bias", label="linear"),
        Node("view", (1,), (2,), label="view", view=View((2,), (1,), 1)),
    )
    turned = graph(lambda n, x: x @ n.a.weight.T + n.a.bias[None], a=nn.Linear(4, 5))
    assert turned.nodes[1:3] == (
        Node("linear", (0,), (5,), "a.weight", label="linear"),
        Node("identity", (1,), (5,), bias="a.bias", label="add"),
    )
    along_maps = graph(lambda n, x: x + n.a.bias.view(-1, 1, 1), images(5), a=nn.Linear(4, 5))
    assert along_maps.nodes[1].bias == "a.bias"
    with pytest.raises(TraceError, match=r"uses a\.weight, but neither all of it nor some neighbouring rows"):
        graph(lambda n, x: functional.linear(x, n.a.weight[::2]), a=nn.Linear(4, 5))
