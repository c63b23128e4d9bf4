"""Training batches of images that are decoded as they are needed."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.data.decoding import Augmentation
from masktools_train.distributed import Processes
from masktools_train.seeding import numpy_generator

__all__ = ["AUGMENTATIONS", "FolderBatches"]

AUGMENTATIONS = ("crop", "flip")

Examples: TypeAlias = Callable[[Sequence[NDArray[np.int64]], Augmentation], Iterator[tuple[Tensor, Tensor]]]
"""From the numbers of the examples of each batch, and what is done to them, to their inputs and targets."""


class FolderBatches:
    """The training batches of any epoch, the same for the same seed wherever one starts, and whoever decodes.

    Parameters
    ----------
    count
        Number of training examples.
    examples
        What decodes them.
    batch_size
        Examples a step; the last batch of an epoch may be smaller.
    seed
        Seed of order and augmentation.
    augment
        ``crop`` (stretch a random part, as `crop_box` chooses it, in place of the middle) and ``flip`` (mirror half the
        images).
    processes
        Who trains together; each sees its share of every batch, and decodes no more.

    Raises
    ------
    RecipeError
        If images are to be augmented in another way, or a process would see no example of a batch.
    """

    def __init__(
        self,
        count: int,
        examples: Examples,
        batch_size: int,
        seed: int,
        augment: Sequence[str] = (),
        processes: Processes | None = None,
    ) -> None:
        odd = sorted(set(augment) - set(AUGMENTATIONS))
        if odd:
            raise RecipeError(f"data.augment: {odd[0]!r} is not for image folders; use {', '.join(AUGMENTATIONS)}")
        self._examples, self._seed = examples, seed
        self._crop, self._flip = "crop" in augment, "flip" in augment
        self._count = count
        self._size = min(batch_size, self._count)
        self._processes = processes or Processes()
        self.steps_per_epoch = -(-self._count // self._size)
        self._processes.require_shares(self.whole(self.steps_per_epoch - 1))

    def whole(self, index: int) -> int:
        """Return how many examples all processes together see at step `index` of an epoch."""
        return min(self._size, self._count - index * self._size)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of an epoch from batch `start` on.

        The order depends on seed and epoch alone, and what is drawn for an image on these and the image: an epoch that
        is entered in its middle, by any number of processes, sees what it would have seen.

        Parameters
        ----------
        number
            Number of the epoch, from 0.
        start
            Batches to leave out.
        """
        order = numpy_generator(self._seed, "order", number).permutation(self._count)
        shares = []
        for index in range(start, self.steps_per_epoch):
            first, share = index * self._size, self._processes.share(self.whole(index))
            shares.append(order[first + share.start : first + share.stop])
        how = Augmentation(self._seed, number, self._crop, self._flip)
        yield from self._examples(shares, how)
