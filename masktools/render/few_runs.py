"""What has to be said of intervals over few repetitions, once for a whole document."""

from collections.abc import Iterable
from typing import Protocol

__all__ = ["few_runs_notes"]

ENOUGH_RUNS = 5
"""Repetitions from which on an interval is more than a rough guide."""


class _Told(Protocol):
    """A mean with an interval, and the number of repetitions that it is over."""

    @property
    def low(self) -> float | None: ...

    @property
    def high(self) -> float | None: ...

    @property
    def n(self) -> int: ...


def few_runs_notes(
    intervals: Iterable[_Told | None], shares: Iterable[_Told | None] = (), what: str = "runs"
) -> tuple[str, ...]:
    """Return a note if an interval comes from few repetitions, or leaves what its mean can be; none otherwise.

    Parameters
    ----------
    intervals
        Intervals of numbers of any sort.
    shares
        Those of numbers between 0 and 1, such as accuracies.
    what
        What the repetitions are.

    Examples
    --------
    >>> from masktools import mean_interval
    >>> few_runs_notes([], [mean_interval([0.9, 1.0])])[0].partition(":")[0]
    'intervals here are over as few as 2 runs, which makes them a rough guide'
    """
    within = [told for told in shares if told is not None]
    numbers = [told.n for told in (*intervals, *within) if told is not None and told.low is not None]
    least = min(numbers, default=ENOUGH_RUNS)
    beyond = any(
        told.low is not None and told.high is not None and not 0 <= told.low <= told.high <= 1 for told in within
    )
    few = f"intervals here are over as few as {least} {what}, which makes them a rough guide"
    bounds = "Student t knows no bounds, so that an interval may reach beyond what the number itself can be"
    if least < ENOUGH_RUNS:
        return (f"{few}: values that happen to be equal give one without width, which is no certainty; {bounds}.",)
    return (f"{bounds}.",) if beyond else ()
