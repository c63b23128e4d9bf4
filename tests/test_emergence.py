import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack, random_masks

from masktools.errors import StructureError
from masktools.structure.dynamics.emergence import emergence, emergence_epoch, emergence_of
from masktools.structure.overlap import overlap_of


def _row(active, size=20):
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(active)] = True
    return mask


def _of(epochs, threshold=0.9):
    packed = [pack({f"layer{i}": row for i, row in enumerate(rows)}) for rows in epochs]
    return emergence_of(list(enumerate(packed)), packed[-1], threshold)


def test_hand_computed_curve():
    # Final mask {0..4} of 20. At first {0, 1, 10, 11, 12}: X = 2, mean 25/20, kappa 2 (2 - 1.25) / (10 - 2.5) = .2.
    result = _of([[_row([0, 1, 10, 11, 12])], [_row([0, 1, 2, 3, 12])], [_row(range(5))]])
    first, second, last = result.curve
    assert first.kappa == pytest.approx(0.2)
    assert first.jaccard == 2 / 8
    assert first.intersection_share == 2 / 5
    assert first.expected_share == 1.25 / 5
    assert (first.births, first.deaths, first.active) == (None, None, 5)
    assert (second.births, second.deaths) == (2, 2)
    assert (last.births, last.deaths) == (1, 1)
    assert second.kappa == pytest.approx(2 * (4 - 1.25) / 7.5)
    assert last.kappa == last.jaccard == last.intersection_share == 1
    assert (result.initial_share, result.expected_initial_share) == (2 / 5, 1.25 / 5)
    assert result.emergence_epoch == 2
    assert _of([[_row([0, 1, 10, 11, 12])], [_row([0, 1, 2, 3, 12])], [_row(range(5))]], 0.7).emergence_epoch == 1


def test_a_dip_below_the_threshold_postpones_emergence():
    final = range(5)
    result = _of([[_row(final)], [_row(final)], [_row(range(10, 15))], [_row(final)], [_row(final)]])
    assert [point.kappa == 1 for point in result.curve] == [True, True, False, True, True]
    assert result.emergence_epoch == 3
    assert result.layers[0].emergence_epoch == 3


def test_a_static_mask_is_there_from_the_start():
    result = _of([[_row(range(5))]] * 4, threshold=1)
    assert result.emergence_epoch == 0
    assert [point.births for point in result.curve] == [None, 0, 0, 0]


def test_layers_differ():
    early, late = _row(range(5)), _row(range(3))
    result = _of([[early, _row(range(10, 13))], [early, _row(range(10, 13))], [early, late]])
    assert [layer.emergence_epoch for layer in result.layers] == [0, 2]
    assert result.emergence_epoch == 2


@pytest.mark.parametrize(("active", "why"), [(range(20), "dense"), ((), "empty")])
def test_not_defined_for_a_dense_or_an_empty_final_layer(active, why):
    result = _of([[_row(range(5))], [_row(active)]])
    assert result.layers[0].emergence_epoch is None
    assert result.layers[0].undefined == why
    assert result.layers[0].kappa == (0, None)
    assert result.emergence_epoch is None


def test_a_dense_layer_does_not_hide_the_others():
    result = _of([[_row(range(20)), _row(range(3))], [_row(range(20)), _row(range(3))]])
    assert [layer.emergence_epoch for layer in result.layers] == [None, 0]
    assert [layer.undefined for layer in result.layers] == ["dense", None]
    assert result.emergence_epoch == 0


def test_iterated_pruning_starts_dense_at_kappa_zero():
    result = _of([[_row(range(20))], [_row(range(10))], [_row(range(5))]])
    assert result.curve[0].kappa == 0
    assert result.curve[0].intersection_share == result.curve[0].expected_share == 1
    # 10 of 20 around the final 5: mean 2.5, kappa 2 * 2.5 / (15 - 5).
    assert result.curve[1].kappa == 0.5
    assert (result.curve[1].births, result.curve[1].deaths) == (0, 10)
    assert result.emergence_epoch == 2


def test_an_undefined_kappa_has_not_arrived():
    assert emergence_epoch([0, 1, 2], [1.0, None, 1.0], 0.9) == 2
    assert emergence_epoch([0, 1, 2], [1.0, 1.0, None], 0.9) is None


@given(st.lists(st.one_of(st.none(), st.floats(-1, 1)), min_size=1, max_size=12), st.floats(0.05, 1), st.integers(1, 5))
def test_emergence_epoch_is_its_definition(kappas, threshold, step):
    epochs = [step * i for i in range(len(kappas))]
    arrived = [t for i, t in enumerate(epochs) if all(k is not None and k >= threshold for k in kappas[i:])]
    assert emergence_epoch(epochs, kappas, threshold) == (min(arrived) if arrived else None)


def test_curve_is_the_overlap_with_the_last_epoch(write_run):
    masks = [random_masks(seed) for seed in (1, 2, 3)]
    result = emergence(write_run("a", masks))
    for point, mask in zip(result.curve, masks, strict=True):
        total = overlap_of(pack(mask), pack(masks[-1])).total
        assert (point.kappa, point.jaccard) == (total.kappa, total.jaccard)
        assert point.intersection_share == total.intersection / total.active_b
        assert point.expected_share == pytest.approx(total.expected_intersection / total.active_b)
    for layer in result.layers:
        expected = [overlap_of(pack(mask), pack(masks[-1])).layers for mask in masks]
        assert layer.kappa == tuple(next(row.kappa for row in rows if row.name == layer.name) for rows in expected)


def test_epochs_are_those_of_the_files_and_births_count_from_snapshot_to_snapshot(write_run):
    a, b = random_masks(1), random_masks(2)
    result = emergence(write_run("a", {3: a, 7: b, 40: b}))
    assert [point.epoch for point in result.curve] == [3, 7, 40]
    assert result.emergence_epoch == 7
    changed = sum(int((b[name] & ~a[name]).sum()) for name in a)
    assert (result.curve[1].births, result.curve[1].deaths) == (changed, changed)


def test_one_snapshot_is_not_enough(write_run):
    with pytest.raises(StructureError, match="at least two snapshots"):
        emergence(write_run("a", [random_masks(0)]))


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_thresholds_out_of_range(write_run, threshold):
    with pytest.raises(StructureError, match="threshold"):
        emergence(write_run("a", [random_masks(0)] * 2), threshold)


def test_layers_that_change_are_named(write_run):
    path = write_run("a", [random_masks(0), random_masks(0, sizes=(12, 9, 5))])
    with pytest.raises(StructureError, match=r"fc1\.weight.*\(epoch 0\).*\(last epoch\)"):
        emergence(path)


def test_nothing_to_go_by():
    with pytest.raises(StructureError, match="no snapshots"):
        emergence_of([], {})
