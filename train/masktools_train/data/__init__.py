"""The built-in data sets; a new one is its function and one line here."""

from collections.abc import Callable, Mapping
from typing import Any

from masktools.errors import RecipeError
from masktools_train.data.cifar import cifar10, cifar100
from masktools_train.data.dataset import Dataset
from masktools_train.data.digits import digits
from masktools_train.data.folder import ImageFolder, imagenet
from masktools_train.data.idx import fashion_mnist, idx_folder
from masktools_train.data.source import Data
from masktools_train.named import build

__all__ = ["INDIFFERENT", "REGISTRY", "Data", "Dataset", "ImageFolder", "load_data"]

REGISTRY: Mapping[str, Callable[..., Data]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "idx": idx_folder,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "image-folder": ImageFolder,
    "imagenet": imagenet,
}


INDIFFERENT: Mapping[str, tuple[str, ...]] = {"image-folder": ("workers",), "imagenet": ("workers",)}
"""Options that say how fast examples come, and not which: a run that was stopped may go on with others."""


def load_data(name: str, options: Mapping[str, Any]) -> Data:
    """Load a data set.

    Parameters
    ----------
    name
        A key of `REGISTRY`, or ``package.module:function``. Such a function returns a `Dataset` or other
        `Data`, or the four arrays training inputs, training targets, test inputs and test targets.
    options
        Keyword arguments of that function.

    Raises
    ------
    RecipeError
        If there is no such data set, or it cannot be read.
    """
    loaded = build("data", name, REGISTRY, options)
    if isinstance(loaded, Data):
        return loaded
    if isinstance(loaded, tuple) and len(loaded) == 4:
        return Dataset.from_arrays(*loaded)
    raise RecipeError(f"data {name!r} returned {type(loaded).__name__}, neither a Dataset nor four arrays")
