import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score
from valued_runs import Values, write_values

from masktools.errors import RunError, StructureError
from masktools.structure.values.criteria import MaskedValues, criteria, criteria_of
from masktools.structure.values.scores import CRITERIA, RANDOM, LayerValues
from masktools.structure.values.trained import left_behind

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures" / "v1"
NEEDS_FINAL = {name for name, criterion in CRITERIA.items() if criterion.needs_final}

# The definitions once more, one weight at a time.
BY_HAND = {
    "large_final": lambda i, f: abs(f),
    "small_final": lambda i, f: -abs(f),
    "large_init": lambda i, f: abs(i),
    "small_init": lambda i, f: -abs(i),
    "magnitude_increase": lambda i, f: abs(f) - abs(i),
    "movement": lambda i, f: abs(f - i),
    "large_final_same_sign": lambda i, f: abs(f) if i * f > 0 else 0,
    "large_final_diff_sign": lambda i, f: abs(f) if i * f < 0 else 0,
    "magnitude_increase_same_sign": lambda i, f: max(0, abs(f) - abs(i)) if i * f > 0 else 0,
    "magnitude_increase_diff_sign": lambda i, f: max(0, abs(f) - abs(i)) if i * f < 0 else 0,
}


def _aucs(mask, initial, final):
    layer = MaskedValues("fc", np.array(mask, dtype=np.bool_), np.array(initial), np.array(final))
    return {result.name: result.auc for result in criteria_of([layer])}


def test_hand_computed():
    # Kept: -3 -> -4 and 1 -> -2; left out: 2 -> 1, -2 -> 3. |w_f| 4, 2 against 1, 3: 3 of 4 pairs.
    assert _aucs([1, 1, 0, 0], [-3.0, 1.0, 2.0, -2.0], [-4.0, -2.0, 1.0, 3.0]) == {
        "large_final": 3 / 4,
        "small_final": 1 / 4,
        "large_init": 2 / 4,  # 3, 1 against 2, 2
        "small_init": 2 / 4,
        "large_init_large_final": 2.5 / 4,  # least ranks 4, 1 against 1, 2.5: above, above, equal, below
        "small_init_small_final": 2 / 4,  # greatest ranks 4, 2 against 2.5, 3
        "magnitude_increase": 3 / 4,  # 1, 1 against -1, 1: above, equal, above, equal
        "movement": 1.5 / 4,  # 1, 3 against 1, 5: equal, below, above, below
        "large_final_same_sign": 2.5 / 4,  # 4, 0 against 1, 0
        "large_final_diff_sign": 1.5 / 4,  # 0, 2 against 0, 3
        "magnitude_increase_same_sign": 3 / 4,  # 1, 0 against 0, 0
        "magnitude_increase_diff_sign": 2 / 4,  # 0, 1 against 0, 1
        "random": 1 / 2,
    }


HALVES = arrays(np.float64, 12, elements=st.integers(-8, 8).map(lambda x: x / 2))


@given(HALVES, HALVES, arrays(np.bool_, 12))
def test_scores_are_their_definitions(initial, final, mask):
    values = LayerValues(initial, final)
    for name, by_hand in BY_HAND.items():
        expected = [by_hand(i, f) for i, f in zip(initial, final, strict=True)]
        assert CRITERIA[name].score(values).tolist() == expected, name
    ranks = [
        [sum(abs(x) < abs(y) for x in column) + (sum(abs(x) == abs(y) for x in column) + 1) / 2 for y in column]
        for column in (initial, final)
    ]
    assert CRITERIA["large_init_large_final"].score(values).tolist() == [min(pair) for pair in zip(*ranks, strict=True)]
    assert CRITERIA["small_init_small_final"].score(values).tolist() == [
        -max(pair) for pair in zip(*ranks, strict=True)
    ]
    assert set(CRITERIA) == {*BY_HAND, "large_init_large_final", "small_init_small_final", RANDOM}


