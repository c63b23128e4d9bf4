import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from masktools.errors import StructureError
from masktools.statistics.ranking import Ranking, midranks, rank_scores, stratified_ranking

# Few distinct values make ties, many make none.
SCORES = st.lists(st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=30)


def _array(values):
    return np.array(values, dtype=np.float64)


def test_hand_computed():
    # Pairs: 3 > 1, 3 > 0, 1 = 1, 1 > 0. Ties: a group of two, so T = 6 and var U = 4 (60 - 6) / (12 4 3) = 1.5.
    ranking = rank_scores(_array([3, 1]), _array([1, 0]))
    assert (ranking.pairs, ranking.above, ranking.equal, ranking.null_variance) == (4, 3, 1, 1.5)
    assert ranking.auc == 7 / 8
    assert ranking.z == pytest.approx(1.5 / math.sqrt(1.5))
    assert ranking.standard_error == pytest.approx(math.sqrt(1.5) / 4)
    # Placements of members 1 and 3/4, of others 3/4 and 1: sample variances 1/32, so 1/64 + 1/64.
    assert ranking.variance == pytest.approx(1 / 32)


@given(SCORES, SCORES)
def test_against_scikit_learn_and_all_pairs(members, others):
    a, b = _array(members), _array(others)
    ranking = rank_scores(a, b)
    assert ranking.auc == pytest.approx(roc_auc_score([1] * a.size + [0] * b.size, np.concatenate([a, b])), abs=1e-12)
    assert ranking.above == sum(x > y for x, y in itertools.product(members, others))
    assert ranking.equal == sum(x == y for x, y in itertools.product(members, others))
    assert ranking.separates == (min(members) > max(others))


@given(SCORES, SCORES)
def test_z_against_scipys_mann_whitney(members, others):
    a, b = _array(members), _array(others)
    z = rank_scores(a, b).z
    if np.unique(np.concatenate([a, b])).size == 1:
        assert z is None
        return
    asymptotic = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(asymptotic.pvalue, rel=1e-9)
    assert np.sign(z) == np.sign(asymptotic.statistic - a.size * b.size / 2)


@pytest.mark.parametrize("scores", [[1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 1, 2, 5], [0, 0, 0, 0, 0, 0, 1]])
@pytest.mark.parametrize("members", [1, 2, 3])
def test_null_variance_is_that_over_all_assignments(scores, members):
    found = []
    for chosen in itertools.combinations(range(len(scores)), members):
        a = [scores[i] for i in chosen]
        b = [scores[i] for i in range(len(scores)) if i not in chosen]
        ranking = rank_scores(_array(a), _array(b))
        found.append(ranking.above + ranking.equal / 2)
    assert np.mean(found) == pytest.approx(members * (len(scores) - members) / 2)
    assert ranking.null_variance == pytest.approx(np.var(found), rel=1e-12)


@given(SCORES.filter(lambda x: len(x) > 1), SCORES.filter(lambda x: len(x) > 1))
def test_variance_is_delongs_definition(members, others):
    kernel = np.array([[(x > y) + (x == y) / 2 for y in others] for x in members])
    expected = kernel.mean(axis=1).var(ddof=1) / len(members) + kernel.mean(axis=0).var(ddof=1) / len(others)
    assert rank_scores(_array(members), _array(others)).variance == pytest.approx(expected, abs=1e-15)


def test_the_interval_covers_the_true_auc_as_often_as_it_says():
    rng = np.random.default_rng(5)
    truth = stats.norm.cdf(1.5 / math.sqrt(2))
    intervals = [rank_scores(rng.normal(1.5, 1, 30), rng.normal(0, 1, 60)).interval(0.9) for _ in range(2000)]
    assert np.mean([low <= truth <= high for low, high in intervals]) == pytest.approx(0.9, abs=0.02)


def test_z_is_standard_normal_where_membership_is_random():
    rng = np.random.default_rng(6)
    scores = rng.integers(0, 6, 200).astype(np.float32)
    drawn = []
    for _ in range(2000):
        order = rng.permutation(200)
        drawn.append(rank_scores(scores[order[:40]], scores[order[40:]]).z)
    assert np.mean(drawn) == pytest.approx(0, abs=0.07)
    assert np.std(drawn) == pytest.approx(1, abs=0.05)


@given(SCORES, SCORES)
def test_the_interval_lies_around_the_auc_and_within_0_and_1(members, others):
    ranking = rank_scores(_array(members), _array(others))
    low, high = ranking.interval()
    assert (low is None) == (high is None)
    if low is not None:
        assert 0 <= low <= ranking.auc <= high <= 1


