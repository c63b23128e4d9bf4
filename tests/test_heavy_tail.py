import math
import statistics

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from masktools.errors import StructureError
from masktools.structure.wiring import tail_models
from masktools.structure.wiring.heavy_tail import heavy_tails, tail_fit
from masktools.structure.wiring.tail_models import Tail, log_zeta
from masktools.structure.wiring.vuong import compare

MOST = 5000


def zipf(seed=0, units=1500, exponent=2.5):
    drawn = np.random.default_rng(seed).zipf(exponent, units)
    return drawn[drawn <= MOST]


SEQUENCES = {
    "zipf": zipf(),
    "binomial": np.random.default_rng(1).binomial(400, 0.1, 800),
    "poisson": np.random.default_rng(2).poisson(3, 800),
    "overdispersed": np.random.default_rng(3).negative_binomial(2, 0.02, 600),
    "lognormal": np.random.default_rng(4).lognormal(3, 1, 600).astype(int),
}


def fitted(name):
    found = tail_fit(SEQUENCES[name], MOST)
    assert found is not None
    return found, SEQUENCES[name][SEQUENCES[name] >= found.start]


def by_name(found):
    return {one.model: one for one in found.comparisons}


@pytest.mark.parametrize("exponent", [1.001, 1.5, 2.5, 7.0, 40.0])
@pytest.mark.parametrize("first", [1.0, 2.0, 17.0, 900.0])
def test_log_zeta_is_scipys(exponent, first):
    direct = scipy.special.zeta(exponent, first)
    expected = math.log(direct)
    assert log_zeta(exponent, np.array([first, first])) == pytest.approx([expected] * 2, rel=1e-12, abs=1e-12)


def test_log_zeta_of_steep_tails_is_their_sum():
    # 2000^-150 is no float, so that the sum is taken relative to it.
    terms = np.exp(-150 * (np.log(2000 + np.arange(20000)) - math.log(2000)))
    expected = math.log(math.fsum(terms)) - 150 * math.log(2000)
    assert float(log_zeta(150.0, np.array(2000.0))) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_start_and_exponent_are_those_of_brute_force(name):
    found, _ = fitted(name)
    sequence = SEQUENCES[name]
    best = (math.inf, 0, 0.0)
    for start in np.unique(sequence[sequence > 0]):
        tail = sequence[sequence >= start]
        if len(tail) < 50 or len(np.unique(tail)) < 3:
            continue
        cost = lambda a, t=tail, s=start: a * np.log(t).sum() + len(t) * math.log(scipy.special.zeta(a, s))  # noqa: E731
        exponent = scipy.optimize.minimize_scalar(cost, bounds=(1.01, 90), method="bounded", options={"xatol": 1e-9}).x
        every = np.arange(start, tail.max() + 1)
        model = 1 - scipy.special.zeta(exponent, every + 1) / scipy.special.zeta(exponent, start)
        seen = np.searchsorted(np.sort(tail), every, side="right") / len(tail)
        # The gap before the next value counts, and that after the largest does not.
        best = min(best, (float(np.abs(seen - model).max()), int(start), exponent))
    assert found.distance == pytest.approx(best[0], abs=1e-7)
    assert found.start == best[1]
    assert found.exponent == pytest.approx(best[2], rel=1e-5)
    assert (found.tail, found.units) == (int((sequence >= found.start).sum()), len(sequence))


def vuong(law, rival):
    """Sum of the differences, and its value and p by the normal distribution of the standard library."""
    differences = [float(a - b) for a, b in zip(law, rival, strict=True)]
    total = math.fsum(differences)
    score = total / (math.sqrt(len(differences)) * statistics.pstdev(differences))
    return total, score, 2 * (1 - statistics.NormalDist().cdf(abs(score)))


def best_of(negative, starts):
    """Likelihood maximised by another method than the one under test, from many starts."""
    with np.errstate(all="ignore"):
        runs = [scipy.optimize.minimize(negative, start, method="Powell", options={"xtol": 1e-9}) for start in starts]
    return min(runs, key=lambda run: run.fun).x


def rounded_lognormal(tail, start, mu, sigma):
    law = scipy.stats.norm(mu, sigma)
    inside = law.sf(np.log(tail - 0.5)) - law.sf(np.log(tail + 0.5))
    return np.log(inside) - law.logsf(math.log(start - 0.5))


