"""Levels of numbers under a null, corrections for many tests, and intervals over runs."""

import functools
import math
import random
import statistics

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from measured import share_of_first_half
from synthetic import mlp_topology, random_masks

from masktools.errors import StructureError
from masktools.nulls.shuffles import shuffled
from masktools.nulls.trial import TOTAL, DrawPlan, run_trial
from masktools.statistics.corrections import benjamini_hochberg
from masktools.statistics.intervals import mean_interval
from masktools.statistics.monte_carlo import monte_carlo_p, null_level, quantile
from masktools.statistics.pairs import mean_over_pairs


def test_the_observed_value_counts_as_a_draw():
    assert monte_carlo_p(10.0, [1.0, 2.0, 3.0]) == 1 / 4
    assert monte_carlo_p(2.0, [1.0, 2.0, 3.0]) == 3 / 4
    assert monte_carlo_p(2.0, [1.0, 2.0, 3.0], "less") == 3 / 4
    assert monte_carlo_p(0.0, [1.0, 2.0, 3.0], "two-sided") == 1 / 2
    assert monte_carlo_p(2.0, [1.0, 2.0, 3.0], "two-sided") == 1.0
    assert monte_carlo_p(5.0, [1.0] * 199) == 1 / 200
    with pytest.raises(StructureError, match="at least one draw"):
        monte_carlo_p(1.0, [])


def test_a_level_by_hand():
    level = null_level(6.0, [1.0, 2.0, None, 3.0])
    assert (level.mean, level.sd, level.draws, level.p_value) == (2.0, 1.0, 3, 1 / 4)
    assert (level.z, level.low, level.high) == (4.0, 1.05, 2.95)
    assert level.to_dict()["z"] == 4.0
    assert null_level(None, [1.0]) is None
    assert null_level(1.0, [None]) is None
    assert null_level(1.0, [1.0]).sd is None
    assert null_level(1.0, [1.0, 1.0]).z is None


@pytest.mark.parametrize("value", [0.7294965609839984, 0.1, 1 / 3, 2.0])
def test_equal_draws_have_no_spread(value):
    for draws in (5, 199):
        level = null_level(value, [value] * draws)
        assert (level.mean, level.sd, level.z) == (value, 0.0, None)
        apart = null_level(0.9, [value] * draws)
        assert (apart.sd, apart.z) == (0.0, None)


def test_an_infinite_draw_has_a_rank_but_no_mean():
    level = null_level(2.0, [-math.inf, 1.0, 3.0])
    assert (level.mean, level.sd, level.z) == (None, None, None)
    assert level.p_value == 2 / 4
    assert level.low == -math.inf


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), st.floats(0, 1))
def test_quantiles_agree_with_numpy(values, share):
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), abs=1e-9)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=15))
def test_adjusted_p_values_agree_with_scipy(p_values):
    defined = [p for p in p_values if p is not None]
    wanted = iter(scipy.stats.false_discovery_control(defined) if defined else [])
    for p, adjusted in zip(p_values, benjamini_hochberg(p_values), strict=True):
        assert (adjusted is None) == (p is None)
        if p is not None:
            assert adjusted == pytest.approx(next(wanted))
            assert p <= adjusted + 1e-12
            assert adjusted <= 1


def test_a_trial_corrects_over_layers_and_leaves_totals_alone():
    masks = random_masks(0, 0.2, (20, 30, 10))
    masks["fc1.weight"][:15] = True
    trial = run_trial(share_of_first_half, masks, DrawPlan("layer", 19, 1))
    first, second = (trial.level("first", name) for name in masks)
    assert (first.p_value, first.adjusted_p_value) == (1 / 20, 2 / 20)
    assert second.adjusted_p_value == max(second.p_value, first.adjusted_p_value)
    assert trial.level("all").adjusted_p_value is None
    assert (trial.level("all").low, trial.level("all").high, trial.level("all").p_value) == (
        *(sum(mask.sum() for mask in masks.values()),) * 2,
        1.0,
    )
    assert trial.level("undefined") is None
    assert trial.to_dict("fc1.weight").keys() == {"first"}


def test_draws_are_the_same_in_any_number_of_processes_and_for_any_number_of_draws():
    masks = random_masks(0, 0.2, (20, 30, 10))
    for null in ("layer", "degree"):
        one, two = (run_trial(share_of_first_half, masks, DrawPlan(null, 6, 3, jobs)) for jobs in (1, 2))
        assert one.levels == two.levels


