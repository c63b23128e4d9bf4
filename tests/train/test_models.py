"""The built-in networks: sizes against published ones, names, shapes, what they refuse, where they are listed."""

import math
import re
from pathlib import Path

import pytest
import torch
from test_budgets import SHAPES as RESNET50

from masktools.cli.train import MODELS
from masktools.errors import RecipeError
from masktools_train.budgets import erk
from masktools_train.models import REGISTRY, build_model
from masktools_train.models.mobilenet import scaled
from masktools_train.models.vit import fitting_patch
from masktools_train.models.wide_resnet import WideResNet
from masktools_train.sparse_layer import prunable_weights

DOCS = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
MNIST, CIFAR, IMAGENET = ((1, 28, 28), 10), ((3, 32, 32), 10), ((3, 224, 224), 1000)


def shapes_only(name, task, **options):
    """Build without memory for the parameters: only their shapes are asked for."""
    with torch.device("meta"):
        return build_model(name, options, *task)


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model):
    return sum(weight.numel() for weight in prunable_weights(model).values())


@pytest.mark.parametrize(
    ("name", "task", "published"),
    [
        ("lenet-300-100", MNIST, 266_610),
        ("lenet-5", MNIST, 431_080),
        ("resnet18", IMAGENET, 11_689_512),
        ("resnet50", IMAGENET, 25_557_032),
        ("mobilenet-v2", IMAGENET, 3_504_872),
        ("vit-tiny", IMAGENET, 5_717_416),
        ("vgg-16", CIFAR, 14_728_266),
    ],
)
def test_parameters_are_as_many_as_published(name, task, published):
    assert size(shapes_only(name, task)) == published


@pytest.mark.parametrize(
    ("options", "task", "by_hand"),
    [
        # Weights and biases of the two convolutions, of the hidden units, of the outputs.
        ({"maps": [6, 16], "hidden": 120}, MNIST, (25 + 1) * 6 + (6 * 25 + 1) * 16 + (16 * 16 + 1) * 120 + 121 * 10),
        ({"maps": [6, 16]}, MNIST, (25 + 1) * 6 + (6 * 25 + 1) * 16 + (16 * 16 + 1) * 500 + 501 * 10),
        ({"hidden": 84}, CIFAR, (3 * 25 + 1) * 20 + (20 * 25 + 1) * 50 + (50 * 25 + 1) * 84 + 85 * 10),
        ({"maps": (1, 1), "hidden": 1}, ((2, 16, 20), 3), (2 * 25 + 1) + (25 + 1) + (1 * 2 + 1) + 2 * 3),
    ],
)
def test_lenet_5_of_other_sizes(options, task, by_hand):
    assert size(shapes_only("lenet-5", task, **options)) == by_hand


@pytest.mark.parametrize(
    "options",
    [
        {"maps": [6]},
        {"maps": [6, 16, 3]},
        {"maps": [0, 16]},
        {"maps": [6, 2.5]},
        {"maps": "ab"},
        {"maps": 6},
        {"hidden": 0},
        {"hidden": -3},
        {"hidden": 1.5},
        {"hidden": "x"},
        {"hidden": [3]},
    ],
)
def test_sizes_of_lenet_5_are_positive_integers(options):
    with pytest.raises(RecipeError, match="model lenet-5: maps must be two positive integers and hidden one, got"):
        build_model("lenet-5", options, *MNIST)


def stage(before, channels, blocks):
    """Count the weights of the 3 × 3 convolutions of one stage of a ResNet for small images."""
    return 9 * channels * (before + (2 * blocks - 1) * channels)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # All and convolutional weights in the paper: 4.3M / 38K, 2.4M / 260K, and for Conv-6 1.7M / 1.1M. Its 1.7M is
        # not the sum of its own layers.
        ("conv-2", 38_592 + 16 * 16 * 64 * 256 + 256 * 256 + 2560),
        ("conv-4", 259_776 + 8 * 8 * 128 * 256 + 256 * 256 + 2560),
        ("conv-6", 1_144_512 + 4 * 4 * 256 * 256 + 256 * 256 + 2560),
        *(
            (
                f"resnet{6 * blocks + 2}",
                432 + stage(16, 16, blocks) + stage(16, 32, blocks) + stage(32, 64, blocks) + 512 + 2048 + 640,
            )
            for blocks in (3, 5, 9)
        ),
        # Stages and their projections.
        (
            "wrn-22-2",
            432 + stage(16, 32, 3) + 512 + stage(32, 64, 3) + 2048 + stage(64, 128, 3) + 8192 + 1280,
        ),
        (
            "vgg-16",
            9 * (3 * 64 + 64 * 64)
            + 9 * (64 * 128 + 128 * 128)
            + 9 * (128 * 256 + 2 * 256 * 256)
            + 9 * (256 * 512 + 2 * 512 * 512)
            + 9 * 3 * 512 * 512
            + 5120,
        ),
        ("vit-tiny", 3 * 4 * 4 * 192 + 12 * 12 * 192 * 192 + 1920),
    ],
)
def test_weights_are_as_many_as_counted_by_hand(name, by_hand):
    assert weights(shapes_only(name, CIFAR)) == by_hand


