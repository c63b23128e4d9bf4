"""Which images lie in the folders of their classes."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.data.images import SUFFIXES

__all__ = ["Listing", "list_images"]


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """The images of a folder, class by class, in the order of their names.

    Parameters
    ----------
    root
        The folder.
    classes
        Names of the classes, sorted.
    names
        Name of each image's file in the folder of its class.
    targets
        Class number of each image, int64.
    """

    root: str
    classes: tuple[str, ...]
    names: Sequence[str]
    targets: Tensor

    def path(self, number: int) -> str:
        """Return the file of an image."""
        return os.path.join(self.root, self.classes[int(self.targets[number])], self.names[number])  # noqa: PTH118


def list_images(root: Path) -> Listing:
    """List the images in ``root/CLASS/``; other files, and all whose names start with a dot, are passed over.

    Parameters
    ----------
    root
        The folder of the classes' folders.

    Raises
    ------
    RecipeError
        If it is missing, holds no folders, or one of them no image.
    """
    try:
        with os.scandir(root) as entries:
            classes = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        names: list[str] = []
        counts = []
        for label in classes:
            with os.scandir(root / label) as entries:
                found = sorted(
                    entry.name
                    for entry in entries
                    if entry.name.lower().endswith(SUFFIXES) and not entry.name.startswith(".") and not entry.is_dir()
                )
            if not found:
                raise RecipeError(f"{root / label}: holds no image ({', '.join(SUFFIXES)})")
            names += found
            counts.append(len(found))
    except OSError as error:
        raise RecipeError(f"{root}: cannot be read: {error}") from error
    if not classes:
        raise RecipeError(f"{root}: has no folders of images, one for each class")
    targets = torch.repeat_interleave(torch.arange(len(classes)), torch.tensor(counts))
    return Listing(str(root), tuple(classes), names, targets)
