"""How the built-in networks compute, and how their weights start: against formulas written out."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from masktools_train.algorithms.static import Static
from masktools_train.models import REGISTRY, build_model
from masktools_train.models.vit import Attention
from masktools_train.models.wide_resnet import PreActivationBlock
from masktools_train.sparse_layer import prunable_weights
from masktools_train.sparsifier import Sparsifier


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"resnet50", "vgg-16", "resnet56"}))
def test_every_parameter_has_a_part_in_the_logits(name):
    torch.manual_seed(0)
    model = build_model(name, {"depth": 2} if name == "vit-tiny" else {}, (3, 32, 32), 5).double()
    functional.cross_entropy(model(torch.rand(3, 3, 32, 32).double()), torch.tensor([0, 1, 2])).backward()
    # A bias before batch norm has no part: none of these networks has one.
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert [name for name, weight in prunable_weights(model).items() if not weight.grad.any()] == []


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_stem_for_small_images_keeps_their_size(name):
    sides = []
    model = build_model(name, {"stem": "cifar"}, (3, 32, 32), 10)
    model.layer1.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    other = build_model(name, {}, (3, 32, 32), 10)
    other.layer1.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    other(torch.rand(2, 3, 32, 32))
    assert sides == [32, 8]
    assert [other.conv1.kernel_size, model.conv1.kernel_size] == [(7, 7), (3, 3)]


def test_the_stride_of_a_bottleneck_is_in_its_middle():
    block = build_model("resnet50", {}, (3, 32, 32), 10).layer3[0]
    assert [layer.stride for layer in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert block.downsample[0].stride == (2, 2)


def test_lenet_5_has_one_relu():
    net = build_model("lenet-5", {}, (1, 28, 28), 10)
    for bias in (net.conv1.bias, net.conv2.bias, net.fc1.bias, net.fc2.bias):
        nn.init.normal_(bias)
    inputs = torch.randn(4, 1, 28, 28)
    maps = functional.max_pool2d(functional.conv2d(inputs, net.conv1.weight, net.conv1.bias), 2)
    maps = functional.max_pool2d(functional.conv2d(maps, net.conv2.weight, net.conv2.bias), 2)
    hidden = (maps.reshape(4, 800) @ net.fc1.weight.T + net.fc1.bias).clamp(min=0)
    torch.testing.assert_close(net(inputs), hidden @ net.fc2.weight.T + net.fc2.bias)


@pytest.mark.parametrize(("before", "stride"), [(4, 1), (4, 2), (3, 1)])
def test_a_wide_block_activates_before_it_convolves(before, stride):
    block = PreActivationBlock(before, 4, stride, 0.3).eval()
    for norm in (block.bn1, block.bn2):
        for values in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(values)

    def normed(norm, maps):
        scale = norm.weight / torch.sqrt(1 + torch.tensor(1e-5))
        return (maps - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]

    inputs = torch.randn(2, before, 6, 6)
    active = normed(block.bn1, inputs).clamp(min=0)
    hidden = functional.conv2d(active, block.conv1.weight, stride=stride, padding=1)
    main = functional.conv2d(normed(block.bn2, hidden).clamp(min=0), block.conv2.weight, padding=1)
    plain = stride == 1 and before == 4
    side = inputs if plain else functional.conv2d(active, block.shortcut.weight, stride=stride)
    torch.testing.assert_close(block(inputs), main + side)


def test_attention_by_its_definition():
    attention = Attention(12, 3).double()
    tokens = torch.randn(2, 5, 12).double()
    parts = tokens @ attention.qkv.weight.T + attention.qkv.bias
    mixed = torch.zeros(2, 5, 12).double()
    for head in range(3):
        query, key, value = (parts[..., 12 * part + 4 * head :][..., :4] for part in range(3))
        share = torch.softmax(query @ key.transpose(1, 2) / 2, dim=-1)
        mixed[..., 4 * head : 4 * head + 4] = share @ value
    expected = mixed @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(tokens), expected)


def test_a_transformer_knows_where_patches_are():
    torch.manual_seed(0)
    model = build_model("vit-tiny", {"patch": 2, "dim": 8, "depth": 1, "heads": 2}, (1, 4, 4), 3).eval()
    picture = torch.rand(1, 1, 4, 4)
    swapped = picture.roll(2, dims=3)
    nn.init.normal_(model.pos_embed)
    assert not torch.allclose(model(picture), model(swapped), atol=1e-6)
    nn.init.zeros_(model.pos_embed)
    torch.testing.assert_close(model(picture), model(swapped))


@pytest.mark.parametrize(
    ("name", "layer", "deviation"),
    [
        ("lenet-5", "fc1", 1 / math.sqrt(800)),
        ("conv-6", "features.12", math.sqrt(2 / (9 * 256))),
        ("resnet32", "blocks.14.conv2", math.sqrt(2 / (9 * 64))),
        ("wrn-22-2", "blocks.6.conv1", math.sqrt(2 / (9 * 128))),
        ("vgg-16", "layers.4.conv", math.sqrt(2 / (9 * 128))),
        ("resnet18", "layer2.0.conv1", math.sqrt(2 / (9 * 128))),
        ("resnet50", "layer1.0.conv3", math.sqrt(2 / 256)),
        ("mobilenet-v2", "features.18.0", math.sqrt(2 / 1280)),
        ("mobilenet-v2", "classifier.1", 0.01),
        ("vit-tiny", "blocks.0.mlp.fc1", 0.02),
    ],
)
def test_weights_start_as_in_the_reference(name, layer, deviation):
    torch.manual_seed(0)
    layer = build_model(name, {}, (3, 28, 28) if name != "lenet-5" else (1, 28, 28), 10).get_submodule(layer)
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert abs(layer.weight.mean().item()) < 0.02 * deviation
    if name == "lenet-5":
        assert layer.weight.abs().max().item() == pytest.approx(math.sqrt(3) * deviation, rel=1e-3)
    assert layer.bias is None or name == "vgg-16" or not layer.bias.any()


@pytest.mark.parametrize(("name", "options"), [("mobilenet-v2", {"width": 0.1}), ("vit-tiny", {"depth": 1, "dim": 12})])
def test_depthwise_and_fused_layers_are_trained_sparse(name, options):
    model = build_model(name, options, (3, 32, 32), 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(model, optimizer, Static(), density=0.2, total_steps=1, distribution="uniform")
    functional.cross_entropy(model(torch.rand(4, 3, 32, 32)), torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    del sparsifier
    for weight in prunable_weights(model).values():
        assert 0 < weight.count_nonzero() <= math.ceil(0.2 * weight.numel())
