"""What a format makes of a checkpoint, and what a format is."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.snapshot.streamed import Pieces, StreamedArray

__all__ = ["ImportFormat", "Parts", "checked_mask", "masked"]


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The network of a checkpoint.

    Parameters
    ----------
    arrays
        All parameters and buffers under the names that they have in the network without masks, in its order.
    masks
        Masks by the name of what they mask; None where the file says that it is dense.
    scores
        By name, what a mask is made of when its largest entries are kept; of those that are in neither, the weights.
    """

    arrays: Mapping[str, StreamedArray]
    masks: Mapping[str, StreamedArray | None] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, StreamedArray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ImportFormat:
    """A format.

    Parameters
    ----------
    made_by
        What writes such files, for the table of `docs/import.md`.
    reads
        Which keys are read and what the mask is, for the same table.
    recognises
        Whether a checkpoint is one.
    parts
        Takes it apart.
    needs_density
        Whether the mask can only be made with a density.
    """

    made_by: str
    reads: str
    recognises: Callable[[Checkpoint], bool]
    parts: Callable[[Checkpoint], Parts]
    needs_density: bool = False


def checked_mask(checkpoint: Checkpoint, name: str, mask: StreamedArray, weight: StreamedArray | None) -> StreamedArray:
    """Return a mask as booleans, which are seen to be one when they are read.

    Parameters
    ----------
    checkpoint
        For messages.
    name
        Name of the weight.
    mask
        Numbers 0 and 1.
    weight
        What it masks; None where there is no such thing.

    Raises
    ------
    CheckpointError
        If it fits no weight; and, when it is read, if it holds other numbers.
    """
    if weight is None:
        raise CheckpointError(f"{checkpoint.name}: has a mask for {name!r}, but no such weight")
    if mask.shape != weight.shape:
        raise CheckpointError(f"{checkpoint.name}: {name}: the mask has shape {mask.shape}, the weight {weight.shape}")

    def flags(piece: NDArray[np.generic]) -> NDArray[np.bool_]:
        ones: NDArray[np.bool_] = piece != 0
        if not np.array_equal(ones, piece):
            raise CheckpointError(f"{checkpoint.name}: the mask of {name} holds values other than 0 and 1")
        return ones

    return mask.mapped(flags, np.bool_)


def masked(array: StreamedArray, mask: StreamedArray) -> StreamedArray:
    """Return an array with 0 where its mask is 0, in pieces.

    Parameters
    ----------
    array, mask
        Of the same shape; the mask is boolean.
    """

    def pieces() -> Iterator[NDArray[np.generic]]:
        flags = Pieces(mask.pieces(), mask.dtype)
        for piece in array.pieces():
            yield np.where(flags.take(len(piece)), piece, np.zeros((), piece.dtype))

    return StreamedArray(array.shape, array.dtype, pieces)
