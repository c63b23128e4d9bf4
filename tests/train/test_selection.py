"""Exactly the k largest, ties to the lower index, whatever path computes it."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.extra import numpy as arrays

from masktools_train import selection
from masktools_train.selection import top_k_mask


def by_stable_argsort(scores, k):
    """The rule spelled out: order by falling score, equal ones by rising index, take k."""
    chosen = np.argsort(-scores.ravel(), kind="stable")[:k]
    mask = np.zeros(scores.size, dtype=bool)
    mask[chosen] = True
    return mask.reshape(scores.shape)


def with_kthvalue(monkeypatch):
    """Send CPU tensors down the path of the other devices."""
    monkeypatch.setattr(
        selection, "_kth_largest", lambda flat, k: torch.kthvalue(flat, flat.numel() - k + 1).values.view(1)
    )


FEW_VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0**-140, -np.inf, np.inf, 3.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_equals_a_stable_argsort(dtype, data):
    shape = data.draw(arrays.array_shapes(min_dims=1, max_dims=4, max_side=6))
    anything = st.floats(width=32, allow_nan=False).map(float)
    scores = data.draw(arrays.arrays(dtype, shape, elements=data.draw(st.sampled_from([FEW_VALUES, anything]))))
    k = data.draw(st.integers(0, scores.size))
    found = top_k_mask(torch.from_numpy(scores), k)
    assert found.dtype == torch.bool
    assert int(found.sum()) == k
    np.testing.assert_array_equal(found.numpy(), by_stable_argsort(scores, k))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [1, 2, 7, 10**6])
def test_the_kthvalue_path_selects_the_same(dtype, levels, monkeypatch):
    random = torch.Generator().manual_seed(levels)
    cases = [(torch.randint(levels, (37, 5), generator=random).to(dtype) / 8, k) for k in range(0, 186, 5)]
    usual = [top_k_mask(scores, k) for scores, k in cases]
    with_kthvalue(monkeypatch)
    for (scores, k), mask in zip(cases, usual, strict=True):
        other = top_k_mask(scores, k)
        assert torch.equal(other, mask)
        assert int(other.sum()) == k
        np.testing.assert_array_equal(other.numpy(), by_stable_argsort(scores.numpy(), k))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_counted_exactly_too(dtype):
    scores = (torch.arange(40) % 7).to(dtype)
    for k in range(41):
        np.testing.assert_array_equal(top_k_mask(scores, k).numpy(), by_stable_argsort(scores.float().numpy(), k))


def test_ties_by_hand():
    scores = torch.tensor([[2.0, 1.0, 2.0], [0.0, 1.0, 1.0]])
    assert top_k_mask(scores, 1).tolist() == [[True, False, False], [False, False, False]]
    assert top_k_mask(scores, 3).tolist() == [[True, True, True], [False, False, False]]
    assert top_k_mask(scores, 4).tolist() == [[True, True, True], [False, True, False]]
    assert top_k_mask(torch.zeros(5), 2).tolist() == [True, True, False, False, False]
    assert top_k_mask(torch.tensor([-0.0, 0.0, -0.0]), 1).tolist() == [True, False, False]


def test_the_selection_is_nested_in_k():
    scores = torch.randint(4, (60,), generator=torch.Generator().manual_seed(0)).float()
    masks = [top_k_mask(scores, k) for k in range(61)]
    assert all(bool((small <= large).all()) for small, large in itertools.pairwise(masks))


def test_a_strided_view_and_a_tensor_with_gradient():
    scores = torch.tensor([[1.0, 4.0], [3.0, 2.0]])
    assert top_k_mask(scores.t(), 2).tolist() == [[False, True], [True, False]]
    assert top_k_mask(scores.requires_grad_(), 2).tolist() == [[False, True], [True, False]]
    assert scores.tolist() == [[1.0, 4.0], [3.0, 2.0]]


@pytest.mark.parametrize("k", [-1, 7])
def test_a_count_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=f"cannot select {k} of 6"):
        top_k_mask(torch.zeros(6), k)


def test_many_scores_are_selected_exactly_whatever_the_sample_says():
    random = np.random.default_rng(0)
    size = 40_000
    plain = random.standard_normal(size)
    rows = {
        "plain": plain,
        "most equal": np.where(random.random(size) < 0.1, abs(plain), -1.0),
        "two values": (plain > 0.3).astype(float),
        "one value": np.zeros(size),
        "in order": np.sort(plain),
        "in falling order": np.sort(plain)[::-1].copy(),
        "periodic": np.tile(np.arange(8.0), size // 8),
        # All that the sample looks at is the same.
        "seen as one": np.where(np.arange(size) % ((size // selection._SAMPLE) | 1) == 0, 0.0, plain),
        "not to be selected": np.where(random.random(size) < 0.5, plain, -np.inf),
        "heavy tail": plain**9,
    }
    for name, values in rows.items():
        for k in (1, 2, 39, 400, 3_999, 4_001, 20_000, 36_000, 39_998, 39_999):
            for dtype in (np.float32, np.float64):
                scores = values.astype(dtype)
                found = top_k_mask(torch.from_numpy(scores), k).numpy()
                np.testing.assert_array_equal(found, by_stable_argsort(scores, k), err_msg=f"{name} {k}")
