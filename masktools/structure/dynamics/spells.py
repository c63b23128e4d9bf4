"""Edge spells: how long a weight stays active once it is, from the numbers of spells by beginning and end."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.statistics.survival import SurvivalCurve, kaplan_meier

__all__ = ["Cohort", "ExpectedSpells", "SpellTable", "total_spells"]

Cohort: TypeAlias = Literal["initial", "later"]
"""Spells that began with the initialisation, or after it."""


@dataclasses.dataclass(frozen=True)
class ExpectedSpells:
    """How many spells of a cohort end by chance.

    Parameters
    ----------
    deaths, censored
        For each duration, the expected number that end after it, and that are still active at the end.
    """

    deaths: Mapping[int, float]
    censored: Mapping[int, float]


@dataclasses.dataclass(frozen=True, eq=False)
class SpellTable:
    """When the spells of a layer, or of all layers, began and ended.

    A spell is a maximal stretch of consecutive snapshots in which a weight is active; a weight that comes back has
    several. It lasts from the epoch of its first snapshot to that of the first snapshot without it.

    Parameters
    ----------
    epochs
        Epoch of each snapshot, ascending.
    cells
        Where there are spells: index of the first snapshot, index of the first one without them, and how many. The
        second index is ``len(epochs)`` for those that are still active at the end. Shape (cells, 3).
    expected
        The spells of either cohort under deaths at random: at each snapshot, and in each layer, as many active weights
        die as did, drawn uniformly whatever their age.
    """

    epochs: tuple[int, ...]
    cells: NDArray[np.int64]
    expected: Mapping[Cohort, ExpectedSpells]

    @property
    def counts(self) -> NDArray[np.int64]:
        """The cells as a table, shape (snapshots, snapshots + 1): a row a beginning, a column an end."""
        table = np.zeros((len(self.epochs), len(self.epochs) + 1), dtype=np.int64)
        table[self.cells[:, 0], self.cells[:, 1]] = self.cells[:, 2]
        return table

    @property
    def starts_at_birth(self) -> bool:
        """Whether the first snapshot is the initialisation (epoch 0), so that its spells begin there."""
        return self.epochs[0] == 0

    @property
    def left_truncated(self) -> int:
        """Number of spells whose age is unknown, because they were running in a first snapshot after epoch 0.

        They are left out of every survival curve.
        """
        return 0 if self.starts_at_birth else _number(self.cells[self.cells[:, 0] == 0])

    @property
    def spells(self) -> int:
        """Number of spells with a known beginning."""
        return _number(self._known)

    @property
    def ongoing(self) -> int:
        """Number of those that are still active at the last snapshot: right-censored."""
        return _number(self._known[self._known[:, 1] == len(self.epochs)])

    @property
    def _known(self) -> NDArray[np.int64]:
        return self.cells if self.starts_at_birth else self.cells[self.cells[:, 0] > 0]

    @functools.cached_property
    def survival(self) -> SurvivalCurve:
        """Kaplan-Meier estimate over all spells with a known beginning; durations in epochs."""
        return self._estimate(self._known)

    @functools.cached_property
    def expected_survival(self) -> SurvivalCurve:
        """The same under deaths at random; its standard errors and intervals have no meaning."""
        return _expected(self.expected.values())

    def cohort(self, cohort: Cohort) -> tuple[SurvivalCurve, SurvivalCurve]:
        """Return the survival of one cohort, and that under deaths at random.

        The initial cohort has no points where the first snapshot is not the initialisation.
        """
        initial = self._known[:, 0] == 0
        chosen = self._known[initial if cohort == "initial" else ~initial]
        return self._estimate(chosen), _expected([self.expected[cohort]])

    def _estimate(self, cells: NDArray[np.int64]) -> SurvivalCurve:
        deaths: Counter[int] = Counter()
        censored: Counter[int] = Counter()
        for birth, end, number in cells.tolist():
            ongoing = end == len(self.epochs)
            last = self.epochs[-1] if ongoing else self.epochs[end]
            (censored if ongoing else deaths)[last - self.epochs[birth]] += number
        return kaplan_meier(deaths, censored)

    def to_dict(self) -> dict[str, Any]:
        """Return numbers and curves; the cells are left out."""
        return {
            "spells": self.spells,
            "ended": self.spells - self.ongoing,
            "ongoing": self.ongoing,
            "left_truncated": self.left_truncated,
            **_described(self.survival, self.expected_survival),
        }

    def cohorts_to_dict(self) -> dict[str, Any]:
        """Return the curves of either cohort."""
        return {"initial": _described(*self.cohort("initial")), "later": _described(*self.cohort("later"))}

    def cells_to_list(self) -> list[list[int | None]]:
        """Return the cells as epochs: first epoch, first epoch without, number; None for still active at the end."""
        epochs: tuple[int | None, ...] = (*self.epochs, None)
        return [[epochs[birth], epochs[end], number] for birth, end, number in self.cells.tolist()]


def total_spells(tables: Iterable[SpellTable]) -> SpellTable:
    """Return the spells of all layers together, of tables over the same epochs."""
    tables = list(tables)
    epochs = tables[0].epochs
    cells = np.concatenate([table.cells for table in tables])
    keys, places = np.unique(cells[:, 0] * (len(epochs) + 1) + cells[:, 1], return_inverse=True)
    numbers = np.zeros(len(keys), dtype=np.int64)
    np.add.at(numbers, places, cells[:, 2])
    expected: dict[Cohort, ExpectedSpells] = {}
    cohorts: tuple[Cohort, ...] = ("initial", "later")
    for cohort in cohorts:
        parts = [table.expected[cohort] for table in tables]
        expected[cohort] = ExpectedSpells(_sum(p.deaths for p in parts), _sum(p.censored for p in parts))
    return SpellTable(epochs, np.stack([*np.divmod(keys, len(epochs) + 1), numbers], axis=1), expected)


def _number(cells: NDArray[np.int64]) -> int:
    return int(cells[:, 2].sum())


def _sum(parts: Iterable[Mapping[int, float]]) -> dict[int, float]:
    total: dict[int, float] = {}
    for part in parts:
        for duration, number in part.items():
            total[duration] = total.get(duration, 0.0) + number
    return total


def _expected(cohorts: Iterable[ExpectedSpells]) -> SurvivalCurve:
    cohorts = list(cohorts)
    return kaplan_meier(_sum(cohort.deaths for cohort in cohorts), _sum(cohort.censored for cohort in cohorts))


def _described(curve: SurvivalCurve, expected: SurvivalCurve) -> dict[str, Any]:
    told = curve.to_dict()
    points = [{**point, "expected_survival": expected.at(point["duration"])} for point in told.pop("curve")]
    return {**told, "expected_half_life": expected.median, "curve": points}
