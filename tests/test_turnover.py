import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack

from masktools.structure.dynamics.turnover import TurnoverCounter

RATES = ("turnover", "expected_turnover", "regrowth_share", "expected_regrowth_share")


def run(*layers):
    """What changes in layers that are given as arrays of shape (snapshots, weights)."""
    counter = TurnoverCounter(tuple(f"layer{i}" for i in range(len(layers))))
    return [
        counter.add(pack({f"layer{i}": np.asarray(layer[t], dtype=np.bool_) for i, layer in enumerate(layers)}))
        for t in range(len(layers[0]))
    ]


def test_hand_computed():
    # Ten weights: {0 1 2 3}, {2 3 4 5}, {0 4 5 6}: of the last two births 0 comes back and 6 is new.
    rows = np.zeros((3, 10), dtype=np.bool_)
    rows[0, :4] = rows[1, 2:6] = rows[2, [0, 4, 5, 6]] = True
    (_, first), (_, second), (_, third) = run(rows)
    assert (first.births, first.deaths, first.regrowth, first.explored, first.exploration) == (None, None, None, 4, 0.4)
    assert [getattr(first, rate) for rate in RATES] == [None] * 4
    assert (second.births, second.deaths, second.turnover) == (2, 2, 0.5)
    # Independent masks share 4 * 4 / 10, so 2.4 of 4 would go.
    assert second.expected_deaths == pytest.approx(2.4)
    assert second.expected_turnover == pytest.approx(0.6)
    assert (second.regrowth, second.expected_regrowth, second.regrowth_z) == (0, 0, None)
    assert (third.births, third.deaths, third.regrowth) == (2, 2, 1)
    # Six inactive weights, of which 0 and 1 were active before: two births meet 2 * 2 / 6 of them.
    assert third.expected_regrowth == pytest.approx(2 / 3)
    assert third.expected_regrowth_share == pytest.approx(1 / 3)
    variance = 2 * 2 * 4 * 4 / (36 * 5)
    assert third.regrowth_z == pytest.approx((1 - 2 / 3) / variance**0.5)
    assert [point.explored for point in (first, second, third)] == [4, 6, 7]
    # Four, then two births on six inactive and never active places; then of six inactive two were active.
    assert second.expected_explored == 6
    assert third.expected_explored == pytest.approx(6 + 2 * 4 / 6)


@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1)))
def test_against_sets(weights):
    history = np.array(weights).T
    seen = set()
    before = None
    for row, (_, point) in zip(history, run(history), strict=True):
        now = set(np.flatnonzero(row).tolist())
        if before is not None:
            assert (point.births, point.deaths) == (len(now - before), len(before - now))
            assert point.regrowth == len((now - before) & seen)
            assert point.regrowth <= min(point.births, len(seen - before))
        seen |= now
        assert (point.explored, point.active) == (len(seen), len(now))
        before = now


def test_births_at_random_come_back_and_explore_as_often_as_expected():
    draws, size, active = 300, 200, 40
    rng = np.random.default_rng(2)
    ends = []
    for _ in range(draws):
        mask = np.zeros(size, dtype=np.bool_)
        mask[:active] = True
        history = [mask.copy()]
        for step in range(1, 6):
            on, off = np.flatnonzero(mask), np.flatnonzero(~mask)
            # Deaths are as far from random as can be: chance holds births alone to be random.
            mask[on[: 20 - step]] = False
            mask[rng.choice(off, 20 - step, replace=False)] = True
            history.append(mask.copy())
        ends.append([point for _, point in run(np.array(history))])
    last = [points[-1] for points in ends]
    # The chance level of exploration needs numbers of births alone: it is the same in every draw.
    assert len({point.expected_explored for point in last}) == 1
    spread = np.std([point.explored for point in last]) / draws**0.5
    assert np.mean([point.explored for point in last]) == pytest.approx(last[0].expected_explored, abs=4 * spread)
    excess = [point.regrowth - point.expected_regrowth for point in last]
    assert abs(np.mean(excess)) < 4 * np.std(excess) / draws**0.5
    assert np.std([point.regrowth_z for point in last]) == pytest.approx(1, abs=0.15)


def test_layers_add_up_and_chance_stays_within_them():
    rng = np.random.default_rng(3)
    a, b = rng.random((4, 60)) < 0.5, rng.random((4, 300)) < 0.1
    for layers, total in run(a, b):
        parts = list(layers.values())
        for key in ("size", "active", "explored"):
            assert getattr(total, key) == sum(getattr(part, key) for part in parts)
        if total.births is not None:
            for key in ("births", "deaths", "regrowth", "expected_deaths", "expected_regrowth", "active_before"):
                assert getattr(total, key) == pytest.approx(sum(getattr(part, key) for part in parts))
            assert total.turnover == total.deaths / total.active_before
    assert total.exploration == total.explored / 360
    pooled = run(np.hstack([a, b]))[-1][1]
    assert pooled.regrowth == total.regrowth
    assert pooled.expected_regrowth != pytest.approx(total.expected_regrowth)


def test_constant_empty_and_dense_layers():
    for fill, share in ((False, 0), (True, 1)):
        _, (_, point) = run(np.full((2, 12), fill))
        assert (point.births, point.deaths, point.regrowth, point.expected_regrowth) == (0, 0, 0, 0)
        assert (point.exploration, point.expected_exploration) == (share, share)
        assert (point.regrowth_share, point.regrowth_z) == (None, None)
        assert point.turnover == (0 if fill else None)
    _, (_, nothing) = run(np.zeros((2, 0)))
    assert (nothing.exploration, nothing.turnover) == (None, None)


def test_pruning_from_dense_has_no_births_and_everything_was_explored():
    rows = np.ones((3, 8), dtype=np.bool_)
    rows[1, 4:] = rows[2, 2:] = False
    *_, (_, last) = run(rows)
    assert (last.births, last.deaths, last.turnover, last.exploration) == (0, 2, 0.5, 1)
    # Weights that come back to a run that began dense can only come back: chance says the same.
    rows[2] = rows[0]
    *_, (_, last) = run(rows)
    assert (last.births, last.regrowth, last.expected_regrowth, last.regrowth_z) == (4, 4, 4, None)


def test_to_dict_has_the_numbers_of_a_curve():
    told = run(np.eye(3, dtype=np.bool_))[2][1].to_dict()
    assert told["regrowth"] == 0
    assert set(told) == {
        *("active", "births", "deaths", "turnover", "expected_turnover", "regrowth", "expected_regrowth"),
        *("regrowth_share", "expected_regrowth_share", "regrowth_z", "exploration", "expected_exploration"),
    }
