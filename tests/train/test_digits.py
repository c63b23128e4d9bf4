"""The embedded digits and the split that all runs share."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from masktools.errors import RecipeError
from masktools_train.data import load_data
from masktools_train.data.split import stratified


def test_the_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    ours = load_data("digits", {})
    train, test = stratified(theirs.target, 0.2, 0)
    for inputs, targets, rows in (
        (ours.train_inputs, ours.train_targets, train),
        (ours.test_inputs, ours.test_targets, test),
    ):
        np.testing.assert_array_equal(inputs.numpy()[:, 0], theirs.images[rows])
        np.testing.assert_array_equal(targets.numpy(), theirs.target[rows])
    assert sorted([*train, *test]) == list(range(1797))
    assert ours.train_inputs.dtype == torch.uint8
    assert ours.input_shape == (1, 8, 8)
    assert ours.classes == 10


def test_every_class_is_held_back_alike():
    data = load_data("digits", {})
    whole = data.train_targets.bincount() + data.test_targets.bincount()
    assert whole.sum() == 1797
    assert data.test_targets.bincount().tolist() == [round(0.2 * int(n)) for n in whole]


def test_the_split_is_fixed_unless_asked_otherwise():
    first, again, other = (load_data("digits", options) for options in ({}, {}, {"split_seed": 1}))
    assert torch.equal(first.train_inputs, again.train_inputs)
    assert not torch.equal(first.train_inputs, other.train_inputs)
    half = load_data("digits", {"test_share": 0.5})
    assert abs(len(half.test_targets) - 898.5) < 6


def test_normalised_training_inputs_have_mean_zero_and_variance_one():
    data = load_data("digits", {})
    values = data.normalized(data.train_inputs).double()
    assert abs(values.mean()) < 1e-6
    assert abs(values.var(correction=0) - 1) < 1e-6
    raw = data.train_inputs.double()
    expected = (data.test_inputs.double() - raw.mean()) / raw.std(correction=0)
    torch.testing.assert_close(data.normalized(data.test_inputs).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(RecipeError, match="test_share must lie between 0 and 1"):
        load_data("digits", {"test_share": share})


@given(st.lists(st.integers(0, 6), min_size=1, max_size=200), st.floats(0, 1), st.integers(0, 1000))
def test_a_stratified_split_is_disjoint_complete_and_fair(targets, share, seed):
    targets = np.array(targets)
    train, test = stratified(targets, share, seed)
    assert sorted([*train, *test]) == list(range(len(targets)))
    assert list(train) == sorted(train)
    assert list(test) == sorted(test)
    for label in np.unique(targets):
        assert (targets[test] == label).sum() == round(share * (targets == label).sum())


def test_a_split_is_drawn_at_random():
    held = np.zeros(50)
    for seed in range(200):
        held[stratified(np.zeros(50, dtype=np.int64), 0.2, seed)[1]] += 1
    assert held.sum() == 200 * 10
    assert 15 < held.min() <= held.max() < 70  # 40 on average, standard deviation 5.7
