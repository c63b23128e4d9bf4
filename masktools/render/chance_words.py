"""The rule by which an agreement is put into words: against chance, and as weights in common."""

from masktools.render.numbers import percent

__all__ = ["ALPHA", "agreement", "agreement_of_mean", "in_common", "is_within_chance"]

ALPHA = 0.05
"""P-value above which nothing is told apart from chance."""

_SURE = 1e-6
"""P-value below which an agreement may be called far above chance."""

_MUCH = 0.1
"""Kappa from which on agreement is more than a little."""

_FRACTIONS = (
    (0.1, "a tenth"),
    (0.2, "a fifth"),
    (0.25, "a quarter"),
    (1 / 3, "a third"),
    (0.4, "two fifths"),
    (0.5, "half"),
    (0.6, "three fifths"),
    (2 / 3, "two thirds"),
    (0.75, "three quarters"),
    (0.8, "four fifths"),
    (0.9, "nine tenths"),
)
_FEW, _MANY = 0.075, 0.95
"""Shares that no fraction is near enough to: only the per cent are said, or that it is nearly everything."""


def is_within_chance(p_value: float | None) -> bool:
    """Return whether a p-value tells nothing apart from chance; so does one that is not defined."""
    return p_value is None or p_value > ALPHA


def agreement(kappa: float, p_value: float | None) -> str:
    """Return in words how far the agreement of two masks is from chance.

    Parameters
    ----------
    kappa
        Agreement above chance.
    p_value
        Its two-sided p-value; None where there is none.

    Notes
    -----
    Above 0.05 the p-value is the verdict: not told apart from chance. Up to it, the size of kappa decides: below 0.1
    it is so by little; from there on it is above chance, and far above if the p-value is below 1e-6 too. A long
    mask makes the smallest agreement significant, so a p-value alone never says *far*.

    Examples
    --------
    >>> agreement(0.41, 1e-12), agreement(0.41, 0.01), agreement(0.41, 0.2)
    ('far above chance', 'above chance', 'not told apart from chance')
    """
    if is_within_chance(p_value):
        return "not told apart from chance"
    return _sized(kappa, sure=p_value is not None and p_value < _SURE)


def agreement_of_mean(mean: float, low: float, high: float) -> str:
    """Return the same for a mean over runs: what its interval leaves open is not told apart from chance.

    Parameters
    ----------
    mean, low, high
        Mean kappa with its interval. It is called far above chance if the whole interval is at least 0.1.

    Examples
    --------
    >>> agreement_of_mean(0.06, -0.32, 0.44), agreement_of_mean(0.41, 0.38, 0.44)
    ('not told apart from chance', 'far above chance')
    """
    if low <= 0 <= high:
        return "not told apart from chance"
    return _sized(mean, sure=low >= _MUCH)


def in_common(share: float | None, expected: float | None) -> str:
    """Return in words how many weights two masks have in common, beside chance.

    Parameters
    ----------
    share, expected
        Share of the active weights of the smaller mask that are active in the other one, too, and by chance.

    Examples
    --------
    >>> in_common(0.49, 0.02)
    'about half of the active weights in common (49 %, by chance 2 %)'
    >>> in_common(0.0398, 0.0322)
    '4 % of the active weights in common (by chance 3.2 %)'
    """
    if share is None:
        return "no active weights to have in common"
    chance = f"by chance {percent(expected)}"
    if share < _FEW:
        return f"{percent(share)} of the active weights in common ({chance})"
    if share == 1:
        words = "all"
    elif share >= _MANY:
        words = "nearly all"
    else:
        words = f"about {min(_FRACTIONS, key=lambda entry: abs(entry[0] - share))[1]} of the"
    return f"{words} active weights in common ({percent(share)}, {chance})"


def _sized(kappa: float, sure: bool) -> str:
    if kappa < 0:
        return "below chance, but by little" if kappa > -_MUCH else "below chance, the masks avoid each other"
    if kappa < _MUCH:
        return "above chance, but by little"
    return "far above chance" if sure else "above chance"
