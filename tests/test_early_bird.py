import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack

from masktools.errors import StructureError
from masktools.structure.dynamics.early_bird import EarlyBirdCounter
from masktools.structure.overlap import overlap_of


def found(history, window=5, threshold=0.9, epochs=None):
    """The early bird of layers given by name as arrays of shape (snapshots, weights)."""
    layers = {name: np.asarray(rows, dtype=np.bool_) for name, rows in history.items()}
    counter = EarlyBirdCounter(tuple(layers), window, threshold)
    snapshots = len(next(iter(layers.values())))
    for step, epoch in enumerate(epochs or range(snapshots)):
        counter.add(epoch, pack({name: rows[step] for name, rows in layers.items()}))
    return counter.result()


def row(*active, size=20):
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(active)] = True
    return mask


def test_hand_computed():
    a, b = row(0, 1, 2, 3, 4), row(0, 1, 2, 3, 5)
    result = found({"x": [a, b, b, b]}, window=3, threshold=0.7)
    # Share 4 of 5: kappa = 2 (4 - 1.25) / (10 - 2.5) = .7333, two of 20 weights differ, 7.5 by chance.
    assert [point.kappa for point in result.points] == [pytest.approx(11 / 15), 1]
    assert [point.hamming for point in result.points] == [0.1, 0]
    assert [point.expected_hamming for point in result.points] == [pytest.approx(7.5 / 20)] * 2
    assert (result.epoch, result.hamming_epoch) == (2, 2)
    assert result.layers == {"x": 2}
    assert (result.hamming, result.expected_hamming, result.vacuous) == (0.1, pytest.approx(0.375), False)
    assert found({"x": [a, b, b, b]}, window=3, threshold=0.75).epoch == 3


def test_the_hamming_rule_is_vacuous_at_high_sparsity():
    rng = np.random.default_rng(0)
    size = 10_000
    history = [row(*rng.choice(size, size // 50, replace=False), size=size) for _ in range(6)]
    result = found({"x": history})
    assert (result.epoch, result.hamming_epoch) == (None, 4)
    assert result.expected_hamming == pytest.approx(2 * 0.02 * 0.98)
    assert result.hamming == pytest.approx(result.expected_hamming, rel=0.05)
    assert result.vacuous is True
    dense = [row(*rng.choice(size, size // 5, replace=False), size=size) for _ in range(6)]
    result = found({"x": dense})
    assert (result.epoch, result.hamming_epoch, result.vacuous) == (None, None, False)
    assert result.hamming == result.points[-1].hamming


@given(st.integers(0, 2**32), st.integers(2, 4), st.floats(0.05, 1))
def test_against_all_pairs_of_the_window(seed, window, threshold):
    rng = np.random.default_rng(seed)
    masks = []
    layers = {"a": rng.random(30) < 0.4, "b": rng.random(12) < 0.6}
    for _ in range(6):
        layers = {name: mask ^ (rng.random(mask.size) < 0.1) for name, mask in layers.items()}
        masks.append(pack(layers))
    result = found({name: [mask[name].to_bool() for mask in masks] for name in layers}, window, threshold)
    first = None
    for newest in range(window - 1, len(masks)):
        pairs = [overlap_of(masks[newest], masks[past]).total for past in range(newest - window + 1, newest)]
        point = result.points[newest - window + 1]
        assert point.epoch == newest
        assert point.kappa == min(pair.kappa for pair in pairs)
        assert point.hamming == max(pair.hamming for pair in pairs)
        by_chance = [(p.active_a + p.active_b - 2 * p.expected_intersection) / p.size for p in pairs]
        assert point.expected_hamming == pytest.approx(max(by_chance))
        if first is None and point.kappa >= threshold:
            first = newest
        # Kappa is 1 - distance / (distance by chance), pair by pair.
        for pair, chance in zip(pairs, by_chance, strict=True):
            assert pair.kappa == pytest.approx(1 - pair.hamming / chance, abs=1e-9)
    assert result.epoch == first


def test_a_static_mask_settles_with_the_first_full_window():
    result = found({"x": [row(1, 2)] * 6}, epochs=[0, 1, 2, 5, 9, 11])
    assert (result.epoch, result.hamming_epoch, result.hamming) == (9, 9, 0)


def test_layers_settle_by_themselves_and_dense_ones_never_do():
    still, moving = [row(1, 2)] * 4, [row(i, i + 1) for i in range(4)]
    result = found({"still": still, "moving": moving, "dense": [row(*range(20))] * 4}, window=2)
    assert result.layers == {"still": 1, "moving": None, "dense": None}
    assert result.epoch is None


def test_a_run_that_starts_dense_has_not_settled_while_it_is():
    dense = row(*range(20))
    result = found({"x": [dense, dense, dense, row(1, 2), row(1, 2)]}, window=2)
    assert [point.kappa for point in result.points] == [None, None, 0, 1]
    assert result.epoch == 4
    assert (result.hamming_epoch, result.expected_hamming, result.vacuous) == (1, 0, True)


def test_too_few_snapshots():
    result = found({"x": [row(1)] * 4})
    assert (result.points, result.epoch, result.hamming_epoch, result.hamming, result.vacuous) == (
        (),
        None,
        None,
        None,
        None,
    )
    assert result.to_dict()["expected_hamming"] is None


def test_no_weights_at_all():
    result = found({"x": np.zeros((3, 0))}, window=2)
    assert (result.epoch, result.hamming_epoch, result.points[0].hamming) == (None, None, None)


@pytest.mark.parametrize("window", [1, 0, -3])
def test_windows_too_short(window):
    with pytest.raises(StructureError, match="at least 2 masks"):
        EarlyBirdCounter(("x",), window, 0.9)
