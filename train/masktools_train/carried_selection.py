"""Exactly the k largest of scores that change little from one time to the next."""

import dataclasses
import math

import numpy as np
import torch
from torch import Tensor

from masktools_train.selection import top_k_mask

__all__ = ["Band", "carried_top_k_mask"]

_GOAL = 1 / 200
"""Share of the scores that a band should hold: few to sort out, many enough to find the next threshold among them."""

_FIRST_WIDTH = 0.02
"""Width of the first band, as a share of the threshold."""


@dataclasses.dataclass(frozen=True)
class Band:
    """Where the threshold is expected next time. Whatever it says, the selection is the same; only its time is not.

    Parameters
    ----------
    threshold
        The k-th largest score last time, or close to it.
    width
        How far from it the next one is looked for.
    """

    threshold: float
    width: float


def carried_top_k_mask(scores: Tensor, k: int, band: Band | None) -> tuple[Tensor, Band | None]:
    """Return what `top_k_mask` does, and what to give in as `band` for the next scores of the same kind.

    Scores above the band are selected without further ado, those below are not, and only the few within are put in
    order. If they turn out not to hold the k-th largest, all are. This is for CPUs: elsewhere the number of scores in a
    band would have to be waited for.

    Parameters
    ----------
    scores
        Finite values, any shape.
    k
        How many to select, ``0 <= k <= scores.numel()``.
    band
        What was returned last time; None at first.

    Returns
    -------
    tuple
        Boolean mask, shape of `scores`, with `k` true entries, and the band.
    """
    usable = scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64)
    if not usable or not 0 < k < scores.numel():
        return top_k_mask(scores, k), None
    values = scores.detach().reshape(-1).numpy()
    if band is not None:
        selected = values >= band.threshold + band.width
        reached = values >= band.threshold - band.width
        missing = k - int(np.count_nonzero(selected))
        if missing >= 0 and np.count_nonzero(reached) >= k:
            places = np.flatnonzero(selected ^ reached)
            threshold = _select_among(values[places], places, missing, selected, band)
            mask = torch.from_numpy(selected).view(scores.shape)
            return mask, _next_band(band, threshold, len(places) / len(values))
    mask = top_k_mask(scores, k)
    # Nothing is selected where training diverged and all is NaN.
    threshold = float(values[mask.view(-1).numpy()].min(initial=np.inf))
    if band is None or not math.isfinite(threshold - band.threshold):
        return mask, Band(threshold, _FIRST_WIDTH * abs(threshold))
    return mask, Band(threshold, 4 * abs(threshold - band.threshold))


def _select_among(values: np.ndarray, places: np.ndarray, count: int, selected: np.ndarray, band: Band) -> float:
    """Select `count` of the values in the band, equal ones by rising place; return the smallest of them."""
    if count == 0:
        return band.threshold + band.width
    position = len(values) - count
    threshold = np.partition(values, position)[position]
    chosen = values > threshold
    ties = np.flatnonzero(values == threshold)
    chosen[ties[: count - np.count_nonzero(chosen)]] = True
    selected[places[chosen]] = True
    return float(threshold)


def _next_band(band: Band, threshold: float, share: float) -> Band:
    """Return a band that would have held the goal, but is wide enough for a threshold that moves as it just did."""
    width = band.width * min(2.0, _GOAL / share if share else 2.0)
    return Band(threshold, max(width, 4 * abs(threshold - band.threshold)))
