"""Permuting hidden units does not change what a network computes; permuting only some of their weights does."""

import collections
import dataclasses

import pytest
import torch
from small_networks import Net
from torch import nn

from masktools.structure.alignment.units import permute
from masktools.topology.permutation_groups import permutation_groups
from masktools_train.models import build_model
from masktools_train.models.conv import Conv
from masktools_train.tracing import trace

SMALL = (2, 3, 8, 8)


def built(name):
    if name == "conv":
        return Conv(SMALL[1:], 5, (6, 4)), torch.rand(SMALL, dtype=torch.float64)
    return build_model(name, {}, SMALL[1:], 5), torch.rand(SMALL, dtype=torch.float64)


def depthwise():
    def through(net, x):
        x = net.norm(net.first(x)).relu()
        x = x + net.after(net.depthwise(x)).relu()
        return net.last(net.flat_norm(nn.functional.max_pool2d(x, 2).flatten(1)))

    return Net(
        through,
        first=nn.Conv2d(3, 6, 3, padding=1, bias=False),
        norm=nn.BatchNorm2d(6),
        depthwise=nn.Conv2d(6, 6, 3, padding=1, groups=6),
        after=nn.Conv2d(6, 6, 1),
        flat_norm=nn.BatchNorm1d(6 * 16),
        last=nn.Linear(6 * 16, 5),
    ), torch.rand(SMALL, dtype=torch.float64)


def shared():
    def through(net, x):
        x = net.first(x)
        x = x + net.inner(net.again(x.relu()).relu())
        return net.last(net.again(x).tanh() - net.again(x.relu()))

    layers = {
        "first": nn.Linear(7, 5),
        "again": nn.Linear(5, 4),
        "inner": nn.Linear(4, 5),
        "last": nn.Linear(4, 3),
    }
    return Net(through, **layers), torch.rand((3, 7), dtype=torch.float64)


def cyclic():
    def through(net, x):
        x = net.first(x)
        x = x + net.loop(x.relu()).relu()
        return net.last(net.loop(x).relu())

    layers = {"first": nn.Linear(7, 5), "loop": nn.Linear(5, 5), "last": nn.Linear(5, 3)}
    return Net(through, **layers), torch.rand((3, 7), dtype=torch.float64)


def dense_net():
    """Maps side by side with those they were made of, a norm over all of them, and halves that go different ways."""

    def through(net, x):
        x = net.stem(x).relu()
        for block in (net.one, net.two):
            x = torch.cat([x, block(x)], 1)
        x = nn.functional.avg_pool2d(net.transition(net.norm(x).relu()), 2)
        x = torch.cat([x, net.wide(x).relu(), x], 1)
        front, back = x[:, :4], x[:, 4:]
        return net.last(torch.cat([front.mean((2, 3)), back.flatten(1)], 1))

    def block(channels):
        return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1, bias=False))

    return Net(
        through,
        stem=nn.Conv2d(3, 5, 3, padding=1),
        one=block(5),
        two=block(8),
        norm=nn.BatchNorm2d(11),
        transition=nn.Conv2d(11, 4, 1),
        wide=nn.Conv2d(4, 6, 3, padding=1, groups=1),
        last=nn.Linear(4 + 10 * 16, 5),
    ), torch.rand(SMALL, dtype=torch.float64)


def u_net():
    """Down and up again, side by side with a crop of what was there before; a depthwise convolution of both."""

    def through(net, x):
        skip = net.down(x).relu()
        low = net.low(nn.functional.max_pool2d(skip, 2)).relu()
        high = net.up_norm(nn.functional.interpolate(low, scale_factor=2, mode="nearest"))
        x = torch.cat([high, skip], 1)[..., 1:-1, 1:-1]
        return net.last(net.mixed(net.depthwise(x)).tanh() * net.gate(x[:, :4]).sigmoid())

    return Net(
        through,
        down=nn.Conv2d(3, 5, 3, padding=1),
        low=nn.Conv2d(5, 4, 3, padding=1),
        up_norm=nn.BatchNorm2d(4),
        depthwise=nn.Conv2d(9, 9, 3, padding=1, groups=9),
        mixed=nn.Conv2d(9, 6, 1),
        gate=nn.Conv2d(4, 6, 1, bias=False),
        last=nn.Conv2d(6, 2, 1),
    ), torch.rand(SMALL, dtype=torch.float64)


def tokens():
    """A block of a transformer: what attention reads keeps its order, the stream through it and the rest do not."""

    def through(net, x):
        x = net.embed(x)
        y = net.norm(x)
        y = nn.functional.scaled_dot_product_attention(*(layer(y)[:, None] for layer in (net.q, net.k, net.v)))[:, 0]
        x = x + net.proj(y)
        x = x + net.down(nn.functional.gelu(net.up(net.norm2(x))))
        return net.last(x.mean(1))

    return Net(
        through,
        embed=nn.Linear(7, 5),
        norm=nn.LayerNorm(5),
        **{name: nn.Linear(5, 4) for name in "qkv"},
        proj=nn.Linear(4, 5),
        norm2=nn.LayerNorm(5),
        up=nn.Linear(5, 6),
        down=nn.Linear(6, 5),
        last=nn.Linear(5, 3),
    ), torch.rand((3, 4, 7), dtype=torch.float64)