@pytest.mark.parametrize(("name", "published"), [("resnet20", 269_722), ("resnet32", 464_154), ("resnet56", 853_018)])
def test_small_resnets_are_the_published_ones_but_for_the_projections(name, published):
    """He et al. widen by zeros: .27, .46 and .85 million parameters."""
    model = shapes_only(name, CIFAR)
    projections = sum(size(module) for path, module in model.named_modules() if path.endswith("shortcut"))
    assert projections == 512 + 2048 + 2 * (32 + 64)
    assert size(model) - projections == published


@pytest.mark.parametrize(
    ("depth", "width", "millions"), [(40, 1, 0.6), (40, 2, 2.2), (40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5)]
)
def test_wide_resnets_have_the_sizes_of_their_paper(depth, width, millions):
    with torch.device("meta"):
        assert round(size(WideResNet((3, 32, 32), 10, depth, width)) / 1e6, 1) == millions


@pytest.mark.parametrize(("width", "millions"), [(1.4, 6.1), (1.0, 3.5), (0.75, 2.6), (0.5, 2.0), (0.35, 1.7)])
def test_mobilenets_have_the_sizes_of_their_paper(width, millions):
    assert size(shapes_only("mobilenet-v2", IMAGENET, width=width)) / 1e6 == pytest.approx(millions, abs=0.051)


def test_channels_are_scaled_to_multiples_of_eight():
    assert [scaled(32, width) for width in (1.0, 0.75, 0.5, 0.35, 0.1)] == [32, 24, 16, 16, 8]
    # 24 * .75 = 18 is nearest to 16, which is below 90 % of it.
    assert scaled(24, 0.75) == 24


def test_resnet50_is_the_network_of_the_reference_values():
    found = {name: tuple(weight.shape) for name, weight in prunable_weights(shapes_only("resnet50", IMAGENET)).items()}
    assert len(found) == 54
    assert sum(map(math.prod, found.values())) == 25_502_912
    assert {name.removesuffix(".weight"): shape for name, shape in found.items()} == RESNET50
    kept = {name: count / math.prod(found[name]) for name, count in erk(found, 0.1).items()}
    assert [name for name, share in kept.items() if share == 1] == ["layer1.0.conv1.weight"]
    assert kept["conv1.weight"] == pytest.approx(0.420, abs=5e-4)
    assert kept["layer4.2.conv2.weight"] == pytest.approx(0.0213, abs=5e-5)
    assert kept["fc.weight"] == pytest.approx(0.0726, abs=5e-5)
    assert sum(count == math.prod(found[name]) for name, count in erk(found, 0.2).items()) == 8
    assert all(count < math.prod(found[name]) for name, count in erk(found, 0.05).items())


