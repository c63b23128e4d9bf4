"""P-values of many tests at once."""

from collections.abc import Sequence

__all__ = ["benjamini_hochberg", "holm"]


def benjamini_hochberg(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p-values adjusted so that calling those below q significant keeps the false discovery rate at q.

    Parameters
    ----------
    p_values
        One a test; None where there was no test, which then does not count as one.

    Returns
    -------
    tuple of (float or None)
        In the same order. The adjusted value of the i-th smallest of m is the least of ``m p / j`` over all ranks
        ``j >= i``, at most 1.

    Notes
    -----
    Benjamini and Hochberg (1995). It holds for tests that are independent or positively dependent.

    Examples
    --------
    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    (0.03, None, 0.04, 0.04)
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 1.0
    for rank, (p, place) in reversed(list(enumerate(ranked, start=1))):
        least = min(least, p * len(ranked) / rank)
        adjusted[place] = least
    return tuple(adjusted)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p-values adjusted so that calling those below q significant errs once or more with probability q at most.

    Parameters
    ----------
    p_values
        One a test; None where there was no test, which then does not count as one.

    Returns
    -------
    tuple of (float or None)
        In the same order. The adjusted value of the i-th smallest of m is the largest of ``(m - j + 1) p`` over all
        ranks ``j <= i``, at most 1.

    Notes
    -----
    Holm (1979), A simple sequentially rejective multiple test procedure. It holds the family-wise error rate, however
    the tests depend on each other, and is never weaker than Bonferroni's correction. For a few comparisons of which
    each is to stand by itself; for very many use `benjamini_hochberg`.

    Examples
    --------
    >>> holm([0.01, None, 0.04, 0.03])
    (0.03, None, 0.06, 0.06)
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, p * (len(ranked) - rank)))
        adjusted[place] = largest
    return tuple(adjusted)
