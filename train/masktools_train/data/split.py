"""Hold a share of examples back for testing."""

import numpy as np
from numpy.typing import NDArray

from masktools_train.seeding import numpy_generator

__all__ = ["stratified"]


def stratified(targets: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of training and of test examples, the same share of every class held back.

    Parameters
    ----------
    targets
        Class numbers, shape ``(examples,)``.
    share
        Share of each class to hold back, rounded to whole examples.
    seed
        Which split.

    Returns
    -------
    tuple of two arrays
        Training and test indices, ascending.
    """
    rng = numpy_generator(seed, "split")
    held = np.zeros(len(targets), dtype=bool)
    for label in np.unique(targets):
        members = np.flatnonzero(targets == label)
        held[rng.permutation(members)[: round(share * len(members))]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)