@settings(max_examples=50)  # of twelve criteria each
@given(HALVES, HALVES, arrays(np.bool_, 12))
def test_aucs_are_scikit_learns(initial, final, mask):
    found = {result.name: result for result in criteria_of([MaskedValues("fc", mask, initial, final)])}
    for name, criterion in CRITERIA.items():
        if mask.all() or not mask.any():
            assert found[name].auc is None
        elif name != RANDOM:
            assert found[name].auc == pytest.approx(roc_auc_score(mask, criterion.score(LayerValues(initial, final))))


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.integers(0, 5))
def test_what_a_change_of_scale_leaves_alone(by, other, seed):
    rng = np.random.default_rng(seed)
    initial, final, mask = rng.standard_normal(200), rng.standard_normal(200), rng.random(200) < 0.2
    before, after = _aucs(mask, initial, final), _aucs(mask, by * initial, other * final)
    for name in CRITERIA:
        if not name.startswith(("magnitude", "movement")):
            assert before[name] == pytest.approx(after[name], abs=1e-12), name
    both = _aucs(mask, by * initial, by * final)
    assert before == pytest.approx(both, abs=1e-3)


def test_the_highest_joint_ranks_are_above_one_percentile_of_both():
    rng = np.random.default_rng(2)
    initial, final = rng.standard_normal(1000), 3 * rng.standard_normal(1000)
    score = CRITERIA["large_init_large_final"].score(LayerValues(initial, final))
    kept = score > 800
    above = (abs(initial) > np.sort(abs(initial))[799]) & (abs(final) > np.sort(abs(final))[799])
    assert kept.any()
    assert np.array_equal(kept, above)


def test_random_weights_are_at_chance_and_planted_ones_are_found():
    rng = np.random.default_rng(3)
    initial = rng.standard_normal(5000).astype(np.float32)
    final = initial + rng.standard_normal(5000).astype(np.float32)
    mask = rng.random(5000) < 0.1
    for result in criteria_of([MaskedValues("fc", mask, initial, final)]):
        assert result.name == RANDOM or abs(result.ranking.z) < 3.5
    moved = np.abs(final - initial)
    results = criteria_of([MaskedValues("fc", moved >= np.sort(moved)[-500], initial, final)])
    assert [result.name for result in results if result.is_rule] == ["movement"]
    assert max(results, key=lambda result: result.auc).name == "movement"


def test_the_total_takes_pairs_within_layers_only():
    rng = np.random.default_rng(4)
    layers = []
    for name, scale, density in (("wide", 10, 0.9), ("narrow", 0.1, 0.1)):
        values = scale * rng.standard_normal((2, 50, 20))
        layers.append(MaskedValues(name, rng.random((50, 20)) < density, *values))
    results = {result.name: result for result in criteria_of(layers)}
    assert abs(results["large_final"].ranking.z) < 3
    weights = [layer.ranking.pairs for layer in results["movement"].layers]
    expected = np.average([layer.ranking.auc for layer in results["movement"].layers], weights=weights)
    assert results["movement"].auc == pytest.approx(expected)


def test_only_candidates_are_compared():
    rng = np.random.default_rng(5)
    initial, final, mask = rng.standard_normal(60), rng.standard_normal(60), rng.random(60) < 0.5
    some = rng.random(60) < 0.6
    found = criteria_of([MaskedValues("fc", mask, initial, final, some)])
    assert found == criteria_of([MaskedValues("fc", mask[some], initial[some], final[some])])
    assert found != criteria_of([MaskedValues("fc", mask, initial, final)])


def test_what_is_not_known_is_not_made_up():
    mask, weight = np.array([True, False]), np.array([2.0, 1.0])
    results = criteria_of([MaskedValues("fc", mask, weight, None)], "no w_i", "no w_f")
    assert {result.name for result in results if result.auc is None} == NEEDS_FINAL
    assert {result.note for result in results if result.name in NEEDS_FINAL} == {"no w_f"}
    results = criteria_of([MaskedValues("fc", mask, None, weight)], "no w_i", "no w_f")
    assert {result.name for result in results if result.auc is not None} == {"large_final", "small_final", RANDOM}
    with pytest.raises(ValueError, match="not known"):
        CRITERIA["movement"].score(LayerValues(weight, None))