@given(SCORES, SCORES)
def test_reversing_the_scores_mirrors_everything(members, others):
    a, b = _array(members), _array(others)
    one, other = rank_scores(a, b), rank_scores(-a, -b)
    assert one.auc == pytest.approx(1 - other.auc, abs=1e-15)
    assert (one.z is None and other.z is None) or one.z == pytest.approx(-other.z)
    assert one.equal == other.equal


def test_what_has_no_interval():
    assert rank_scores(_array([2, 3]), _array([0, 1])).interval() == (None, None)
    assert rank_scores(_array([2, 3]), _array([0, 1])).separates
    assert rank_scores(_array([1, 1]), _array([1, 1])).to_dict() == {
        "auc": 0.5,
        "low": None,
        "high": None,
        "z": None,
        "standard_error": None,
    }
    single = rank_scores(_array([2]), _array([0, 1, 3]))
    assert single.variance is None
    assert single.interval() == (None, None)
    assert single.z == pytest.approx((2 - 1.5) / math.sqrt(3 * 5 / 12))


@pytest.mark.parametrize(("members", "others"), [([], [1.0]), ([1.0], []), ([], [])])
def test_without_pairs_nothing_is_defined(members, others):
    ranking = rank_scores(_array(members), _array(others))
    assert (ranking.members, ranking.others, ranking.pairs) == (len(members), len(others), 0)
    assert set(ranking.to_dict().values()) == {None}
    assert not ranking.separates


def test_scores_of_any_shape_and_type():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (4, 3)), rng.integers(0, 5, (2, 5, 2))
    assert rank_scores(a.astype(np.float32), b.astype(np.float32)) == rank_scores(a.ravel(), b.ravel())


def test_ties_of_millions_do_not_overflow():
    # (3e6)³ exceeds 64 bits; all scores equal leave exactly no variance.
    zeros = np.zeros(3_000_000, dtype=np.int8)
    ranking = rank_scores(zeros[:1_000_000], zeros[1_000_000:])
    assert (ranking.null_variance, ranking.equal, ranking.z) == (0, 2 * 10**12, None)
    mixed = zeros.copy()
    mixed[::2] = 1
    n = 3_000_000
    exact = 10**6 * 2 * 10**6 * (n**3 - n - 2 * ((n // 2) ** 3 - n // 2)) / (12 * n * (n - 1))
    assert rank_scores(mixed[:1_000_000], mixed[1_000_000:]).null_variance == exact


@pytest.mark.parametrize("place", [0, 1])
def test_nan_has_no_rank(place):
    groups = [_array([1, 2]), _array([3, 4])]
    groups[place][0] = math.nan
    with pytest.raises(StructureError, match="not a number"):
        rank_scores(*groups)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_out_of_range(confidence):
    with pytest.raises(StructureError, match="confidence"):
        rank_scores(_array([1, 2]), _array([1, 3])).interval(confidence)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=4))
def test_stratified_is_the_pairs_within_layers(layers):
    rankings = [rank_scores(_array(a), _array(b)) for a, b in layers]
    total = stratified_ranking(rankings)
    pairs = [(x, y) for a, b in layers for x, y in itertools.product(a, b)]
    assert total.auc == pytest.approx(sum((x > y) + (x == y) / 2 for x, y in pairs) / len(pairs))
    assert total.null_variance == pytest.approx(sum(r.null_variance for r in rankings))
    assert (total.members, total.others) == (sum(len(a) for a, _ in layers), sum(len(b) for _, b in layers))
    expected = sum((r.pairs / total.pairs) ** 2 * (0.25 if r.variance is None else r.variance) for r in rankings)
    assert total.variance == pytest.approx(expected)


def test_pooling_would_tell_densities_and_not_the_order():
    # Within either layer the score says nothing; the dense layer has the larger scores.
    rng = np.random.default_rng(1)
    wide, narrow = rng.normal(10, 1, 1000), rng.normal(0, 1, 1000)
    layers = [(wide[:900], wide[900:]), (narrow[:100], narrow[100:])]
    total = stratified_ranking(rank_scores(a, b) for a, b in layers)
    pooled = rank_scores(*(np.concatenate(group) for group in zip(*layers, strict=True)))
    assert abs(total.z) < 2
    assert pooled.auc > 0.85
    assert pooled.z > 20


def test_layers_without_pairs_add_nothing():
    one = rank_scores(_array([3, 1]), _array([1, 0]))
    empty = rank_scores(_array([]), _array([5, 6]))
    assert stratified_ranking([empty, one, empty]) == one
    assert stratified_ranking([empty]) == Ranking(0, 0, 0, 0, 0, 0.0, None)


@given(st.lists(st.one_of(st.integers(-3, 3), st.floats(-10, 10)), max_size=30))
def test_midranks_against_scipy(values):
    assert midranks(_array(values)).tolist() == stats.rankdata(values).tolist()