def test_layers_without_freedom_are_no_tests():
    masks = random_masks(0, 0.2, (20, 30, 10)) | {f"dense{i}": np.ones((4, 4), dtype=bool) for i in range(20)}
    masks["fc1.weight"][:15] = True
    trial = run_trial(share_of_first_half, masks, DrawPlan("layer", 19, 1))
    assert trial.level("first", "dense3").adjusted_p_value is None
    assert not trial.level("first", "dense3").free
    assert trial.level("first", "fc1.weight").adjusted_p_value == 2 / 20


def shared_with_first(first, masks, _):
    """Count the weights in common with fixed masks, and name what looks at the whole network."""
    return {
        (metric, name): float((mask & first[name]).sum()) for name, mask in masks.items() for metric in ("own", "wide")
    }


def test_a_layer_is_a_test_by_what_the_null_can_change_and_not_by_what_was_drawn():
    # Nothing is shared, and next to no draw shares anything: p is 1 in all layers but the first, and they all count.
    first = {f"{i}": np.arange(100).reshape(10, 10) == 0 for i in range(6)}
    masks = {name: first[name] if name == "0" else np.roll(mask, 5) for name, mask in first.items()}
    masks["dense"] = first["dense"] = np.ones((3, 3), dtype=bool)
    masks["fixed"] = first["fixed"] = np.arange(9).reshape(3, 3) < 4
    trial = run_trial(
        functools.partial(shared_with_first, first), masks, DrawPlan("layer", 99, 1), fixed=["fixed"], wide=["wide"]
    )
    found = trial.level("own", "0")
    assert found.p_value < 0.06
    assert found.adjusted_p_value == 6 * found.p_value
    still = trial.level("own", "3")
    assert (still.low, still.high, still.p_value, still.adjusted_p_value, still.free) == (0, 0, 1, 1, True)
    for name in ("dense", "fixed"):
        assert (trial.level("own", name).adjusted_p_value, trial.level("own", name).free) == (None, False)
        # What depends on other layers is a test as soon as any of them can change.
        assert (trial.level("wide", name).adjusted_p_value, trial.level("wide", name).free) == (1, True)
    assert trial.level("wide", "0").adjusted_p_value == 8 * found.p_value


@pytest.mark.slow
def test_false_discoveries_among_many_layers_stay_at_their_rate():
    # Independent masks: whatever is found is false. Of layers with two weights in a hundred, one in 25 shares any;
    # leaving out those whose p is 1 finds something in 19 of these 60 trials, and correcting nothing in 22.
    wrong = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = ({f"{i}": shuffled(np.arange(100) < 2, rng).reshape(10, 10) for i in range(20)} for _ in range(2))
        trial = run_trial(functools.partial(shared_with_first, a), b, DrawPlan("layer", 99, seed))
        wrong += any(trial.level("own", name).adjusted_p_value <= 0.05 for name in a)
    # Binomial(60, .05): more than 7 has probability .01. The tests are discrete, so there are fewer.
    assert wrong <= 7


def test_a_layer_called_total_is_refused():
    with pytest.raises(StructureError, match="a layer is called 'total'"):
        run_trial(share_of_first_half, {"total": np.ones((2, 2), dtype=bool)}, DrawPlan("layer", 3))


def test_nothing_to_draw_is_no_error():
    masks = random_masks(0, 0.2, (20, 30, 10))
    weights = {name: mask.astype(float) for name, mask in masks.items()}
    trial = run_trial(share_of_first_half, masks, DrawPlan("global", 3), weights=weights, fixed=list(masks))
    assert not trial.level("weight").free


def test_layers_that_are_fixed_stay_as_they_are():
    masks = random_masks(0, 0.2, (20, 30, 10))
    trial = run_trial(share_of_first_half, masks, DrawPlan("global", 9), fixed=["fc2.weight"])
    fixed, free = trial.level("first", "fc2.weight"), trial.level("first", "fc1.weight")
    assert fixed.low == fixed.high == fixed.observed
    assert free.low < free.high


def test_weights_move_along_with_their_masks():
    masks = random_masks(0, 0.2, (20, 30, 10))
    weights = {name: np.where(mask, 2.0, 0.0) for name, mask in masks.items()}
    trial = run_trial(share_of_first_half, masks, DrawPlan("degree", 5), weights=weights)
    level = trial.level("weight")
    assert level.low == level.high == 2.0 * sum(mask.sum() for mask in masks.values())