def test_shapes_that_differ_are_refused():
    with pytest.raises(StructureError, match=r"'fc'.*shapes"):
        criteria_of([MaskedValues("fc", np.ones(3, dtype=np.bool_), np.ones(4), np.ones(3))])


def test_registry_and_docs_agree():
    text = (ROOT / "docs" / "criteria.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|$", text, re.MULTILINE)
    assert [(name, formula.replace("\\|", "|")) for name, formula in rows] == [
        (criterion.name, criterion.formula) for criterion in CRITERIA.values()
    ]
    assert [name for name, criterion in CRITERIA.items() if criterion.name != name] == []


# -- runs -----------------------------------------------------------------------------------------------------

INITIAL = {"a": [1.0, -2.0, 3.0, -4.0]}


def _aucs_of(result):
    return {c.name: c.auc for c in result.criteria}


def test_weights_that_train_behind_the_mask(tmp_path):
    final = [-5.0, 0.5, 3.5, -1.0]
    path = write_values(
        tmp_path / "run", {0: Values({"a": "0011"}, INITIAL), 1: Values({"a": "1010"}, {"a": final}, "dense")}
    )
    result = criteria(path)
    assert (result.run, result.epoch, result.weights_epoch) == (str(path), 1, 1)
    assert (result.size, result.compared) == (4, 4)
    assert _aucs_of(result) == _aucs([1, 0, 1, 0], INITIAL["a"], final)
    assert [c.name for c in result.criteria if c.is_rule] == ["large_final", "magnitude_increase"]
    # -1, -3 against -2, -4: the first of those that order 3 of 4 pairs.
    assert (result.best.name, result.best.auc) == ("small_init", 3 / 4)
    earlier = criteria(path, epoch=0, weights_epoch=1)
    assert (earlier.epoch, earlier.weights_epoch) == (0, 1)
    assert _aucs_of(earlier) == _aucs([0, 0, 1, 1], INITIAL["a"], final)


def _pruned_twice(kind):
    """Two levels of pruning: the mask of a level is chosen by the weights at the end of the one before."""
    return {
        0: Values({"a": "1111"}, INITIAL),
        1: Values({"a": "1111"}, {"a": [9.0, -7.0, 5.0, -1.0]}, kind),
        2: Values({"a": "1110"}, {"a": [8.0, -2.0, 6.0, 0.0]}, kind),
        3: Values({"a": "1110"}, {"a": [7.0, -3.0, 5.0, 0.0]}, kind),
        4: Values({"a": "1010"}, {"a": [1.0, 0.0, 2.0, 0.0]}, kind),
        5: Values({"a": "1010"}, {"a": [2.0, 0.0, 4.0, 0.0]}, kind),
    }


@pytest.mark.parametrize("kind", ["active", "dense"])
def test_iterated_pruning_takes_the_weights_that_the_mask_was_chosen_by(tmp_path, kind):
    path = write_values(tmp_path / "run", _pruned_twice(kind))
    result = criteria(path)
    assert (result.epoch, result.weights_epoch, result.compared, result.size) == (5, 3, 3, 4)
    assert _aucs_of(result) == _aucs([1, 0, 1], [1.0, -2.0, 3.0], [7.0, -3.0, 5.0])
    assert "Compared are the 3 of 4 weights" in result.note
    whole = criteria(path, weights_epoch=1)
    assert (whole.weights_epoch, whole.compared) == (1, 4)
    assert _aucs_of(whole) == _aucs([1, 0, 1, 0], INITIAL["a"], [9.0, -7.0, 5.0, -1.0])
    first = criteria(path, epoch=2)
    assert (first.epoch, first.weights_epoch) == (2, 1)
    # The weights of the mask's own epoch hold 0 for all that it leaves out: an AUC of 1 would say nothing.
    own = criteria(path, weights_epoch=5)
    assert own.weights_epoch is None
    assert {name for name, auc in _aucs_of(own).items() if auc is None} == NEEDS_FINAL
    assert own.criterion("large_init").auc == _aucs([1, 0, 1, 0], INITIAL["a"], INITIAL["a"])["large_init"]
    assert "restate the mask" in own.criterion("movement").note


