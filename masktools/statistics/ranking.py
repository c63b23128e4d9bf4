"""How well a score orders members above the rest: the area under the ROC curve, with its chance level and interval."""

import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError

__all__ = ["Ranking", "midranks", "rank_scores", "stratified_ranking"]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How the scores of two groups, members and others, lie to each other.

    Parameters
    ----------
    members, others
        Number of scores of either group.
    pairs
        Number of pairs of a member and another that are compared; over several layers only pairs within a layer.
    above, equal
        Pairs in which the member scores higher, or the same.
    null_variance
        Variance of ``above + equal / 2`` where membership is drawn at random, ties as they are.
    variance
        DeLong's estimate of the variance of `auc`; None where a group has a single score.
    """

    members: int
    others: int
    pairs: int
    above: int
    equal: int
    null_variance: float
    variance: float | None

    @property
    def auc(self) -> float | None:
        """P(member > other) + P(equal) / 2: 1/2 by chance. None without pairs."""
        return (2 * self.above + self.equal) / (2 * self.pairs) if self.pairs else None

    @property
    def standard_error(self) -> float | None:
        """Standard deviation of `auc` where membership is drawn at random; None where all scores are equal."""
        return math.sqrt(self.null_variance) / self.pairs if self.null_variance > 0 else None

    @property
    def z(self) -> float | None:
        """`auc` above 1/2 in standard errors under chance; None where all scores are equal."""
        if self.null_variance <= 0:
            return None
        return (2 * self.above + self.equal - self.pairs) / (2 * math.sqrt(self.null_variance))

    @property
    def separates(self) -> bool:
        """Whether no member scores below another, and less than a thousandth of the pairs are equal."""
        return self.pairs > 0 and self.above + self.equal == self.pairs and 1000 * self.equal < self.pairs

    def interval(self, confidence: float = 0.95) -> tuple[float | None, float | None]:
        """Return the ends of a confidence interval for `auc`.

        Parameters
        ----------
        confidence
            Between 0 and 1, both excluded.

        Returns
        -------
        tuple of float or None
            None, None where the estimated variance is unknown or 0: with a single score in a group, where
            the groups are entirely apart, or where all scores are equal.

        Raises
        ------
        StructureError
            If the confidence lies outside (0, 1).

        Notes
        -----
        The interval is symmetric on the logit scale, so it stays within 0 and 1 and covers better near the ends
        than AUC ± 1.96 standard errors. It takes scores for independent.
        """
        if not 0 < confidence < 1:
            raise StructureError(f"confidence must lie between 0 and 1, got {confidence}")
        auc = self.auc
        if auc is None or not 0 < auc < 1 or not self.variance:
            return None, None
        centre = math.log(auc / (1 - auc))
        half = statistics.NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(self.variance) / (auc * (1 - auc))
        low, high = ((1 + math.tanh((centre + shift) / 2)) / 2 for shift in (-half, half))
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Return the AUC with its 95 % interval and its place in the null distribution."""
        low, high = self.interval()
        return {"auc": self.auc, "low": low, "high": high, "z": self.z, "standard_error": self.standard_error}


