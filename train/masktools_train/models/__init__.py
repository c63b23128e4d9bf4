"""The built-in networks; a new one is its function and one line here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from masktools.errors import RecipeError
from masktools_train.models.conv import conv_2, conv_4, conv_6
from masktools_train.models.imagenet_resnet import resnet18, resnet50
from masktools_train.models.lenet import lenet_5
from masktools_train.models.mlp import lenet_300_100, mlp
from masktools_train.models.mobilenet import mobilenet_v2
from masktools_train.models.resnet import resnet20, resnet32, resnet56
from masktools_train.models.vgg import vgg_16
from masktools_train.models.vit import vit_tiny
from masktools_train.models.wide_resnet import wrn_22_2
from masktools_train.named import build

__all__ = ["REGISTRY", "build_model"]

REGISTRY: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "lenet-300-100": lenet_300_100,
    "lenet-5": lenet_5,
    "conv-2": conv_2,
    "conv-4": conv_4,
    "conv-6": conv_6,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet56": resnet56,
    "wrn-22-2": wrn_22_2,
    "vgg-16": vgg_16,
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet-v2": mobilenet_v2,
    "vit-tiny": vit_tiny,
}


def build_model(name: str, options: Mapping[str, Any], input_shape: Sequence[int], classes: int) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name
        A key of `REGISTRY`, or ``package.module:function``.
    options
        Keyword arguments of that function.
    input_shape, classes
        Shape of one input and number of outputs, passed by keyword too.

    Raises
    ------
    RecipeError
        If there is no such model, it does not take these options, or it is no module.
    """
    model = build("model", name, REGISTRY, options, input_shape=tuple(input_shape), classes=classes)
    if not isinstance(model, nn.Module):
        raise RecipeError(f"model {name!r} returned {type(model).__name__}, not a torch.nn.Module")
    return model