def _exchanging(kind):
    return {
        0: Values({"a": "1100"}, INITIAL),
        1: Values({"a": "1100"}, {"a": [5.0, 1.0, 0.0, 0.0]}, kind),
        2: Values({"a": "1010"}, {"a": [5.0, 0.0, 1.0, 0.0]}, kind),
    }


@pytest.mark.parametrize("kind", ["active", "dense"])
def test_an_enforced_mask_does_not_restate_itself(tmp_path, kind):
    path = write_values(tmp_path / "run", _exchanging(kind))
    result = criteria(path)
    assert (result.weights_epoch, result.compared) == (None, 4)
    assert {name for name, auc in _aucs_of(result).items() if auc is None} == NEEDS_FINAL
    assert result.note.startswith("Criteria of w_f are not defined: in an epoch after 0 and up to 2 there are no")
    survivors = criteria(path, weights_epoch=1)
    assert (survivors.weights_epoch, survivors.compared) == (1, 2)
    assert survivors.criterion("large_final").auc == 1


def test_values_left_behind_do_not_count(tmp_path):
    moving = [1.5, -2.5, 3.5, -4.5]
    still = [1.5, -2.0, 3.5, -4.0]
    for name, weights, expected in (("moving", moving, 1), ("still", still, None)):
        epochs = {0: Values({"a": "1010"}, INITIAL), 1: Values({"a": "1010"}, {"a": weights})}
        assert criteria(write_values(tmp_path / name, epochs)).weights_epoch == expected
    # They count where nothing moved at all: frozen weights whose masks are learned.
    epochs = {0: Values({"a": "1010"}, INITIAL), 1: Values({"a": "0110"}, INITIAL)}
    assert criteria(write_values(tmp_path / "frozen", epochs)).weights_epoch == 1


def test_left_behind_takes_all_layers_together():
    on, off = np.array([True, False]), np.array([1.0, 1.0])
    still = (on, off, on, np.array([2.0, 1.0]))
    moving = (on, off, on, np.array([2.0, 1.5]))
    zero = (on, off, on, np.array([2.0, 0.0]))
    assert left_behind([still])
    assert left_behind([still, zero])
    assert not left_behind([still, moving])
    assert not left_behind([zero])
    assert not left_behind([])


def test_single_snapshots(tmp_path):
    path = write_values(tmp_path / "run", {0: Values({"a": "0011"}, INITIAL), 1: Values({"a": "1010"}, INITIAL)})
    last = criteria(path / "epoch-0001.h5")
    assert (last.epoch, last.weights_epoch) == (1, 1)
    assert {name for name, auc in _aucs_of(last).items() if auc is not None} == {"large_final", "small_final", RANDOM}
    assert "Criteria of w_i are not defined" in last.note
    first = criteria(path / "epoch-0000.h5")
    assert first.criterion("large_init").is_rule
    mask_of_the_start = criteria(path, epoch=0)
    assert mask_of_the_start.weights_epoch is None
    assert "nothing has been trained yet" in mask_of_the_start.note


def test_nothing_to_go_by_says_how_to_record(tmp_path):
    path = write_values(tmp_path / "run", {1: Values({"a": "1010"}, INITIAL, "active")})
    with pytest.raises(StructureError, match=re.escape(str(path)) + r".*--set snapshot\.weights=dense"):
        criteria(path)
    path = write_values(tmp_path / "none", dict.fromkeys((0, 1), Values({"a": "1010"}, INITIAL, "none")))
    with pytest.raises(StructureError, match="need the values"):
        criteria(path)


def test_dense_and_empty_layers_have_no_auc(tmp_path):
    weights = dict.fromkeys("abc", INITIAL["a"])
    final = {name: [2.0, 1.0, 4.0, 3.0] for name in "abc"}
    masks = {"a": "1111", "b": "1100", "c": "0000"}
    path = write_values(tmp_path / "run", {0: Values(masks, weights), 1: Values(masks, final)})
    result = criteria(path)
    assert [layer.ranking.auc is None for layer in result.criterion("movement").layers] == [True, False, True]
    assert (result.size, result.compared) == (12, 4)
    assert result.criterion("movement").auc == _aucs([1, 1, 0, 0], weights["b"], final["b"])["movement"]
    epochs = dict.fromkeys((0, 1), Values({"a": "1111"}, INITIAL))
    nothing = criteria(write_values(tmp_path / "dense", epochs))
    assert set(_aucs_of(nothing).values()) == {None}
    assert nothing.best is None
    assert "every layer is dense or empty" in nothing.note


