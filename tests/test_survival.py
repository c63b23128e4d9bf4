import dataclasses
import math
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.errors import StructureError
from masktools.statistics.survival import kaplan_meier

# Weeks in remission of 21 patients given 6-mercaptopurine (Freireich et al., 1963), the textbook example.
ENDED = {6: 3, 7: 1, 10: 1, 13: 1, 16: 1, 22: 1, 23: 1}
CENSORED = {6: 1, 9: 1, 10: 1, 11: 1, 17: 1, 19: 1, 20: 1, 25: 1, 32: 2, 34: 1, 35: 1}

samples = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30)


def counted(sample):
    ended = Counter(duration for duration, censored in sample if not censored)
    return ended, Counter(duration for duration, censored in sample if censored)


def test_the_textbook_example():
    curve = kaplan_meier(ENDED, CENSORED)
    steps = {point.duration: point for point in curve.points if point.deaths}
    told = {
        duration: tuple(round(x, 3) for x in (p.survival, p.standard_error, p.low, p.high))
        for duration, p in steps.items()
    }
    assert told == {
        6: (0.857, 0.076, 0.620, 0.952),
        7: (0.807, 0.087, 0.563, 0.923),
        10: (0.753, 0.096, 0.503, 0.889),
        13: (0.690, 0.107, 0.432, 0.849),
        16: (0.627, 0.114, 0.368, 0.805),
        22: (0.538, 0.128, 0.268, 0.747),
        23: (0.448, 0.135, 0.188, 0.680),
    }
    assert (curve.median, curve.median_low, curve.median_high) == (23, 13, None)
    assert curve.total == 21
    assert [steps[duration].at_risk for duration in (6, 7, 10, 23)] == [21, 17, 15, 6]


@given(samples)
def test_against_brute_force(sample):
    curve = kaplan_meier(*counted(sample))
    survival, greenwood = Fraction(1), Fraction(0)
    median = None
    for point in curve.points:
        risk = sum(duration >= point.duration for duration, _ in sample)
        ended = sum(duration == point.duration and not censored for duration, censored in sample)
        assert (point.at_risk, point.deaths) == (risk, ended)
        assert point.censored == sum(duration == point.duration and censored for duration, censored in sample)
        survival *= 1 - Fraction(ended, risk)
        assert point.survival == pytest.approx(float(survival), abs=1e-12)
        if survival:
            greenwood += Fraction(ended, risk * (risk - ended))
            assert point.standard_error == pytest.approx(float(survival) * math.sqrt(greenwood), abs=1e-12)
        else:
            assert point.standard_error is None
        if 0 < survival < 1:
            theta, spread = math.log(-math.log(survival)), math.sqrt(greenwood) / -math.log(survival)
            ends = [math.exp(-math.exp(theta + sign * 1.959964 * spread)) for sign in (1, -1)]
            assert (point.low, point.high) == pytest.approx(ends, abs=1e-6)
        else:
            assert (point.low, point.high) == (None, None)
        if median is None and survival <= Fraction(1, 2):
            median = point.duration
    assert curve.median == median
    assert {point.duration for point in curve.points} == {duration for duration, _ in sample}


@given(samples)
def test_without_censoring_it_is_the_share_that_lasts_longer(sample):
    durations = [duration for duration, _ in sample]
    curve = kaplan_meier(Counter(durations), {})
    for duration in range(9):
        longer = sum(one > duration for one in durations) / len(durations)
        found = curve.at(duration)
        assert found == (pytest.approx(longer, abs=1e-12) if duration <= max(durations) else None)


def test_one_half_is_reached_whatever_the_rounding():
    # 24 that end one after the other: after twelve exactly one half is left, but the product is a little more.
    curve = kaplan_meier(dict.fromkeys(range(1, 25), 1), {})
    assert curve.points[11].survival > 0.5
    assert curve.median == 12


def test_nothing_ends_or_nothing_is_there():
    curve = kaplan_meier({}, {4: 3})
    (point,) = curve.points
    assert dataclasses.astuple(point) == (4, 3, 0, 3, 1, 0, None, None)
    assert (curve.median, curve.median_low, curve.median_high) == (None, None, None)
    assert (curve.at(0), curve.at(4), curve.at(5)) == (1, 1, None)
    empty = kaplan_meier({}, {})
    assert (empty.points, empty.total, empty.median, empty.at(0)) == ((), 0, None, None)


def test_everything_ends_at_once():
    curve = kaplan_meier({2: 5}, {})
    (point,) = curve.points
    assert (point.survival, point.standard_error, point.low, point.high) == (0, None, None, None)
    assert (curve.median, curve.at(1), curve.at(2)) == (2, 1, 0)


def test_fractions_of_counts_and_tiny_rests():
    assert kaplan_meier({1: 0.5}, {1: 0.5}).at(1) == 0.5
    halved = kaplan_meier({t: 2.0**-t for t in range(1, 1200)}, {})
    assert halved.median == 1
    assert all(math.isfinite(point.survival) for point in halved.points)


def test_to_dict_is_json_ready():
    told = kaplan_meier({1: 2, 2: 1}, {2: 1}, confidence=0.9).to_dict()
    assert (told["half_life"], told["confidence"], len(told["curve"])) == (1, 0.9, 2)
    assert told["curve"][0] == {
        "duration": 1,
        "at_risk": 4,
        "deaths": 2,
        "censored": 0,
        "survival": 0.5,
        "standard_error": 0.25,
        "low": pytest.approx(math.exp(-math.exp(math.log(math.log(2)) + 1.644854 * 0.5 / math.log(2)))),
        "high": pytest.approx(math.exp(-math.exp(math.log(math.log(2)) - 1.644854 * 0.5 / math.log(2)))),
    }


@pytest.mark.parametrize(
    ("deaths", "censored"), [({-1: 1}, {}), ({1: -1}, {}), ({}, {math.inf: 1}), ({1: math.nan}, {})]
)
def test_counts_that_cannot_be(deaths, censored):
    with pytest.raises(StructureError, match="durations and counts"):
        kaplan_meier(deaths, censored)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_out_of_range(confidence):
    with pytest.raises(StructureError, match="confidence"):
        kaplan_meier({1: 1}, {}, confidence)


def test_the_half_life_has_an_interval_even_where_nothing_is_left():
    curve = kaplan_meier({1: 400_000, 2: 600_000}, {})
    assert (curve.median, curve.median_low, curve.median_high) == (2, 2, 2)
