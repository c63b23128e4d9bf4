"""The selection with a carried threshold is the plain one, however the scores move and whatever band is given."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays

from masktools_train import carried_selection
from masktools_train.carried_selection import Band, carried_top_k_mask
from masktools_train.selection import top_k_mask

FEW_VALUES = st.sampled_from([0.0, -0.0, 1.0, 0.5, 2.0**-140, 3.0, 1e30])
ANYTHING = st.floats(width=32, allow_nan=False, allow_infinity=False).map(float)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_any_band_gives_the_plain_selection(dtype, data):
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=3, max_side=6))
    elements = data.draw(st.sampled_from([FEW_VALUES, ANYTHING]))
    scores = torch.from_numpy(data.draw(arrays.arrays(dtype, shape, elements=elements)))
    k = data.draw(st.integers(0, scores.numel()))
    near = st.sampled_from([*{float(value) for value in scores.reshape(-1)}, 0.0, 1.0])
    band = data.draw(st.none() | st.builds(Band, near | ANYTHING, st.sampled_from([0.0, 0.25, 1.0, math.inf])))
    mask, following = carried_top_k_mask(scores, k, band)
    assert torch.equal(mask, top_k_mask(scores, k))
    again, _ = carried_top_k_mask(scores, k, following)
    assert torch.equal(again, mask)


def walk(kind, random):
    """Yield scores as training would make them, and as an adversary would."""
    scores = torch.randn(60, 50, generator=random).abs()
    for number in range(40):
        noise = torch.randn(60, 50, generator=random)
        if kind == "small steps":
            scores = (scores + 0.01 * noise).abs()
        elif kind == "ties":
            scores = ((scores + 0.01 * noise) * 16).round().abs() / 16
        elif kind == "jumps":
            scores = scores * (1000.0 if number % 3 else 0.001) ** (number % 2)
        elif kind == "collapse":
            scores = scores * 0.7 if number % 10 else torch.zeros_like(scores)
            scores = scores + (0.0 if number % 10 < 5 else noise.abs())
        elif kind == "shuffle":
            scores = noise.abs() * 3 ** (number % 4 - 2)
        yield scores


@pytest.mark.parametrize("density", [0.001, 0.02, 0.1, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["small steps", "ties", "jumps", "collapse", "shuffle"])
def test_walks_of_scores(kind, density):
    band = None
    for scores in walk(kind, torch.Generator().manual_seed(0)):
        k = max(1, int(density * scores.numel()))
        mask, band = carried_top_k_mask(scores, k, band)
        assert int(mask.sum()) == k
        assert torch.equal(mask, top_k_mask(scores, k))


def test_small_steps_are_not_sorted_out_in_full(monkeypatch):
    full, largest = [], []
    plain, among = carried_selection.top_k_mask, carried_selection._select_among
    monkeypatch.setattr(carried_selection, "top_k_mask", lambda *args: full.append(args) or plain(*args))
    monkeypatch.setattr(carried_selection, "_select_among", lambda *args: largest.append(len(args[0])) or among(*args))
    random = torch.Generator().manual_seed(0)
    scores, band = torch.randn(100, 100, generator=random), None
    for _ in range(50):
        scores += 1e-3 * torch.randn(100, 100, generator=random)
        _, band = carried_top_k_mask(scores.abs(), 1000, band)
    assert len(full) == 1
    assert max(largest) < 600
    assert 5 < np.median(largest) < 100


def test_ties_across_the_band_by_hand():
    scores = torch.tensor([2.0, 1.0, 2.0, 1.0, 0.0, 1.0])
    mask, band = carried_top_k_mask(scores, 4, Band(1.0, 0.5))
    assert mask.tolist() == [True, True, True, True, False, False]
    assert band.threshold == 1.0
    mask, band = carried_top_k_mask(scores, 2, Band(1.0, 0.5))
    assert mask.tolist() == [True, False, True, False, False, False]


def test_scores_of_a_training_that_diverged_are_no_error_and_leave_nothing_behind():
    scores, band = torch.tensor([3.0, 1.0, 2.0, 0.5]), None
    for values in (scores, scores * math.nan, scores * math.inf, scores, scores * 2, scores):
        mask, band = carried_top_k_mask(values, 2, band)
        assert torch.equal(mask, top_k_mask(values, 2))
    assert math.isfinite(band.threshold)
    assert math.isfinite(band.width)


def test_other_dtypes_and_trivial_counts_are_selected_plainly():
    scores = torch.tensor([3.0, 1.0, 2.0])
    assert carried_top_k_mask(scores.bfloat16(), 2, Band(1.0, 1.0))[1] is None
    assert carried_top_k_mask(scores, 0, Band(1.0, 1.0))[0].tolist() == [False] * 3
    assert carried_top_k_mask(scores, 3, Band(9.0, 1.0))[0].tolist() == [True] * 3