@pytest.mark.parametrize(
    ("name", "parts", "number"),
    [
        (
            "resnet18",
            "conv1.weight bn1.bias layer2.0.downsample.0.weight layer2.0.downsample.1.bias layer4.1.bn2.bias",
            62,
        ),
        (
            "resnet50",
            "conv1.weight layer1.0.downsample.0.weight layer4.2.conv3.weight layer4.2.bn3.weight fc.bias",
            161,
        ),
        (
            "mobilenet-v2",
            "features.0.0.weight features.0.1.bias features.1.conv.0.0.weight features.1.conv.1.weight "
            "features.1.conv.2.weight features.17.conv.0.0.weight features.17.conv.1.0.weight "
            "features.17.conv.2.weight features.17.conv.3.weight features.18.0.weight classifier.1.weight",
            158,
        ),
        (
            "vit-tiny",
            "cls_token pos_embed patch_embed.proj.weight blocks.0.norm1.weight blocks.0.attn.qkv.bias "
            "blocks.11.attn.proj.weight blocks.11.norm2.bias blocks.11.mlp.fc1.weight norm.weight head.weight",
            152,
        ),
        ("vgg-16", "layers.0.conv.weight layers.0.bn.weight layers.16.conv.bias fc.weight", 54),
    ],
)
def test_parameters_have_the_names_of_other_tools(name, parts, number):
    names = {name for name, _ in shapes_only(name, CIFAR).named_parameters()}
    assert set(parts.split()) <= names
    assert len(names) == number


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 17, 22)])
def test_logits_have_the_shape_of_the_classes(name, shape):
    model = build_model(name, {"depth": 2} if name == "vit-tiny" else {}, shape, 7)
    assert model(torch.rand(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((224, 224), 16), ((96, 96), 8), ((32, 32), 4), ((28, 28), 4), ((8, 8), 1), ((28, 30), 2), ((5, 5), 1)],
)
def test_patches_that_fit(shape, patch):
    assert fitting_patch(*shape) == patch
    model = shapes_only("vit-tiny", ((1, *shape), 10), depth=1)
    assert model.patch_embed.proj.stride == (patch, patch)
    assert model.pos_embed.shape[1] == 1 + shape[0] * shape[1] // patch**2


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"mlp", "lenet-300-100"}))
@pytest.mark.parametrize("shape", [(64,), (32, 32), (3, 0, 32), (0, 32, 32), (1, 3, 32, 32)])
def test_networks_for_images_take_nothing_else(name, shape):
    with pytest.raises(RecipeError, match=rf"model {name} cannot take inputs of shape {re.escape(str(shape))}"):
        build_model(name, {}, shape, 10)


@pytest.mark.parametrize(("name", "smallest"), [("lenet-5", 16), ("vgg-16", 16), ("conv-2", 2), ("conv-6", 8)])
def test_the_smallest_image_is_the_smallest_that_works(name, smallest):
    assert build_model(name, {}, (1, smallest, smallest), 3)(torch.rand(2, 1, smallest, smallest)).shape == (2, 3)
    for shape in ((1, smallest - 1, smallest), (1, smallest, smallest - 1)):
        with pytest.raises(RecipeError, match=f"model {name} .* of at least {smallest} x {smallest}"):
            build_model(name, {}, shape, 3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("resnet18", {"stem": "tiny"}, "model resnet18: stem 'tiny' is unknown; choose from imagenet, cifar"),
        ("resnet50", {"stem": ""}, "model resnet50: stem '' is unknown"),
        ("wrn-22-2", {"dropout": 1.0}, "model wrn-22-2: dropout must be at least 0 and below 1, got 1.0"),
        ("mobilenet-v2", {"width": 0}, "model mobilenet-v2: width must be a positive number, got 0"),
        ("mobilenet-v2", {"width": math.nan}, "model mobilenet-v2: width must be a positive number"),
        ("mobilenet-v2", {"dropout": -0.1}, "model mobilenet-v2: dropout must be"),
        ("vit-tiny", {"patch": 5}, r"model vit-tiny: patch 5 does not divide inputs of shape \(3, 32, 32\)"),
        ("vit-tiny", {"patch": 0}, "model vit-tiny: patch must be a positive integer, got 0"),
        ("vit-tiny", {"depth": 2.0}, "model vit-tiny: depth must be a positive integer, got 2.0"),
        ("vit-tiny", {"heads": True}, "model vit-tiny: heads must be a positive integer, got True"),
        ("vit-tiny", {"dim": 64}, "model vit-tiny: dim 64 is no multiple of heads 3"),
        ("vit-tiny", {"width": 2}, "model 'vit-tiny' does not take these options"),
    ],
)
def test_options_that_do_not_fit_are_refused(name, options, words):
    with pytest.raises(RecipeError, match=words):
        build_model(name, options, *CIFAR)


@pytest.mark.parametrize(("depth", "width"), [(20, 2), (4, 2), (22, 0)])
def test_wide_resnets_that_cannot_be(depth, width):
    with pytest.raises(RecipeError, match=f"model wrn-{depth}-{width}: the depth must be 6 n"):
        WideResNet((3, 32, 32), 10, depth, width)


def test_registry_documentation_and_command_line_name_the_same_models():
    (section,) = re.findall(r"^## Models$(.*?)^## ", DOCS, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| `([\w-]+)` \|.*\|(?: ([\d,]+) on ([\w-]+))? \|$", section, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(REGISTRY) == MODELS
    tasks = {"MNIST": MNIST, "CIFAR-10": CIFAR, "ImageNet": IMAGENET}
    listed = {name: (int(count.replace(",", "")), tasks[task]) for name, count, task in rows if count}
    assert len(listed) == len(REGISTRY) - 1
    assert {name: size(shapes_only(name, task)) for name, (_, task) in listed.items()} == {
        name: count for name, (count, _) in listed.items()
    }
