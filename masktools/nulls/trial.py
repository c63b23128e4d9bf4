"""The one mechanism behind every null level: draw masks, measure each, and place the observed number among them."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.nulls.carry import carried
from masktools.nulls.ladder import Drawn, find_null
from masktools.nulls.plan import DrawPlan
from masktools.nulls.shuffles import Masks
from masktools.statistics.corrections import benjamini_hochberg
from masktools.statistics.monte_carlo import NullLevel, Tail, null_level

__all__ = ["TOTAL", "DrawPlan", "Measure", "Numbers", "Trial", "Weights", "drawn_numbers", "run_trial", "trial_of"]

Weights: TypeAlias = Mapping[str, NDArray[Any]]
"""Values by layer name."""

Numbers: TypeAlias = Mapping[tuple[str, str], float | None]
"""Numbers by metric and layer; all layers together are the layer `TOTAL`. None is not defined."""

Measure: TypeAlias = Callable[[Masks, Weights | None], Numbers]
"""What is measured on masks and, where they have any, on their weights."""

TOTAL = "total"


@dataclasses.dataclass(frozen=True)
class Trial(ToFrame):
    """Numbers beside what they are under a null.

    Parameters
    ----------
    plan
        Which masks were drawn.
    levels
        By metric and layer; what is not defined is left out.
    """

    plan: DrawPlan
    levels: Mapping[tuple[str, str], NullLevel]

    def level(self, metric: str, layer: str = TOTAL) -> NullLevel | None:
        """Return the level of a metric in a layer, None where it is not defined."""
        return self.levels.get((metric, layer))

    def to_dict(self, layer: str = TOTAL) -> dict[str, Any]:
        """Return the levels of one layer by metric."""
        return {metric: level.to_dict() for (metric, name), level in self.levels.items() if name == layer}


def run_trial(
    measure: Measure,
    masks: Masks,
    plan: DrawPlan,
    *,
    weights: Weights | None = None,
    groups: Mapping[str, int] | None = None,
    fixed: Iterable[str] = (),
    tails: Mapping[str, Tail] | None = None,
    wide: Collection[str] = (),
) -> Trial:
    """Measure masks, and random masks like them.

    Parameters
    ----------
    measure
        What to measure. With several processes it must be a function of a module, or a `functools.partial` of one.
    masks
        The observed masks, axes (out, in, kernel ...).
    plan
        Which random masks to draw.
    weights
        Values of the observed masks; drawn masks then carry them.
    groups
        Number of groups of grouped convolutions by layer, 1 where nothing is said.
    fixed
        Layers that were kept dense by choice: they stay as they are.
    tails
        What counts as extreme, by metric; ``greater`` where nothing is said.
    wide
        Metrics whose number for a layer depends on the masks of other layers too.

    Returns
    -------
    Trial
        P-values of a metric are corrected over its layers (Benjamini-Hochberg); that of the total stands by itself.
        A layer that the null cannot change is no test and does not count.

    Raises
    ------
    StructureError
        If a layer is called `TOTAL`.
    """
    fixed = frozenset(fixed)
    drawn = drawn_numbers(measure, masks, plan, weights=weights, groups=groups, fixed=fixed)
    free = plan.free(masks, groups, fixed)
    return trial_of(measure(masks, weights), drawn, plan, tails, free=free, wide=wide)


def drawn_numbers(
    measure: Measure,
    masks: Masks,
    plan: DrawPlan,
    *,
    weights: Weights | None = None,
    groups: Mapping[str, int] | None = None,
    fixed: Iterable[str] = (),
) -> list[Numbers]:
    """Return what is measured on each of the random masks.

    Parameters
    ----------
    measure, masks, plan, weights, groups, fixed
        As for `run_trial`.

    Raises
    ------
    StructureError
        If a layer is called `TOTAL`.
    """
    if TOTAL in masks:
        raise StructureError(f"a layer is called {TOTAL!r}, which stands for all layers together")
    return list(_measured(measure, _Start.of(masks, weights, plan, groups or {}, frozenset(fixed))))


def trial_of(
    observed: Numbers,
    drawn: Sequence[Numbers],
    plan: DrawPlan,
    tails: Mapping[str, Tail] | None = None,
    *,
    free: Collection[str] | None = None,
    wide: Collection[str] = (),
) -> Trial:
    """Place observed numbers among drawn ones.

    Parameters
    ----------
    observed
        The numbers.
    drawn
        The same of each random mask.
    plan, tails
        As for `run_trial`.
    free
        Names of the layers that the null can change, as `DrawPlan.free` gives them; the total is free if any is. None
        takes every layer for one that it can change.
    wide
        Metrics whose number for a layer depends on other layers too: it is free if any layer is.
    """
    tails = tails or {}
    levels = {}
    for key, value in observed.items():
        metric, layer = key
        moves = free is None or layer in free or (bool(free) and (layer == TOTAL or metric in wide))
        level = null_level(value, [numbers.get(key) for numbers in drawn], tails.get(metric, "greater"), free=moves)
        if level is not None:
            levels[key] = level
    for metric in dict.fromkeys(metric for metric, _ in levels):
        keys = [key for key in levels if key[0] == metric and key[1] != TOTAL]
        # Which layers count is settled before anything is drawn: leaving out those whose draws all fell on the
        # observed number would leave out p-values of 1, and make the others too small.
        adjusted = benjamini_hochberg([levels[key].p_value if levels[key].free else None for key in keys])
        for key, p_value in zip(keys, adjusted, strict=True):
            levels[key] = dataclasses.replace(levels[key], adjusted_p_value=p_value)
    return Trial(plan, levels)


@dataclasses.dataclass(frozen=True)
class _Start:
    """Everything that a draw starts from, the same for all draws; it travels to other processes once."""

    masks: Masks
    weights: Weights | None
    free: Drawn
    plan: DrawPlan
    groups: Mapping[str, int]

    @classmethod
    def of(
        cls, masks: Masks, weights: Weights | None, plan: DrawPlan, groups: Mapping[str, int], fixed: frozenset[str]
    ) -> "_Start":
        null = find_null(plan.null)
        free = {name: mask for name, mask in masks.items() if name not in fixed}
        if null.walk:
            # Besag and Clifford (1989): from a point that is a walk away from the observed masks, all draws walk as
            # far again. Observed and drawn masks are then exchangeable, and the p-value holds however slowly
            # a walk forgets where it began.
            free = null.draw(free, plan.rng(-1), groups)
        return cls(masks, weights, free, plan, groups)

    def draw(self, place: int) -> tuple[Drawn, Weights | None]:
        null, rng = find_null(self.plan.null), self.plan.rng(place)
        drawn = {**self.masks, **null.draw(self.free, rng, self.groups)}
        if self.weights is None:
            return drawn, None
        free = {name: self.masks[name] for name in self.free}
        moved = carried(self.weights, free, {name: drawn[name] for name in free}, null, rng)
        return drawn, {**self.weights, **moved}


def _measured(measure: Measure, start: _Start) -> Iterator[Numbers]:
    places = range(start.plan.draws)
    jobs = min(start.plan.jobs, len(places))
    if jobs == 1:
        yield from (measure(*start.draw(place)) for place in places)
        return
    import concurrent.futures  # only needed here, and it takes as long to load as numpy.random
    import multiprocessing

    # A fresh interpreter for each process: a fork would copy the locks of threads that it does not copy.
    with concurrent.futures.ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(measure, start)
    ) as pool:
        yield from pool.map(_at, places, chunksize=max(1, len(places) // (8 * jobs)))


_shared: dict[str, Callable[[int], Numbers]] = {}
"""What a worker process was given when it started."""


def _prepare(measure: Measure, start: _Start) -> None:
    _shared["draw"] = functools.partial(_draw, measure, start)


def _draw(measure: Measure, start: _Start, place: int) -> Numbers:
    return measure(*start.draw(place))


def _at(place: int) -> Numbers:
    return _shared["draw"](place)
