"""CIFAR-10 and CIFAR-100 from the files of their binary version."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masktools.errors import RecipeError
from masktools_train.data.dataset import Dataset

__all__ = ["cifar10", "cifar100", "read_cifar"]

_SHAPE = (3, 32, 32)


class _Version(NamedTuple):
    """How one of the two data sets is laid out: its folder, its files, and the labels before each image."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    labels: tuple[int, ...]
    archive: str
    pickled: tuple[str, ...]


_CIFAR10 = _Version(
    name="cifar-10",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    labels=(10,),
    archive="cifar-10-binary.tar.gz",
    pickled=("cifar-10-batches-py", "data_batch_1"),
)
_CIFAR100 = _Version(
    name="cifar-100",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    labels=(20, 100),
    archive="cifar-100-binary.tar.gz",
    pickled=("cifar-100-python", "train"),
)


def cifar10(path: str | None = None) -> Dataset:
    """Load CIFAR-10: 50,000 and 10,000 colour images of 32 × 32 pixels in ten classes.

    Parameters
    ----------
    path
        The folder ``cifar-10-batches-bin``, or the one that it lies in; when None, ``cifar-10`` and
        ``cifar-10-batches-bin`` in ``$MASKTOOLS_DATA`` are looked into.

    Raises
    ------
    RecipeError
        If it is not found, is the version of Python pickles, or a file is damaged.

    References
    ----------
    Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    return _load(_CIFAR10, path, 0)


def cifar100(path: str | None = None, labels: Literal["fine", "coarse"] = "fine") -> Dataset:
    """Load CIFAR-100: 50,000 and 10,000 colour images of 32 × 32 pixels in 100 classes.

    Parameters
    ----------
    path
        The folder ``cifar-100-binary``, or the one that it lies in; when None, ``cifar-100`` and
        ``cifar-100-binary`` in ``$MASKTOOLS_DATA`` are looked into.
    labels
        The 100 ``fine`` classes, or the 20 ``coarse`` ones that they are parts of.

    Raises
    ------
    RecipeError
        As `cifar10`.
    """
    if labels not in ("fine", "coarse"):
        raise RecipeError(f"data cifar-100: labels must be fine or coarse, got {labels!r}")
    return _load(_CIFAR100, path, 1 if labels == "fine" else 0)


def read_cifar(path: Path, labels: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read one file: records of the labels of an image, a byte each, and its 3072 pixels, red, green and blue.

    Parameters
    ----------
    path
        The file; it may hold any number of records above 0.
    labels
        Number of classes that each label chooses from.

    Returns
    -------
    tuple of two arrays
        Images of shape ``(records, 3, 32, 32)`` and labels of shape ``(records, len(labels))``.

    Raises
    ------
    RecipeError
        If it cannot be read or is no such file; the message names it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    width = len(labels) + int(np.prod(_SHAPE))
    if not raw or len(raw) % width:
        raise RecipeError(f"{path}: holds {len(raw)} bytes, which are no records of {width}")
    records = np.frombuffer(raw, np.uint8).reshape(-1, width)
    found = records[:, : len(labels)]
    for column, classes in zip(found.T, labels, strict=True):
        if column.max() >= classes:
            record = int((column >= classes).argmax())
            raise RecipeError(f"{path}: record {record} has the label {column[record]}, the largest is {classes - 1}")
    return records[:, len(labels) :].reshape(-1, *_SHAPE), found


def _load(version: _Version, path: str | None, label: int) -> Dataset:
    """Read all files of a version; `label` is the place of the label that is wanted among those of an image."""
    folder = _find(version, path)
    train, test = (
        [read_cifar(folder / name, version.labels) for name in names] for names in (version.train, (version.test,))
    )
    return Dataset.from_arrays(*_joined(train, label), *_joined(test, label), version.labels[label])


def _joined(
    files: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], label: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return np.concatenate([images for images, _ in files]), np.concatenate([labels[:, label] for _, labels in files])


def _find(version: _Version, path: str | None) -> Path:
    """Return the folder that holds the files."""
    if path is not None:
        given = Path(path).expanduser()
        if not given.is_dir():
            raise RecipeError(f"{given}: no such data folder")
        places = [given]
    else:
        root = os.environ.get("MASKTOOLS_DATA")
        places = [Path(root) / version.name, Path(root)] if root else []
    for place in places:
        for folder in (place, place / version.folder):
            if (folder / version.train[0]).is_file():
                return _complete(version, folder)
    for place in places:
        if any((place / name).exists() for name in version.pickled):
            raise RecipeError(
                f"{place}: holds the version of {version.name.upper()} in Python pickles, which can run code when they "
                f"are read; take the binary version, {version.archive}"
            )
    if path is None:
        raise RecipeError(
            f"data {version.name}: not found in {', '.join(map(str, places)) or '$MASKTOOLS_DATA, which is not set'}; "
            f"unpack {version.archive} there or name its folder with --data-path"
        )
    raise RecipeError(f"{places[0]}: has neither {version.train[0]} nor {version.folder}/{version.train[0]}")


def _complete(version: _Version, folder: Path) -> Path:
    for name in (*version.train, version.test):
        if not (folder / name).is_file():
            raise RecipeError(f"{folder}: has no {name}")
    return folder
