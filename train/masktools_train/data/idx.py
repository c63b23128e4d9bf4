"""IDX files: the format of MNIST and Fashion-MNIST."""

import gzip
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from masktools.errors import RecipeError
from masktools_train.data.dataset import Dataset

__all__ = ["FASHION_MNIST_FOLDERS", "fashion_mnist", "idx_folder", "read_idx"]

FASHION_MNIST_FOLDERS = ("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist")
"""Where Debian's package ``dataset-fashion-mnist`` puts its files."""

_UINT8 = 8


def read_idx(path: Path, axes: int | None = None) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, compressed with gzip or not.

    Parameters
    ----------
    path
        The file.
    axes
        How many axes it must have; None takes any number.

    Raises
    ------
    RecipeError
        If it cannot be read or is no such file; the message names it.
    """
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UINT8:
        raise RecipeError(f"{path}: is not an IDX file of unsigned bytes")
    found, start = data[3], 4 + 4 * data[3]
    if axes is not None and found != axes:
        raise RecipeError(f"{path}: has {found} axes, needs {axes}")
    if len(data) < start:
        raise RecipeError(f"{path}: ends within its header")
    shape = struct.unpack(f">{found}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise RecipeError(f"{path}: holds {len(data) - start} values, its header says {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, stem: str) -> Path:
    for name in (stem, f"{stem}.gz"):
        if (folder / name).is_file():
            return folder / name
    raise RecipeError(f"{folder}: has neither {stem} nor {stem}.gz")


def idx_folder(path: str, train_examples: int | None = None) -> Dataset:
    """Load a folder of the four files that MNIST and its relatives come in.

    Parameters
    ----------
    path
        The folder that holds ``train-images-idx3-ubyte`` and the others, with or without ``.gz``.
    train_examples
        How many of the training examples to take, the first ones; None takes all.

    Raises
    ------
    RecipeError
        If a file is missing or damaged, or there are not as many examples.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise RecipeError(f"{folder}: no such data folder")
    (images, labels), test = (_examples(folder, part) for part in ("train", "t10k"))
    if train_examples is not None and not (isinstance(train_examples, int) and 1 <= train_examples <= len(labels)):
        raise RecipeError(
            f"data.options.train_examples: must be a whole number from 1 to {len(labels)}, got {train_examples!r}"
        )
    return Dataset.from_arrays(images[:train_examples], labels[:train_examples], *test)


def _examples(folder: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read images, with an axis for their one channel, and as many labels."""
    images = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), 3)
    path = _find(folder, f"{part}-labels-idx1-ubyte")
    labels = read_idx(path, 1)
    if len(labels) != len(images):
        raise RecipeError(f"{path}: holds {len(labels)} labels for {len(images)} images")
    return images[:, None], labels


def fashion_mnist(
    path: str | None = None, train_examples: int | None = None, folders: Sequence[str] = FASHION_MNIST_FOLDERS
) -> Dataset:
    """Load Fashion-MNIST: 60,000 and 10,000 images of 28 × 28 pixels in ten classes.

    Parameters
    ----------
    path
        The folder; when None, ``$MASKTOOLS_DATA/fashion-mnist`` and then `folders` are looked into.
    train_examples
        As for `idx_folder`.
    folders
        Where the files may lie.

    Raises
    ------
    RecipeError
        If it is not found.

    References
    ----------
    Xiao, Rasul and Vollgraf, Fashion-MNIST, arXiv 1708.07747.
    """
    if path is not None:
        return idx_folder(path, train_examples)
    root = os.environ.get("MASKTOOLS_DATA")
    places = [*([str(Path(root) / "fashion-mnist")] if root else []), *folders]
    for place in places:
        if Path(place).is_dir():
            return idx_folder(place, train_examples)
    raise RecipeError(
        f"data fashion-mnist: not found in {', '.join(places)}; "
        "install Debian's dataset-fashion-mnist or name the folder with --data-path"
    )
