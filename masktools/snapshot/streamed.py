"""What one snapshot holds where that is larger than memory: arrays in pieces, layers one at a time."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError
from masktools.masks import PackedMask
from masktools.snapshot.content import check_layer, check_moment, check_name, check_tensor, known_axes
from masktools.topology.graph import Topology

__all__ = ["PIECE", "Pieces", "StreamedArray", "StreamedContent", "StreamedLayer"]

PIECE = 2**16
"""Elements that a piece has by custom: larger ones take more memory and, beyond the cache, more time."""


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedArray:
    """An array that is never whole in memory.

    Parameters
    ----------
    shape
        Its shape.
    dtype
        Its element type, of every piece.
    pieces
        Called anew for every pass: yields one-dimensional arrays that follow each other in C order and together hold
        all elements.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pieces: Callable[[], Iterator[NDArray[Any]]]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def read(self) -> NDArray[Any]:
        """Return the whole array, for those that are small."""
        return np.concatenate([np.empty(0, self.dtype), *self.pieces()]).reshape(self.shape)

    def mapped(self, change: Callable[[NDArray[Any]], NDArray[Any]], dtype: Any = None) -> "StreamedArray":
        """Return the array with a function applied to each piece, which keeps its length.

        Parameters
        ----------
        change
            The function.
        dtype
            Element type of what it returns; None where that stays.
        """
        return StreamedArray(
            self.shape, self.dtype if dtype is None else np.dtype(dtype), lambda: map(change, self.pieces())
        )

    @classmethod
    def of(cls, array: NDArray[Any]) -> "StreamedArray":
        """Return an array in memory as one that comes in pieces."""
        flat = array.reshape(-1)
        return cls(
            tuple(array.shape), array.dtype, lambda: (flat[at : at + PIECE] for at in range(0, flat.size, PIECE))
        )


class Pieces:
    """Hands out the elements of pieces in portions of any size.

    Parameters
    ----------
    pieces
        One-dimensional arrays.
    dtype
        Their element type.
    """

    def __init__(self, pieces: Iterator[NDArray[Any]], dtype: np.dtype[Any]) -> None:
        self._pieces = pieces
        self._rest = np.empty(0, dtype)

    def take(self, count: int) -> NDArray[Any]:
        """Return the next `count` elements.

        Raises
        ------
        ValueError
            If there are not so many.
        """
        parts = [self._rest[:count]]
        self._rest = self._rest[count:]
        missing = count - len(parts[0])
        while missing:
            piece = next(self._pieces, None)
            if piece is None:
                raise ValueError(f"an array ends {missing} elements too early")
            parts.append(piece[:missing])
            self._rest = piece[missing:]
            missing -= len(parts[-1])
        filled = [part for part in parts if len(part)]
        return filled[0] if len(filled) == 1 else np.concatenate(parts)


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedLayer:
    """Mask and weights of one layer, as `masktools.snapshot.content.LayerContent`, the values in pieces.

    Parameters
    ----------
    name, mask, kind, axes, prunable
        As there; the mask is packed, an eighth of a byte a weight.
    values
        Active weights in C order (shape ``(active,)``), all weights (shape of the mask), or None.

    Raises
    ------
    SnapshotError
        If the values do not fit the mask, or a text cannot be stored.
    """

    name: str
    mask: PackedMask
    values: StreamedArray | None
    kind: str = "active"
    axes: str = ""
    prunable: bool = True

    def __post_init__(self) -> None:
        if not self.axes:
            object.__setattr__(self, "axes", known_axes(len(self.mask.shape)))
        check_layer(self.name, self.mask, self.values, self.kind, self.axes)


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedContent:
    """Everything that one snapshot file records, as `masktools.snapshot.content.SnapshotContent`, one layer at a time.

    Parameters
    ----------
    epoch, step, config, topology, extra
        As there.
    layers
        In network order; each is written before the next is asked for, and not kept.
    tensors
        Every other parameter and buffer, by name.

    Raises
    ------
    SnapshotError
        If a number, name or tensor does not fit the format. What is wrong with a layer is said when it is written.
    """

    epoch: int
    step: int
    layers: Iterable[StreamedLayer]
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, StreamedArray] = dataclasses.field(default_factory=dict)
    topology: Topology | None = None
    extra: Mapping[str, int | float | str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("epoch", "step"):
            object.__setattr__(self, key, check_moment(key, getattr(self, key)))
        for name, tensor in self.tensors.items():
            check_name(name)
            check_tensor(name, tensor.dtype)

    def distinct_layers(self) -> Iterator[StreamedLayer]:
        """Yield the layers, each under a name that can be stored and that nothing else has.

        Raises
        ------
        SnapshotError
            If one cannot.
        """
        names = set(self.tensors)
        for layer in self.layers:
            check_name(layer.name)
            if layer.name in names:
                raise SnapshotError(f"two parameters have the same name: {layer.name}")
            names.add(layer.name)
            yield layer
