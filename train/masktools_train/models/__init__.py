"""The built-in networks; a new one is its function and one line here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from masktools.errors import RecipeError
from masktools_train.models.conv import conv_4
from masktools_train.models.mlp import lenet_300_100, mlp
from masktools_train.models.resnet import resnet20
from masktools_train.named import build

__all__ = ["REGISTRY", "build_model"]

REGISTRY: Mapping[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "lenet-300-100": lenet_300_100,
    "conv-4": conv_4,
    "resnet20": resnet20,
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