NETWORKS = {
    "mlp": lambda: built("mlp"),
    "conv": lambda: built("conv"),
    "resnet20": lambda: built("resnet20"),
    "depthwise": depthwise,
    "shared": shared,
    "cyclic": cyclic,
    "dense_net": dense_net,
    "u_net": u_net,
    "tokens": tokens,
}


@pytest.fixture(params=NETWORKS)
def network(request):
    """Return the model, an input, its permutation groups, with the parameters that go with each offset as biases."""
    torch.manual_seed(0)
    model, inputs = NETWORKS[request.param]()
    model.eval()
    topology = trace(model, inputs.float())
    # No two biases, scales or statistics are equal, and variances are positive.
    for tensor in model.state_dict().values():
        if tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    model = model.double()
    state = model.state_dict()
    groups = permutation_groups(topology, {name: tuple(state[name].shape) for name in topology.layers})
    # A batch norm's scale and statistics are permuted as its offset is.
    groups = tuple(dataclasses.replace(group, biases=tuple(with_statistics(group.biases, state))) for group in groups)
    return model, inputs, groups


def with_statistics(biases, state):
    for member in biases:
        prefix = member.layer.removesuffix("bias")
        yield member
        for key in ("weight", "running_mean", "running_var"):
            if state.get(prefix + key, state[member.layer][None]).ndim == 1:
                yield dataclasses.replace(member, layer=prefix + key)


def outputs(model, inputs, arrays):
    old = model.state_dict()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    with torch.no_grad():
        result = model(inputs)
    model.load_state_dict(old)
    return result


def arrays_of(model):
    return {name: tensor.clone().numpy() for name, tensor in model.state_dict().items()}


def derangement(size, rng):
    order = torch.randperm(size, generator=rng)
    return torch.roll(order, 1)[torch.argsort(order)].numpy()


def test_the_function_stays_when_all_units_of_all_groups_are_permuted(network):
    model, inputs, groups = network
    rng = torch.Generator().manual_seed(1)
    arrays = arrays_of(model)
    before = outputs(model, inputs, arrays)
    moved = permute(arrays, groups, [derangement(group.size, rng) for group in groups])
    assert any((moved[name] != array).any() for name, array in arrays.items())
    after = outputs(model, inputs, moved)
    assert before.std() > 1e-3
    torch.testing.assert_close(after, before, rtol=1e-10, atol=1e-10 * float(before.abs().max()))


def test_the_function_changes_when_any_one_axis_is_permuted_alone(network):
    model, inputs, groups = network
    rng = torch.Generator().manual_seed(1)
    arrays = arrays_of(model)
    before = outputs(model, inputs, arrays)
    for group in groups:
        order = derangement(group.size, rng)
        for member in (*group.members, *group.biases):
            weights = member in group.members
            alone = dataclasses.replace(
                group, members=(member,) if weights else (), biases=() if weights else (member,)
            )
            after = outputs(model, inputs, permute(arrays, [alone], [order]))
            assert (after - before).abs().max() > 1e-6 * before.abs().max(), member


def test_every_parameter_of_hidden_units_is_in_a_group(network):
    model, _, groups = network
    covered = {(member.layer, member.axis) for group in groups for member in (*group.members, *group.biases)}
    attended = {(f"{layer}.{kind}", 0) for layer in "qkv" for kind in ("weight", "bias")} | {("proj.weight", 1)}
    assert covered.isdisjoint(attended)
    covered |= attended
    last = list(model.state_dict())[-2].removesuffix("weight")
    first = next(iter(model.state_dict()))
    for name, tensor in model.state_dict().items():
        if tensor.ndim and not name.startswith(last):
            assert (name, 0) in covered
        if tensor.ndim > 1 and name != first and "depthwise" not in name:
            assert (name, 1) in covered


def groups_of(model, inputs):
    topology = trace(model, inputs)
    state = model.state_dict()
    return permutation_groups(topology, {name: tuple(state[name].shape) for name in topology.layers})


def test_resnet50_has_37_groups():
    groups = groups_of(build_model("resnet50", {}, (3, 64, 64), 10), torch.rand(2, 3, 64, 64))
    assert len(groups) == 37
    # The stem, two within each of 3, 4, 6 and 3 blocks, and one for all the sums of a stage.
    assert collections.Counter(group.size for group in groups) == {
        64: 1 + 2 * 3, 128: 2 * 4, 256: 2 * 6 + 1, 512: 2 * 3 + 1, 1024: 1, 2048: 1,
    }  # fmt: skip


def test_a_vision_transformer_has_a_stream_and_one_group_in_each_block():
    model = build_model("vit-tiny", {"depth": 2}, (3, 32, 32), 10)
    groups = groups_of(model, torch.rand(2, 3, 32, 32))
    width = model.head.weight.shape[1]
    assert sorted(group.size for group in groups) == [width, 4 * width, 4 * width]