@pytest.mark.parametrize("name", sorted(SEQUENCES))
def test_ratios_are_those_of_scipys_distributions(name):
    found, tail = fitted(name)
    start = found.start
    law = -found.exponent * np.log(tail) - math.log(scipy.special.zeta(found.exponent, start))
    rate = scipy.optimize.minimize_scalar(
        lambda p: -scipy.stats.geom(p, loc=start - 1).logpmf(tail).sum(),
        bounds=(1e-6, 1 - 1e-6),
        method="bounded",
        options={"xatol": 1e-10},
    ).x
    density = scipy.stats.binom(MOST, SEQUENCES[name].mean() / MOST)
    exact = np.logaddexp.reduce(density.logpmf(np.arange(start, MOST + 1)))
    rivals = {
        "exponential": scipy.stats.geom(rate, loc=start - 1).logpmf(tail),
        "binomial": density.logpmf(tail) - exact,
    }
    for model, rival in rivals.items():
        total, score, p_value = vuong(law, rival)
        one = by_name(found)[model]
        assert one.log_likelihood_ratio == pytest.approx(total, rel=1e-6, abs=1e-4)
        assert one.normalised == pytest.approx(score, rel=1e-4)
        assert one.p_value == pytest.approx(p_value, rel=1e-3, abs=1e-9)
    assert by_name(found)["exponential"].parameters["rate"] == pytest.approx(-math.log1p(-rate), rel=1e-5)
    # Those with two parameters: the likelihood is what the reported parameters say, and no search finds a better one.
    one = by_name(found)["lognormal"]
    mine = rounded_lognormal(tail, start, one.parameters["mu"], one.parameters["sigma"])
    assert one.log_likelihood_ratio == pytest.approx(float((law - mine).sum()), abs=1e-3)
    assert one.p_value == pytest.approx(vuong(law, mine)[2], abs=1e-3)
    logs = np.log(tail)
    theirs = best_of(
        lambda x: -np.nan_to_num(rounded_lognormal(tail, start, x[0], math.exp(min(x[1], 4.0))).sum(), nan=-1e9),
        [(logs.mean(), math.log(logs.std())), (0.0, 0.5), (-3.0, 1.0)],
    )
    assert mine.sum() >= rounded_lognormal(tail, start, theirs[0], math.exp(theirs[1])).sum() - 1e-3
    one = by_name(found)["negative_binomial"]
    shape, mean = one.parameters["shape"], one.parameters["mean"]

    def negative_binomial(shape, mean):
        law = scipy.stats.nbinom(shape, shape / (shape + mean))
        return law.logpmf(tail) - law.logsf(start - 1)

    mine = negative_binomial(shape, mean)
    assert one.log_likelihood_ratio == pytest.approx(float((law - mine).sum()), abs=2e-2)
    theirs = best_of(
        lambda x: -np.nan_to_num(negative_binomial(*np.exp(np.clip(x, -12, 12))).sum(), nan=-1e9, neginf=-1e9),
        [(0.0, math.log(tail.mean())), (-3.0, 0.0), (4.0, math.log(tail.mean()))],
    )
    assert mine.sum() >= negative_binomial(*np.exp(np.clip(theirs, -12, 12))).sum() - 2e-2


def test_what_was_drawn_is_recognised():
    for seed in range(3):
        found = tail_fit(zipf(seed), MOST)
        assert found.heavy
        assert found.exponent == pytest.approx(2.5, abs=0.15)
        assert by_name(found)["lognormal"].p_value > 0.05
        for other in (
            np.random.default_rng(seed).binomial(784, 0.1, 1000),
            np.random.default_rng(seed).binomial(300, 0.01, 1000),
            np.random.default_rng(seed).negative_binomial(1, 0.02, 1000),
        ):
            found = tail_fit(other, MOST)
            assert not found.heavy
            assert found.to_dict()["heavy"] is False
    # Far more unequal than density says, yet not heavy.
    assert by_name(tail_fit(SEQUENCES["overdispersed"], MOST))["binomial"].log_likelihood_ratio > 100
    # Binomial through and through: the tail is the density's.
    binomial = by_name(tail_fit(np.random.default_rng(6).binomial(784, 0.1, 4000), 784))
    assert binomial["binomial"].log_likelihood_ratio < 0
    assert binomial["exponential"].log_likelihood_ratio < 0


