"""How numbers beside their null are put into words."""

from masktools.render.chance_words import ALPHA
from masktools.render.numbers import interval_texts, rate
from masktools.statistics.monte_carlo import NullLevel

__all__ = ["ENOUGH_DRAWS", "shown_p", "span", "verdict_of"]

ENOUGH_DRAWS = 199
"""Random masks from which on p-values are shown and a verdict is given."""


def span(level: NullLevel) -> str:
    """Return where random masks lie."""
    mean, low, high = interval_texts(level.mean, level.low, level.high)
    return f"{mean} on average ({low} to {high} in 95 % of {level.draws} draws)"


def verdict_of(level: NullLevel) -> str:
    """Return whether a number is above or below its null, by the two-sided p-value; no verdict with too few draws."""
    if not level.free:
        return "the null leaves no freedom here"
    if level.draws < ENOUGH_DRAWS:
        return f"no verdict with fewer than {ENOUGH_DRAWS} draws"
    p = f"two-sided p = {rate(level.p_two_sided)}"
    if level.p_two_sided > ALPHA:
        return f"not told apart from the null, {p}"
    return f"{'above' if level.p_greater < level.p_less else 'below'} the null, {p}"


def shown_p(level: NullLevel | None) -> float | None:
    """Return the p-value of a level if there are enough draws for one."""
    return level.p_value if level is not None and level.draws >= ENOUGH_DRAWS else None
