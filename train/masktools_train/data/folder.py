"""Folders of images, one for each class, as those of ImageNet: decoded as they are needed."""

import copy
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.data.decoding import CHUNK, Augmentation, Decoder, Task
from masktools_train.data.folder_batches import FolderBatches
from masktools_train.data.listing import Listing, list_images
from masktools_train.distributed import Processes

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageFolder", "imagenet"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue, as shares of 255."""

_MOST_WORKERS = 16


class ImageFolder:
    """Images in ``train/CLASS/`` and ``val/CLASS/``, decoded by processes of their own while training goes on.

    Parameters
    ----------
    path
        The folder that holds ``train`` and ``val``.
    size
        Height and width of the inputs.
    resize
        Length that the shorter side of an image gets before its middle is cut out; 8/7 of `size` when None: 256 for
        224.
    workers
        Number of processes that decode, for each process that trains; 0 decodes in between the steps. When None, as
        many as there are processors, 16 at most. The batches do not depend on it.
    mean, std
        Of red, green and blue, as shares of 255: subtracted from, and dividing, the values.

    Attributes
    ----------
    train, test
        What lies in ``train`` and ``val``.

    Raises
    ------
    RecipeError
        If a folder is missing, the two do not hold the same classes, a class has no images, or an option is out of
        range.
    """

    def __init__(
        self,
        path: str,
        size: int = 224,
        resize: int | None = None,
        workers: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self._size = _whole("size", size, 1)
        self._resize = round(size * 8 / 7) if resize is None else _whole("resize", resize, size)
        self._workers = _usable() if workers is None else _whole("workers", workers, 0)
        self._mean, self._std = _colours("mean", mean), _colours("std", std)
        if not bool((self._std > 0).all()):
            raise RecipeError(f"data.options.std: must be above 0, got {list(std)}")
        root = Path(path).expanduser()
        if not root.is_dir():
            raise RecipeError(f"{root}: no such data folder")
        self.train, self.test = list_images(root / "train"), list_images(root / "val")
        odd = sorted(set(self.train.classes) ^ set(self.test.classes))
        if odd:
            has, lacks = ("train", "val") if odd[0] in self.train.classes else ("val", "train")
            raise RecipeError(f"{root}: class {odd[0]!r} is in {has} but not in {lacks}")
        self._place(torch.device("cpu"))

    def _place(self, device: torch.device) -> None:
        self._device = device
        self._decoder = Decoder(self._size, self._resize, self._workers, pinned=device.type == "cuda")
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        self._test_targets = self.test.targets.to(device)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return (3, self._size, self._size)

    @property
    def test_targets(self) -> Tensor:
        """Class numbers of the test examples, shape ``(examples,)``."""
        return self._test_targets

    def to(self, device: torch.device) -> Self:
        """Return the data set so that its batches come on `device`."""
        moved = copy.copy(self)
        moved._place(device)  # noqa: SLF001  (of its own class)
        return moved

    def training(
        self,
        batch_size: int,
        seed: int,
        augment: Sequence[str] = (),
        shift: int = 4,
        processes: Processes | None = None,
    ) -> FolderBatches:
        """Return the training batches, as `Data` says; nothing is shifted."""
        del shift
        examples = functools.partial(self.examples, self.train)
        return FolderBatches(len(self.train.targets), examples, batch_size, seed, augment, processes)

    def testing(
        self, batch_size: int, limit: int | None = None, processes: Processes | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield test examples, as `Data` says."""
        count = len(self.test.targets) if limit is None else min(limit, len(self.test.targets))
        share = (processes or Processes()).share(count)
        wanted = np.arange(share.start, share.stop)
        yield from self.examples(
            self.test, [wanted[start : start + batch_size] for start in range(0, len(wanted), batch_size)]
        )

    def examples(
        self, part: Listing, batches: Sequence[NDArray[np.int64]], augmentation: Augmentation | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of the given examples, on the device.

        Parameters
        ----------
        part
            `train` or `test`.
        batches
            The numbers of the examples of each batch.
        augmentation
            None decodes as for testing.

        Raises
        ------
        RecipeError
            If a file cannot be read as an image.
        TrainingError
            If a process that decodes ends before its time.
        """
        tasks = (
            Task(tuple(part.path(number) for number in numbers), tuple(numbers), augmentation)
            for batch in batches
            for numbers in (batch[start : start + CHUNK].tolist() for start in range(0, len(batch), CHUNK))
        )
        decoded = self._decoder.decoded(tasks, sum(map(len, batches)))
        for batch in batches:
            stored = torch.empty((len(batch), self._size, self._size, 3), dtype=torch.uint8, device=self._device)
            for start in range(0, len(batch), CHUNK):
                # At once, which gives shared memory back; not waited for where it is pinned.
                stored[start : start + CHUNK].copy_(next(decoded), non_blocking=True)
            targets = part.targets[torch.from_numpy(batch)].to(self._device, non_blocking=True)
            yield self._normalized(stored), targets

    def _normalized(self, stored: Tensor) -> Tensor:
        values = stored.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return values.sub_(self._mean).div_(self._std)


def imagenet(path: str | None = None, **options: Any) -> ImageFolder:
    """Load ImageNet, or what is laid out like it.

    Parameters
    ----------
    path
        The folder that holds ``train`` and ``val``; ``$MASKTOOLS_DATA/imagenet`` when None.
    options
        As for `ImageFolder`.

    Raises
    ------
    RecipeError
        As for `ImageFolder`, and if no folder is named.

    References
    ----------
    Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015.
    """
    if path is None:
        root = os.environ.get("MASKTOOLS_DATA")
        if not root:
            raise RecipeError("data imagenet: name its folder with --data-path, or that around it in $MASKTOOLS_DATA")
        path = str(Path(root) / "imagenet")
    return ImageFolder(path, **options)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RecipeError(f"data.options.{name}: must be a whole number of at least {least}, got {value!r}")
    return value


def _colours(name: str, values: Any) -> Tensor:
    """Return values for red, green and blue, to be used on bytes."""
    try:
        found = torch.tensor([float(value) for value in values])
    except (TypeError, ValueError):
        found = torch.empty(0)
    if len(found) != 3 or not bool(found.isfinite().all()):
        raise RecipeError(f"data.options.{name}: must be three numbers, got {values!r}")
    return (255 * found).view(3, 1, 1)


def _usable() -> int:
    """Return this process's share of the processors that it may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(_MOST_WORKERS, count // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