def test_a_single_hub_does_not_hide_that_density_is_not_enough():
    found = tail_fit(zipf(0, 1000, 2.0), MOST)
    assert found.heavy
    assert by_name(found)["binomial"].log_likelihood_ratio > 1000


def test_vuong_by_hand():
    tail = Tail(np.array([1, 2, 3]), np.array([2, 1, 1]))
    law = tail_models.FittedTail({}, np.log([0.5, 0.25, 0.25]))
    rival = tail_models.FittedTail({"a": 1.0}, np.log([0.25, 0.5, 0.25]))
    # Ratios ln 2, ln 2, -ln 2, 0: sum ln 2, mean square 3/4 less the square of 1/4, in ln 2.
    found = compare(tail, law, "other", rival)
    assert found.log_likelihood_ratio == pytest.approx(math.log(2))
    assert found.normalised == pytest.approx(1 / (2 * math.sqrt(3 / 4 - 1 / 16)))
    assert found.p_value == pytest.approx(2 * scipy.stats.norm.sf(found.normalised))
    same = compare(tail, law, "same", law)
    assert (same.log_likelihood_ratio, same.normalised, same.p_value) == (0, None, None)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_probabilities_sum_to_at_most_one(seed, first):
    values = np.arange(first, first + 400)
    counts = np.random.default_rng(seed).integers(1, 5, 400) * (np.arange(400) < 20) + (np.arange(400) % 97 == 0)
    tail = Tail(values, counts)
    for model in (tail_models.lognormal, tail_models.negative_binomial, tail_models.exponential):
        total = float(np.exp(model(tail).log_probability).sum())
        assert 0.5 < total <= 1 + 1e-9


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_layers_count_taps_and_ignore_the_order_of_units(seed):
    rng = np.random.default_rng(seed)
    shares = np.minimum(1, 0.02 * (rng.pareto(1.5, 120) + 1))
    mask = rng.random((120, 30, 2, 2)) < shares[:, None, None, None]
    found = heavy_tails(mask, least=20)
    fan_in = np.count_nonzero(mask.reshape(120, -1), axis=1)
    assert found.fan_in == tail_fit(fan_in, 120, least=20)
    assert heavy_tails(mask[rng.permutation(120)][:, rng.permutation(30)], least=20) == found
    turned = heavy_tails(mask.swapaxes(0, 1), least=20)
    assert (turned.fan_in, turned.fan_out) == (found.fan_out, found.fan_in)


def test_too_few_points_are_undefined():
    assert tail_fit(np.arange(1, 50), MOST) is None
    assert tail_fit(np.arange(1, 51), MOST) is not None
    # Two different degrees are not enough, and units without weights are none.
    assert tail_fit(np.repeat([3, 4], 100), 10) is None
    assert tail_fit(np.repeat([0, 3, 4], 100), 10) is None
    assert tail_fit(np.repeat([0, 3, 4, 5], 100), 10) is not None
    assert tail_fit(np.arange(1, 11), MOST, least=10).tail == 10
    assert tail_fit(np.zeros(0, dtype=np.int64), 0) is None


@pytest.mark.parametrize("shape", [(100, 50), (1, 1), (60, 1, 3, 3), (0, 4), (4, 0)])
@pytest.mark.parametrize("fill", [np.zeros, np.ones])
def test_empty_and_dense(shape, fill):
    found = heavy_tails(fill(shape, dtype=bool))
    assert found.to_dict() == {"fan_in": None, "fan_out": None}


def test_groups_have_inputs_of_their_own():
    rng = np.random.default_rng(0)
    mask = rng.random((64, 1, 5, 5)) < rng.random((64, 1, 1, 1))
    found = heavy_tails(mask, groups=64)
    assert found.fan_in == found.fan_out
    assert found.fan_in is not None
    assert heavy_tails(mask).fan_out is None
    assert found.to_dict()["fan_in"]["comparisons"][0]["model"] == "lognormal"


def test_what_is_refused():
    with pytest.raises(StructureError, match="degrees from 1 to 3 do not fit units with 2 weights"):
        tail_fit(np.array([1, 2, 3]), 2)
    with pytest.raises(StructureError, match="a tail has at least one unit, got 0"):
        tail_fit(np.array([1, 2, 3]), 3, least=0)
    with pytest.raises(StructureError, match="3 outputs do not split into 2 groups"):
        heavy_tails(np.ones((3, 2), dtype=bool), groups=2)
