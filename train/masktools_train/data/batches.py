"""Batches made on the device: the data set is resident, an epoch is a permutation."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.distributed import Processes
from masktools_train.seeding import generator

__all__ = ["AUGMENTATIONS", "Batches"]

AUGMENTATIONS = ("flip", "shift")


class Batches:
    """The training batches of any epoch, the same for the same seed wherever one starts.

    Parameters
    ----------
    inputs, targets
        The training examples as they are stored, on the device.
    normalized
        From stored inputs to those that a network is given.
    batch_size
        Examples a step; the last batch of an epoch may be smaller.
    seed
        Seed of order and augmentation.
    augment
        ``flip`` (mirror half the images) and ``shift`` (move images, zeros coming in).
    shift
        Largest move in pixels, vertically and horizontally.
    processes
        Who trains together; each sees its share of every batch.

    Raises
    ------
    RecipeError
        If images are to be augmented that are none, or a process would see no example of a batch.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        normalized: Callable[[Tensor], Tensor],
        batch_size: int,
        seed: int,
        augment: Sequence[str] = (),
        shift: int = 4,
        processes: Processes | None = None,
    ) -> None:
        odd = sorted(set(augment) - set(AUGMENTATIONS))
        if odd:
            raise RecipeError(f"data.augment: {odd[0]!r} is not for data in memory; use {', '.join(AUGMENTATIONS)}")
        if augment and inputs.ndim != 4:
            raise RecipeError(f"data: inputs of shape {tuple(inputs.shape[1:])} are no images and cannot be augmented")
        self._inputs, self._targets, self._normalized = inputs, targets, normalized
        self._count = len(targets)
        self._size = min(batch_size, self._count)
        self._seed = seed
        self._augment = frozenset(augment)
        self._shift = shift
        self._processes = processes or Processes()
        self.steps_per_epoch = -(-self._count // self._size)
        self._processes.require_shares(self.whole(self.steps_per_epoch - 1))

    def whole(self, index: int) -> int:
        """Return how many examples all processes together see at step `index` of an epoch."""
        return min(self._size, self._count - index * self._size)

    def epoch(self, number: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs and targets of an epoch from batch `start` on.

        All random choices of the epoch are drawn at once on the device, so that an epoch entered in its
        middle (rewinding, resuming) sees the batches that it would have seen.

        Parameters
        ----------
        number
            Number of the epoch, from 0.
        start
            Batches to leave out.
        """
        device, count = self._targets.device, self._count
        random = generator(device, self._seed, "order", number)
        order = torch.randperm(count, generator=random, device=device)
        flips = torch.rand(count, generator=random, device=device) < 0.5 if "flip" in self._augment else None
        moves = (
            torch.randint(0, 2 * self._shift + 1, (2, count), generator=random, device=device)
            if "shift" in self._augment
            else None
        )
        for index in range(start, self.steps_per_epoch):
            first, share = index * self._size, self._processes.share(self.whole(index))
            part = slice(first + share.start, first + share.stop)
            inputs = self._normalized(self._inputs[order[part]])
            if flips is not None:
                inputs = torch.where(flips[part].view(-1, 1, 1, 1), inputs.flip(-1), inputs)
            if moves is not None:
                inputs = _shifted(inputs, moves[:, part], self._shift)
            yield inputs, self._targets[order[part]]


def _shifted(images: Tensor, moves: Tensor, most: int) -> Tensor:
    """Return each image cut at its own place out of itself with a border of zeros."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (most, most, most, most))
    rows = moves[0].view(-1, 1) + torch.arange(height, device=images.device)
    columns = moves[1].view(-1, 1) + torch.arange(width, device=images.device)
    examples = torch.arange(count, device=images.device).view(-1, 1, 1)
    # Advanced indices on both sides of the channel slice move it to the end.
    return padded[examples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