def test_half_precision_is_widened_before_differences(tmp_path):
    # The first moves by 1.0004 and the second by 1, which are the same number in half precision.
    epochs = {
        0: Values({"a": "10"}, {"a": [1.0, 2.0]}, dtype="float16"),
        1: Values({"a": "10"}, {"a": [-0.0004, 1.0]}, dtype="float16"),
    }
    assert criteria(write_values(tmp_path / "run", epochs)).criterion("movement").auc == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, bad):
    epochs = {0: Values({"a": "1010"}, INITIAL), 1: Values({"a": "1010"}, {"a": [1.0, bad, 2.0, 3.0]})}
    with pytest.raises(StructureError, match=r"epoch-0001\.h5: layer 'a' holds a weight that is not finite"):
        criteria(write_values(tmp_path / "run", epochs))


def test_layers_that_change_are_named(tmp_path):
    epochs = {0: Values({"a": "1010"}, INITIAL), 1: Values({"b": "1010"}, {"b": INITIAL["a"]})}
    with pytest.raises(StructureError, match="layer 'b' is not the same in epochs 1 and 0"):
        criteria(write_values(tmp_path / "run", epochs))


def test_unknown_criteria(tmp_path):
    path = write_values(tmp_path / "run", _pruned_twice("active"))
    with pytest.raises(KeyError, match="no_such"):
        criteria(path).criterion("no_such")


def test_epochs_that_are_not_there(tmp_path):
    path = write_values(tmp_path / "run", _pruned_twice("active"))
    with pytest.raises(RunError, match="no snapshot of epoch 9"):
        criteria(path, epoch=9)
    with pytest.raises(RunError, match="no snapshot of epoch 9"):
        criteria(path, weights_epoch=9)
    assert criteria(path, epoch=-1, weights_epoch=-3).weights_epoch == 3


@pytest.mark.parametrize(
    ("name", "weights_epoch", "compared"),
    [
        ("dense-values", 2, "all"),  # DNW, dense
        ("dnw", None, "all"),  # DNW, active weights only
        ("ltr", None, "some"),
        ("rigl", None, "all"),
        ("static", None, "all"),
        ("float16", None, "all"),
        ("dense", None, "none"),
    ],
)
def test_archived_runs_of_every_algorithm(name, weights_epoch, compared):
    result = criteria(FIXTURES / name)
    if name == "ltr":
        assert result.weights_epoch is not None
        assert 0 < result.weights_epoch < result.epoch
        assert result.criterion("large_final").is_rule
    else:
        assert result.weights_epoch == weights_epoch
    assert {
        "all": result.compared == result.size,
        "some": 0 < result.compared < result.size,
        "none": not result.compared,
    }[compared]
    aucs = _aucs_of(result)
    if name == "dense-values":
        assert result.criterion("large_final").is_rule
        assert aucs["movement"] > 0.5
    for criterion in result.criteria:
        assert (criterion.auc is None) == (
            compared == "none" or (criterion.name in NEEDS_FINAL and not result.weights_epoch)
        )


@pytest.mark.parametrize("name", ["no-values-conv-4", "no-values-resnet20"])
def test_archived_runs_without_values(name):
    with pytest.raises(StructureError, match=r"snapshot\.weights=dense"):
        criteria(FIXTURES / name)


def test_a_layer_of_a_million_weights_takes_no_time():
    rng = np.random.default_rng(0)
    size = 1_000_000
    initial, final = rng.standard_normal((2, size), dtype=np.float32)
    layer = MaskedValues("fc", rng.random(size) < 0.1, initial, final)
    results = criteria_of(itertools.repeat(layer, 2))
    assert all(abs(result.auc - 0.5) < 0.01 for result in results)
