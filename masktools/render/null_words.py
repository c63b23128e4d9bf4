"""How numbers beside their null are put into words."""

from collections.abc import Iterable

from masktools.render.chance_words import ALPHA
from masktools.render.digits import common_decimals
from masktools.render.numbers import p_words, rate
from masktools.statistics.monte_carlo import NullLevel

__all__ = [
    "ENOUGH_DRAWS",
    "NO_VERDICT",
    "ends",
    "ends_title",
    "level_texts",
    "shown_p",
    "span",
    "spanned",
    "verdict_of",
]

ENOUGH_DRAWS = 199
"""Random masks from which on p-values are shown and a verdict is given."""

NO_VERDICT = f"no verdict with fewer than {ENOUGH_DRAWS} draws (--draws {ENOUGH_DRAWS})"

CENTRAL_DRAWS = 20
"""Random masks from which on some are outside the central 95 %: of fewer the smallest and the largest are told."""


def ends(level: NullLevel) -> tuple[float, float]:
    """Return where the draws lie: the central 95 % of them, or from the smallest to the largest if they are few."""
    if level.draws < CENTRAL_DRAWS and level.least is not None and level.most is not None:
        return level.least, level.most
    return level.low, level.high


def ends_title(draws: int) -> str:
    """Return the header of a column with what `ends` returns."""
    return "95 % of nulls" if draws >= CENTRAL_DRAWS else "range of nulls"


def level_texts(
    level: NullLevel, column: Iterable[float | None] = (), nulls: Iterable[float | None] = ()
) -> tuple[str, str, str, str]:
    """Return a number, the mean of its null and the ends of that, with the decimals that a table of them has.

    Parameters
    ----------
    level
        The number beside its null.
    column, nulls
        What is shown in the table, where there is one: the numbers of the column, and those that are like it.
    """
    numbers = (level.observed, level.mean, *ends(level))
    own, others = ([number for number in shown if number is not None] for shown in (column, nulls))
    if not own and not others:
        own, others = [level.observed], [number for number in numbers[1:] if number is not None]
    decimals = common_decimals(own, others)
    observed, mean, low, high = (_written(number, decimals) for number in numbers)
    return observed, mean, low, high


def span(level: NullLevel, column: Iterable[float | None] = (), nulls: Iterable[float | None] = ()) -> str:
    """Return where random masks lie; parameters as of `level_texts`."""
    _, mean, low, high = level_texts(level, column, nulls)
    return spanned(mean, low, high, level.draws)


def spanned(mean: str, low: str, high: str, draws: int) -> str:
    """Return the same of numbers that are written already."""
    if draws < CENTRAL_DRAWS:
        return f"{mean} on average (from {low} to {high} in {draws} draws)"
    return f"{mean} on average ({low} to {high} in 95 % of {draws} draws)"


def verdict_of(level: NullLevel) -> str:
    """Return whether a number is above or below its null, by the two-sided p-value; no verdict with too few draws."""
    if not level.free:
        return "the null leaves no freedom here"
    if level.draws < ENOUGH_DRAWS:
        return NO_VERDICT
    p = f"two-sided {p_words(level.p_two_sided)}"
    if level.p_two_sided > ALPHA:
        return f"not told apart from the null, {p}"
    return f"{'above' if level.p_greater < level.p_less else 'below'} the null, {p}"


def shown_p(level: NullLevel | None) -> float | None:
    """Return the p-value of a level if there are enough draws for one."""
    return level.p_value if level is not None and level.draws >= ENOUGH_DRAWS else None


def _written(number: float | None, decimals: int | None) -> str:
    if number is None or decimals is None or not number:
        return rate(number)
    text = f"{number:z,.{decimals}f}"
    return text if float(text.replace(",", "")) else rate(number)
