"""Count edge spells while masks go by, without holding more than two of them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.masks import PackedMask
from masktools.structure.dynamics.spells import Cohort, ExpectedSpells, SpellTable

__all__ = ["SpellCounter"]

_BLOCK = 1 << 18
"""Changed bytes that are unpacked at a time: 2 million weights, so memory does not grow with a layer."""

_INDEX = np.int16
"""What the beginning of a spell is held as while there are few enough snapshots."""


class SpellCounter:
    """Counts spells while masks go by, one snapshot after the other.

    It holds the mask before and, for each weight, where its spell began: two bytes a weight. Only bytes of the
    packed masks in which something changed are looked into.

    Parameters
    ----------
    sizes
        Number of weights by layer name.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._layers = {name: _Layer(size) for name, size in sizes.items()}

    def add(self, masks: Mapping[str, PackedMask]) -> None:
        """Take the masks of the next snapshot."""
        for name, layer in self._layers.items():
            layer.add(masks[name])

    def tables(self, epochs: Sequence[int]) -> dict[str, SpellTable]:
        """Return the spells of each layer.

        Parameters
        ----------
        epochs
            Epoch of each snapshot that was added.
        """
        return {name: layer.table(tuple(epochs)) for name, layer in self._layers.items()}


class _Layer:
    """The spells of one layer."""

    def __init__(self, size: int) -> None:
        self._before = np.zeros((size + 7) // 8, dtype=np.uint8)
        self._began: NDArray[np.int16] | NDArray[np.int32] = np.zeros(size, dtype=_INDEX)
        self._births: list[int] = []
        self._deaths: list[int] = []
        self._active: list[int] = []
        self._cells: list[NDArray[np.int64]] = []

    def add(self, mask: PackedMask) -> None:
        now, before, index = mask.bits, self._before, len(self._births)
        if index > np.iinfo(self._began.dtype).max:
            self._began = self._began.astype(np.int32)
        # In the first snapshot every active weight begins: that is what the zeros already say.
        births = 0 if index else mask.active
        deaths = np.zeros(index + 1, dtype=np.int64)
        changed = np.flatnonzero(before != now) if index else np.zeros(0, dtype=np.intp)
        for start in range(0, len(changed), _BLOCK):
            places = changed[start : start + _BLOCK]
            here, there = before[places], now[places]
            deaths += np.bincount(self._began[_weights(places, here & ~there)], minlength=index + 1)
            born = _weights(places, there & ~here)
            self._began[born] = index
            births += len(born)
        ended = np.flatnonzero(deaths)
        self._cells.append(np.stack([ended, np.full(len(ended), index), deaths[ended]], axis=1))
        self._births.append(births)
        self._deaths.append(int(deaths.sum()))
        self._active.append(mask.active)
        self._before = now

    def table(self, epochs: tuple[int, ...]) -> SpellTable:
        births = np.array(self._births)
        cells = np.concatenate(self._cells)
        ongoing = births - np.bincount(cells[:, 0], cells[:, 2], minlength=len(epochs)).astype(np.int64)
        left = np.flatnonzero(ongoing)
        last = np.stack([left, np.full(len(left), len(epochs)), ongoing[left]], axis=1)
        began = np.flatnonzero(births)
        start = 0 if epochs[0] == 0 else 1
        expected: dict[Cohort, ExpectedSpells] = {
            "initial": self._expected(epochs, began[(began == 0) & (start == 0)]),
            "later": self._expected(epochs, began[began > 0]),
        }
        return SpellTable(epochs, np.concatenate([cells, last]), expected)

    def _expected(self, epochs: tuple[int, ...], began: NDArray[np.intp]) -> ExpectedSpells:
        """Return what becomes of the spells that began at some snapshots, were deaths uniform among active weights.

        Each cohort loses the share that the layer loses. The expectation is linear in what is alive, so this is
        exact, without draws.
        """
        times = np.array(epochs)
        alive = np.array(self._births, dtype=np.float64)[began]
        durations, losses = [], []
        for index, number in enumerate(self._deaths):
            if number:
                old = began < index
                lost = alive[old] * (number / self._active[index - 1])
                alive[old] -= lost
                durations.append(times[index] - times[began[old]])
                losses.append(lost)
        return ExpectedSpells(_gathered(durations, losses), _gathered([times[-1] - times[began]], [alive]))


def _gathered(keys: Sequence[NDArray[np.int64]], numbers: Sequence[NDArray[np.float64]]) -> dict[int, float]:
    """Add up numbers by key; a key without any is left out."""
    if not keys:
        return {}
    found, places = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.bincount(places, np.concatenate(numbers), minlength=len(found))
    return {key: total for key, total in zip(found.tolist(), sums.tolist(), strict=True) if total}


def _weights(places: NDArray[np.intp], bits: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the indices of the weights whose bit is set in the bytes at `places`."""
    found = np.flatnonzero(np.unpackbits(bits).view(np.bool_))
    indices: NDArray[np.intp] = places[found >> 3] * 8 + (found & 7)
    return indices
