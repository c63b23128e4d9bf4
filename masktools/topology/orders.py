"""Orders of units: which sets of them lie along which axes, and which must be permuted alike."""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from masktools.errors import StructureError

__all__ = ["Axis", "Orders", "Part", "Run", "starts"]

Axis: TypeAlias = tuple[str, int]
"""Name of a parameter, and one of its axes."""

Run: TypeAlias = tuple[tuple[int, int], ...]
"""What lies along an axis: sets of units one after the other, each with the extent that it takes."""


class Part(NamedTuple):
    """A part of an axis along which the units of one set lie: `start` indices before it, `after` behind it."""

    axis: Axis
    block: int
    start: int
    after: int


class Orders:
    """Sets of units, joined where they must be permuted alike.

    A set is all that there is to know about an order: the number of its units, and whether it is free. Whatever the
    extent of an axis that it orders, a unit owns an equal block of neighbours there. Where two sets meet along one
    axis, the blocks that move are the least common multiples of both blocks: units of the greatest common divisor of
    both numbers.
    """

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._units: list[int] = []
        self._fixed: list[bool] = []
        self._axes: dict[Axis, Run] = {}
        self._made: list[int] = []

    def new(self, units: int, *, fixed: bool = False) -> Run:
        """Return a set of units that nothing is known about."""
        self._parent.append(len(self._parent))
        self._units.append(units)
        self._fixed.append(fixed)
        return ((len(self._parent) - 1, units),)

    def made(self, layer: str, units: int) -> Run:
        """Return the outputs of a layer."""
        run = self.new(units)
        self._made.append(run[0][0])
        self.at((layer, 0), run, layer)
        return run

    def root(self, order: int) -> int:
        """Return the number that stands for all sets that are joined."""
        while self._parent[order] != order:
            self._parent[order] = self._parent[self._parent[order]]
            order = self._parent[order]
        return order

    def join(self, *runs: Run) -> Run:
        """Give the same order to what lies along several axes of one extent."""
        for other in runs[1:]:
            if [extent for _, extent in other] == [extent for _, extent in runs[0]]:
                for (one, _), (two, _) in zip(runs[0], other, strict=True):
                    self._unite(one, two)
            else:
                # Sets that overlap otherwise than whole: units could move only within the overlaps.
                self.fix(runs[0], other)
        return runs[0]

    def _unite(self, one: int, two: int) -> None:
        first, *others = sorted({self.root(one), self.root(two)})
        for other in others:
            self._parent[other] = first
            self._units[first] = math.gcd(self._units[first], self._units[other])
            self._fixed[first] |= self._fixed[other]

    def limit(self, order: int, units: int) -> None:
        """Let no parts of any of so many blocks move apart."""
        self._unite(order, self.new(units)[0][0])

    def fix(self, *runs: Run) -> None:
        """Let no unit of these sets move."""
        for order, _ in (piece for run in runs for piece in run):
            self._fixed[self.root(order)] = True

    def at(self, axis: Axis, run: Run, place: str) -> None:
        """Note what lies along an axis of a parameter; a second use of the parameter joins both orders."""
        known = self._axes.setdefault(axis, run)
        before, now = _extent(known), _extent(run)
        if before != now:
            raise StructureError(f"{place} is used for {before} units and for {now}")
        self.join(known, run)

    def free(self) -> dict[int, int]:
        """Return the number of units of each set that may be permuted: constants alone are no units."""
        roots = sorted({self.root(order) for order in range(len(self._parent))})
        made = {self.root(order) for order in self._made}
        return {root: self._units[root] for root in roots if root in made and not self._fixed[root]}

    def parts(self, root: int, axes: list[Axis]) -> Iterator[Part]:
        """Find which parts of the axes a set orders."""
        for axis in axes:
            run = self._axes.get(axis, ())
            for (order, extent), start in zip(run, starts(run), strict=False):
                if self.root(order) == root:
                    yield Part(axis, extent // self._units[root], start, _extent(run) - start - extent)


def starts(run: Run) -> Iterator[int]:
    """Return where each set begins, and where the last one ends."""
    return itertools.accumulate((extent for _, extent in run), initial=0)


def _extent(run: Run) -> int:
    return sum(extent for _, extent in run)
