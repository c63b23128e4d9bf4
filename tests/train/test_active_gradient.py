"""The gradient of active weights only, against autograd's dense one."""

import copy
import pickle

import pytest
import torch
from torch import nn

from masktools_train.algorithms import DNW, RigL
from masktools_train.execution.active_gradient import restrict_gradient, restrictable
from masktools_train.models.conv import conv_4
from masktools_train.models.mlp import MLP
from masktools_train.sparsifier import Sparsifier


def masked_linear(fan_in=7, fan_out=5, bias=True, density=0.3):
    torch.manual_seed(0)
    layer = nn.Linear(fan_in, fan_out, bias=bias).double()
    mask = torch.rand(fan_out, fan_in) < density
    with torch.no_grad():
        layer.weight.mul_(mask)
    return layer, mask


def gradients(layer, inputs):
    inputs = inputs.clone().requires_grad_()
    layer.zero_grad()
    (layer(inputs) ** 3).sum().backward()
    return inputs.grad, layer.weight.grad, None if layer.bias is None else layer.bias.grad


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 7), (7,)])
@pytest.mark.parametrize("bias", [True, False])
def test_active_entries_equal_the_dense_gradient_and_others_are_zero(shape, bias):
    layer, mask = masked_linear(bias=bias)
    restricted = copy.deepcopy(layer)
    restrict_gradient(restricted, mask.double())
    inputs = torch.randn(shape, dtype=torch.double)
    assert torch.equal(restricted(inputs), layer(inputs))
    for_inputs, for_weight, for_bias = gradients(layer, inputs)
    found_inputs, found_weight, found_bias = gradients(restricted, inputs)
    torch.testing.assert_close(found_inputs, for_inputs)
    torch.testing.assert_close(found_weight, for_weight * mask)
    assert (for_weight[~mask] != 0).any()
    assert (found_weight[~mask] == 0).all()
    if bias:
        torch.testing.assert_close(found_bias, for_bias)


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_empty_and_full_masks(density):
    layer, mask = masked_linear()
    mask = torch.full_like(mask, density > 0)
    expected = gradients(layer, torch.ones(2, 7, dtype=torch.double))[1] * mask
    restrict_gradient(layer, mask.double())
    torch.testing.assert_close(gradients(layer, torch.ones(2, 7, dtype=torch.double))[1], expected)


def test_no_product_over_the_whole_weight_is_made():
    layer, mask = masked_linear(30, 20, density=0.05)
    restrict_gradient(layer, mask.double())
    with torch.profiler.profile(record_shapes=True) as profile:
        gradients(layer, torch.randn(4, 30, dtype=torch.double))
    # A dense gradient would be a product of (20, 4) and (4, 30).
    products = [event.input_shapes for event in profile.events() if event.name in ("aten::mm", "aten::addmm")]
    assert products
    assert not any([20, 4] in shapes and [4, 30] in shapes for shapes in products)


def test_copies_and_pickles_are_independent():
    layer, mask = masked_linear()
    restrict_gradient(layer, mask.double())
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with torch.no_grad():
            twin.weight.zero_()
        ones = torch.ones(1, 7, dtype=torch.double)
        assert torch.equal(twin(ones)[0], twin.bias)
        assert not torch.equal(layer(ones)[0], layer.bias)


def test_only_plain_linear_layers_on_a_cpu_are_restrictable():
    assert restrictable(nn.Linear(2, 2))
    assert not restrictable(nn.Conv2d(2, 2, 1))
    assert not restrictable(nn.Linear(2, 2).bfloat16())
    assert not restrictable(type("Other", (nn.Linear,), {})(2, 2))


@pytest.mark.parametrize("algorithm", [RigL(delta_t=2), DNW()])
@pytest.mark.parametrize("freeze_step", [0, 3])
def test_freezing_restricts_every_linear_layer_and_no_sooner(algorithm, freeze_step):
    torch.manual_seed(0)
    model = MLP([6, 8, 4])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sparsifier = Sparsifier(
        model, optimizer, algorithm, density=0.3, distribution="erk", total_steps=10, freeze_step=freeze_step
    )
    for step in range(6):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(16, 6)), torch.randint(4, (16,))).backward()
        for layer in sparsifier.layers:
            outside = layer.parameter.grad[layer.mask == 0]
            assert (outside == 0).all() == (step >= freeze_step)
        optimizer.step()
    assert sparsifier.dense_gradient_steps == (freeze_step if isinstance(algorithm, DNW) else freeze_step // 2)


def test_convolutions_are_masked_before_the_optimizer_sees_them():
    torch.manual_seed(0)
    model = conv_4((1, 8, 8), 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sparsifier = Sparsifier(model, optimizer, DNW(), density=0.1, total_steps=5, freeze_step=1)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(4, 1, 8, 8)), torch.randint(3, (4,))).backward()
        optimizer.step()
    optimizer.state_dict()
    for layer in sparsifier.layers:
        assert (layer.parameter[layer.mask == 0] == 0).all()
        assert (optimizer.state[layer.parameter]["momentum_buffer"][layer.mask == 0] == 0).all()
