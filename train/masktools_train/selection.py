"""Exactly the k largest, on any device and without waiting for it."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["top_k_mask"]

_LARGE, _SAMPLE = 1 << 14, 1 << 12
"""From how many scores on a sample narrows the search down, and how many it has."""


def top_k_mask(scores: Tensor, k: int) -> Tensor:
    """Return a boolean mask of exactly the `k` largest scores; equal scores go to the lower flat index.

    A comparison with a sorted threshold would select more than `k` where scores tie (many weights are
    exactly 0). All counting stays on the device.

    Parameters
    ----------
    scores
        Finite values, any shape.
    k
        How many to select, ``0 <= k <= scores.numel()``.

    Returns
    -------
    Tensor
        Boolean, shape of `scores`, with `k` true entries.
    """
    size = scores.numel()
    if not 0 <= k <= size:
        raise ValueError(f"cannot select {k} of {size}")
    if k == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    if k == size:
        return torch.ones_like(scores, dtype=torch.bool)
    flat = scores.detach().reshape(-1)
    threshold = _kth_largest(flat, k)
    if flat.device.type == "cpu":
        # Asking costs nothing here, and scores rarely tie. NumPy counts ten times faster than torch.
        selected = flat >= threshold
        if np.count_nonzero(selected.numpy()) == k:
            return selected.view(scores.shape)
    above = flat > threshold
    ties = flat == threshold
    missing = k - above.sum()
    return (above | (ties & (ties.cumsum(0) <= missing))).view(scores.shape)


def _kth_largest(flat: Tensor, k: int) -> Tensor:
    """Return the k-th largest value as a tensor of one element on the same device."""
    if flat.device.type == "cpu" and flat.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(_kth_largest_here(flat.numpy(), k))
    with _any_of_equal_scores():
        return torch.kthvalue(flat, flat.numel() - k + 1).values


@contextlib.contextmanager
def _any_of_equal_scores() -> Iterator[None]:
    """Let a GPU find any one of equal scores where deterministic algorithms are asked for: the value is the same."""
    wanted, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(wanted, warn_only=warns)


def _kth_largest_here(values: NDArray[Any], k: int) -> NDArray[Any]:
    """Return the k-th largest value as an array of one element.

    NumPy's vectorised quickselect is two to nine times faster than torch's on a CPU, but twenty times slower than
    itself where one value makes up most of the array, as the score of all that cannot be selected does. Hence only what
    lies between two values of a sample is partitioned, if the k-th largest proves to be there.
    """
    size = len(values)
    if size >= _LARGE:
        # A stride that shares no factor with the width of a layer, so that the sample is not a few of its columns.
        sample = np.sort(values[:: (size // _SAMPLE) | 1])
        share = (size - k) / size
        rank, margin = share * len(sample), 4 * math.sqrt(share * (1 - share) * len(sample)) + 2
        low = sample[max(0, int(rank - margin))]
        high = sample[min(len(sample) - 1, int(rank + margin))]
        missing = k - np.count_nonzero(values > high)
        if missing > 0:
            within = values[(values > low) & (values <= high)]
            if missing <= len(within):
                place = len(within) - missing
                return np.partition(within, place)[place : place + 1]
            if missing <= len(within) + np.count_nonzero(values == low):
                return np.array([low])
    return np.partition(values, size - k)[size - k : size - k + 1]
