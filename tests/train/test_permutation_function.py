"""Permuting hidden units does not change what a network computes; permuting only some of their weights does."""

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


NETWORKS = {
    "mlp": lambda: built("mlp"),
    "conv": lambda: built("conv"),
    "resnet20": lambda: built("resnet20"),
    "depthwise": depthwise,
    "shared": shared,
    "cyclic": cyclic,
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
        if f"{prefix}running_var" in state:
            for key in ("weight", "running_mean", "running_var"):
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
    last = list(model.state_dict())[-2].removesuffix("weight")
    first = next(iter(model.state_dict()))
    for name, tensor in model.state_dict().items():
        if tensor.ndim and not name.startswith(last):
            assert (name, 0) in covered
        if tensor.ndim > 1 and name != first and "depthwise" not in name:
            assert (name, 1) in covered
