"""The embedded handwritten digits: 1797 images of 8 × 8 pixels with values 0 to 16."""

import importlib.resources

import numpy as np

from masktools.errors import RecipeError
from masktools_train.data.dataset import Dataset
from masktools_train.data.split import stratified

__all__ = ["digits"]


def digits(test_share: float = 0.2, split_seed: int = 0) -> Dataset:
    """Load the digits with a stratified split.

    Parameters
    ----------
    test_share
        Share of every class that is held back.
    split_seed
        Which split; all runs that are to be compared use the same.

    References
    ----------
    Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (its
    test part), as distributed with scikit-learn (BSD 3-Clause). ``digits.txt`` beside this file has the credit.
    """
    if not 0 < test_share < 1:
        raise RecipeError(f"data digits: test_share must lie between 0 and 1, got {test_share}")
    source = importlib.resources.files(__package__) / "digits.npz"
    with importlib.resources.as_file(source) as path, np.load(path, allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    train, test = stratified(labels, test_share, split_seed)
    images = images.reshape(-1, 1, 8, 8)
    return Dataset.from_arrays(images[train], labels[train], images[test], labels[test], 10)