def rank_scores(members: NDArray[Any], others: NDArray[Any]) -> Ranking:
    """Compare the scores of members with those of all others.

    Parameters
    ----------
    members, others
        Real numbers of any shape, none of them NaN.

    Raises
    ------
    StructureError
        If a score is NaN.

    Notes
    -----
    ``above + equal / 2`` is the statistic U of Mann and Whitney (1947); pairs that tie count one half, as midranks
    make them. Its variance under chance is m n ((N³ - N) - T) / (12 N (N - 1)), T the sum of t³ - t over groups of t
    equal scores among all N = m + n (Lehmann, *Nonparametrics*, 1975). The variance of the AUC itself is that of
    DeLong, DeLong and Clarke-Pearson (1988), from the share of the other group that each score lies above. Sorting
    makes it O(N log N), as in Sun and Xu (2014).

    Examples
    --------
    >>> import numpy as np
    >>> rank_scores(np.array([3.0, 1.0]), np.array([1.0, 0.0])).auc
    0.875
    """
    high, low = np.sort(members, axis=None), np.sort(others, axis=None)
    if any(scores.size and np.isnan(scores[-1]) for scores in (high, low)):
        raise StructureError("a score that is not a number has no rank")
    m, n = high.size, low.size
    if not m or not n:
        return Ranking(m, n, 0, 0, 0, 0.0, None)
    below, upto = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    above, total = int(below.sum(dtype=np.int64)), int(upto.sum(dtype=np.int64))
    count = m + n
    ties = _ties(high, low, upto - below)
    null = m * n * (count**3 - count - ties) / (12 * count * (count - 1))
    variance = None
    if m > 1 and n > 1:
        # Placements: the number of others below each member, and of members below each other; ties count one half.
        placed = (below + upto) / 2
        reached = np.cumsum(np.bincount(upto, minlength=n + 1) + np.bincount(below, minlength=n + 1))[:n] / 2
        variance = float(placed.var(ddof=1)) / n**2 / m + float(reached.var(ddof=1)) / m**2 / n
    return Ranking(m, n, m * n, above, total - above, null, variance)


def stratified_ranking(layers: Iterable[Ranking]) -> Ranking:
    """Return one ranking over several layers: pairs within layers add up, pairs across layers are not made.

    Scores of different layers are on different scales, and layers differ in density: with pairs across layers the AUC
    would mostly say which layers are dense.

    Parameters
    ----------
    layers
        One ranking a layer; those without pairs add nothing.

    Notes
    -----
    The AUC is the mean of the layers' AUCs weighted by their pairs, its variance the sum of theirs by the squared
    weights. A layer with a single member, or a single other, has no estimate of its own: there 1/4, which no
    variance of a share exceeds, is put in its place.
    """
    parts = [layer for layer in layers if layer.pairs]
    pairs = sum(layer.pairs for layer in parts)
    variances = [0.25 if layer.variance is None else layer.variance for layer in parts]
    return Ranking(
        sum(layer.members for layer in parts),
        sum(layer.others for layer in parts),
        pairs,
        sum(layer.above for layer in parts),
        sum(layer.equal for layer in parts),
        math.fsum(layer.null_variance for layer in parts),
        math.fsum((layer.pairs / pairs) ** 2 * v for layer, v in zip(parts, variances, strict=True)) if parts else None,
    )


def midranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rank of each value, the smallest 1; equal values share the mean of their ranks.

    Parameters
    ----------
    values
        Real numbers, one-dimensional.

    Examples
    --------
    >>> import numpy as np
    >>> midranks(np.array([2.0, 7.0, 2.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    order = np.argsort(values)
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if values.size else order
    sizes = np.diff(starts, append=values.size)
    ranks = np.empty(values.size)
    ranks[order] = np.repeat(starts + (sizes + 1) / 2, sizes)
    return ranks


def _ties(high: NDArray[Any], low: NDArray[Any], matched: NDArray[np.intp]) -> int:
    """Return the sum of t³ - t over groups of equal scores; `matched` is the number of equal `low` of each `high`."""
    starts, sizes = _groups(high)
    shared = matched[starts]
    return _cubes(_groups(low)[1]) + _cubes(sizes + shared) - _cubes(shared)


def _groups(ordered: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each group of equal values starts, and its size."""
    starts = np.concatenate(([0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1))
    return starts, np.diff(starts, append=ordered.size)


def _cubes(sizes: NDArray[np.intp]) -> int:
    """Return the sum of t³ - t as an exact integer: it exceeds 64 bits in layers of some million weights."""
    values, counts = np.unique(sizes[sizes > 1], return_counts=True)
    return sum(c * (t**3 - t) for t, c in zip(values.tolist(), counts.tolist(), strict=True))