def hub_overlap(masks, _):
    return {("kept", TOTAL): float((masks["fc1.weight"] & HUBS["fc1.weight"]).sum())}


HUBS = random_masks(5, 0.3, (12, 10))


def test_a_p_value_under_the_null_is_uniform_even_for_a_walk(short_walk):
    # Masks drawn from the null itself: a p-value with 9 draws takes each of its ten values equally often, however short
    # the walk. Were draws to start from the observed mask and not a walk away from it, chi-square would have p < 1e-7
    # after one step, and after 41 nothing would be seen of it.
    found = []
    for seed in range(400):
        masks = random_masks(seed + 10_000, 0.3, (12, 10))
        level = run_trial(_jittered, masks, DrawPlan("degree", 9, seed)).level("kept")
        found.append(round(level.p_value * 10))
    counts = [found.count(value) for value in range(1, 11)]
    assert scipy.stats.chisquare(counts).pvalue > 1e-4


def _jittered(masks, weights):
    """Break ties at random but for good, by what the mask is: a p-value is uniform only without ties."""
    ((key, value),) = hub_overlap(masks, weights).items()
    return {key: value + random.Random(masks["fc1.weight"].tobytes()).random()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"null": "x"}, "null 'x' is unknown"),
        ({"draws": 0}, "draws of a null must be at least 1, not 0"),
        ({"seed": -1}, "seed of a null must be at least 0, not -1"),
        ({"jobs": 0}, "jobs of a null must be at least 1, not 0"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options, message):
    with pytest.raises(StructureError, match=message):
        DrawPlan(**options)


def test_the_interval_of_pairs_is_one_over_runs():
    # What runs add to a pair: the mean over pairs is twice the mean of these, and its t interval twice theirs.
    added = [0.1, 0.25, 0.05, 0.4]
    matrix = [[None if i == j else a + b for j, b in enumerate(added)] for i, a in enumerate(added)]
    found = mean_over_pairs(matrix)
    runs = mean_interval(added)
    assert (found.mean, found.low, found.high) == pytest.approx((2 * runs.mean, 2 * runs.low, 2 * runs.high))
    assert (found.runs, found.pairs) == (4, 6)
    assert found.to_dict()["confidence"] == 0.95
    assert mean_over_pairs(matrix, 0.5).high < found.high


def test_an_interval_of_pairs_is_no_narrower_than_that_of_unrelated_pairs():
    # Two kinds of runs, two of each: without any of them the mean is the same, and the jackknife sees no spread.
    matrix = [[None if i == j else 0.9 if i // 2 == j // 2 else 0.1 for j in range(4)] for i in range(4)]
    found = mean_over_pairs(matrix)
    error = statistics.stdev([0.9] * 2 + [0.1] * 4) / math.sqrt(6)
    assert found.high - found.mean == pytest.approx(scipy.stats.t.ppf(0.975, 3) * error)


def test_pairs_without_a_value_are_left_out():
    matrix = [[None, 0.5, None], [0.5, None, None], [None, None, None]]
    found = mean_over_pairs(matrix)
    assert (found.mean, found.low, found.high, found.runs, found.pairs) == (0.5, None, None, 2, 1)
    four = [[None, 0.5, 0.1, None], [0.5, None, 0.3, None], [0.1, 0.3, None, None], [None] * 4]
    three = [row[:3] for row in four[:3]]
    assert mean_over_pairs(four) == mean_over_pairs(three)
    assert mean_over_pairs(four).low < 0.3 < mean_over_pairs(four).high
    # A run that is part of every pair: without it there is no mean to compare with.
    star = [[None, 0.5, 0.1], [0.5, None, None], [0.1, None, None]]
    assert (mean_over_pairs(star).mean, mean_over_pairs(star).low) == (0.3, None)
    assert mean_over_pairs([[None, None, None]] * 3).mean is None
    two = mean_over_pairs([[None, 0.5], [0.5, None]])
    assert (two.mean, two.low, two.high) == (0.5, None, None)


def test_a_matrix_that_is_none_is_refused():
    with pytest.raises(StructureError, match="symmetric"):
        mean_over_pairs([[None, 0.1, 0.2], [0.1, None, 0.3], [0.2, 0.4, None]])
    with pytest.raises(StructureError, match="confidence must lie between 0 and 1, got 1"):
        mean_over_pairs([[None]], confidence=1)


def test_groups_come_from_the_operator_graph():
    assert mlp_topology().groups == {"fc1.weight": 1, "fc2.weight": 1}
