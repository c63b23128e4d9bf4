"""Decode image files in worker processes, in a given order."""

import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from masktools.errors import MasktoolsError, RecipeError, TrainingError
from masktools_train.data.images import read_image
from masktools_train.seeding import numpy_generator

__all__ = ["CHUNK", "Augmentation", "Decoder", "Task"]

CHUNK = 16
"""Images that a worker decodes at a time: all workers share in every batch, and little shared memory is in use."""

_PREFETCH = 4


class Augmentation(NamedTuple):
    """What is done to the images of an epoch; all random choices follow from this and the number of the image."""

    seed: int
    epoch: int
    crop: bool
    flip: bool


class Task(NamedTuple):
    """Images to decode.

    Attributes
    ----------
    paths
        Their files.
    numbers
        Their numbers in the data set.
    augmentation
        None decodes as for testing.
    """

    paths: tuple[str, ...]
    numbers: tuple[int, ...]
    augmentation: Augmentation | None


class _Decoding(torch.utils.data.Dataset[Tensor | str]):
    """What a worker does; it holds nothing of the data set, whose list of files may be long."""

    def __init__(self, size: int, resize: int) -> None:
        self._size, self._resize = size, resize

    def __getitem__(self, task: Task) -> Tensor | str:
        """Return images, shape ``(images, size, size, 3)``, or the sentence that says why there are none.

        An exception would reach the user with the traceback of the worker.
        """
        decoded = np.empty((len(task.paths), self._size, self._size, 3), np.uint8)
        how = task.augmentation
        try:
            for place, path, number in zip(decoded, task.paths, task.numbers, strict=True):
                crop = flip = None
                if how is not None and how.crop:
                    crop = numpy_generator(how.seed, "crop", how.epoch, number)
                if how is not None and how.flip:
                    flip = numpy_generator(how.seed, "flip", how.epoch, number)
                place[:] = read_image(path, self._size, self._resize, crop, flip is not None and flip.random() < 0.5)
        except MasktoolsError as error:
            return str(error)
        return torch.from_numpy(decoded)


class _Order:
    """The tasks of the next round: workers outlive a round, so the loader, and what it asks, must stay the same."""

    def __init__(self) -> None:
        self.tasks: Iterable[Task] = ()

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)


class _Pool(NamedTuple):
    """Workers, and what tells them what to do."""

    loader: DataLoader[Tensor | str]
    order: _Order


class Decoder:
    """Decodes images, ahead of their use where there are workers; they start when first needed, and stay.

    Parameters
    ----------
    size, resize
        As for `read_image`.
    workers
        Number of processes; 0 decodes in this one.
    pinned
        Return images in memory that a CUDA device can copy from while this process goes on.
    """

    def __init__(self, size: int, resize: int, workers: int, pinned: bool) -> None:
        self._decoding, self._workers, self._pinned = _Decoding(size, resize), workers, pinned
        self._idle: _Pool | None = None

    def decoded(self, tasks: Iterable[Task], images: int) -> Iterator[Tensor]:
        """Yield the images of each task in turn.

        Parameters
        ----------
        tasks
            What to decode.
        images
            How many images these are: so few that workers would not share in them are decoded here.

        Raises
        ------
        RecipeError
            If a file cannot be read as an image.
        TrainingError
            If a worker ends before its time.
        """
        if not self._workers or images <= CHUNK:
            found: Iterator[Tensor | str] = map(self._decoding.__getitem__, tasks)
        else:
            found = self._by_workers(tasks)
        for chunk in found:
            if isinstance(chunk, str):
                raise RecipeError(chunk)
            yield chunk

    def _by_workers(self, tasks: Iterable[Task]) -> Iterator[Tensor | str]:
        # Workers do one round at a time: who comes while they are at it gets others.
        pool, self._idle = self._idle or self._started(), None
        pool.order.tasks = tasks
        try:
            yield from pool.loader
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise TrainingError(
                "data: a process that decodes images ended early, perhaps for want of memory or space in /dev/shm (set "
                "data.options.workers lower), or because the program that trains has no if __name__ == '__main__'"
            ) from error
        except GeneratorExit:
            self._idle = pool
            raise
        self._idle = pool

    def _started(self) -> _Pool:
        order = _Order()
        # Not "fork": this process has threads by now (of torch, and the one that writes snapshots), and a lock that one
        # of them holds would stay locked in a fork for good. A server that has torch loaded forks the workers.
        context = torch.multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        loader = DataLoader(
            self._decoding,
            batch_size=None,
            sampler=cast("Iterable[int]", order),
            num_workers=self._workers,
            worker_init_fn=_start,
            multiprocessing_context=context,
            # The loader draws a seed for its workers, who use none: not from the numbers that the model draws.
            generator=torch.Generator(),
            prefetch_factor=_PREFETCH,
            persistent_workers=True,
            pin_memory=self._pinned,
        )
        return _Pool(loader, order)


def _start(number: int) -> None:
    """Let a worker not repeat for every image what Pillow thinks of its metadata, and not outlive who uses it."""
    del number
    warnings.filterwarnings("ignore", module=r"PIL\.")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Torch watches for another parent in the table of processes, but there it is the server, whom workers keep alive.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
