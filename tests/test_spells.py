from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.masks import PackedMask
from masktools.statistics.survival import kaplan_meier
from masktools.structure.dynamics import spell_counter
from masktools.structure.dynamics.spell_counter import SpellCounter
from masktools.structure.dynamics.spells import total_spells

histories = st.integers(1, 7).flatmap(
    lambda snapshots: st.lists(st.lists(st.booleans(), min_size=snapshots, max_size=snapshots), min_size=1, max_size=21)
)


def count(history, epochs=None):
    """Spells of a layer from an array of shape (snapshots, weights)."""
    history = np.asarray(history, dtype=np.bool_)
    counter = SpellCounter({"fc": history.shape[1]})
    for row in history:
        counter.add({"fc": PackedMask.from_bool(row)})
    return counter.tables(range(len(history)) if epochs is None else epochs)["fc"]


def spells_of(weight):
    """Begin and end of each spell of one weight, by walking along it."""
    found, begin = [], None
    for index, active in enumerate([*weight, False]):
        if active and begin is None:
            begin = index
        elif not active and begin is not None:
            found.append((begin, index))
            begin = None
    return found


def test_hand_computed():
    # Four weights over epochs 0, 1, 2: one stays, one leaves at 1 and returns at 2, one comes at 1, one leaves at 2.
    table = count([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]])
    assert table.counts.tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert (table.spells, table.ongoing, table.left_truncated) == (5, 3, 0)
    assert table.survival == kaplan_meier({1: 1, 2: 1}, {2: 1, 1: 1, 0: 1})
    assert table.cohort("initial")[0] == kaplan_meier({1: 1, 2: 1}, {2: 1})
    assert table.cohort("later")[0] == kaplan_meier({}, {1: 1, 0: 1})
    assert sorted(table.cells_to_list(), key=str) == [[0, 1, 1], [0, 2, 1], [0, None, 1], [1, None, 1], [2, None, 1]]


@given(histories)
def test_against_brute_force(weights):
    table = count(np.array(weights).T)
    found = Counter(spell for weight in weights for spell in spells_of(weight))
    counts = table.counts
    assert {(int(i), int(j)): int(counts[i, j]) for i, j in zip(*np.nonzero(counts), strict=True)} == found
    assert table.spells == sum(found.values())
    snapshots = len(table.epochs)
    ended = Counter(j - i for (i, j), n in found.items() if j < snapshots for _ in range(n))
    censored = Counter(snapshots - 1 - i for (i, j), n in found.items() if j == snapshots for _ in range(n))
    assert table.survival == kaplan_meier(ended, censored)
    assert table.ongoing == sum(censored.values())


@given(histories)
def test_chance_has_as_many_spells_and_deaths(weights):
    table = count(np.array(weights).T)
    if not table.spells:
        return
    expected = table.expected_survival
    assert expected.total == pytest.approx(table.spells)
    deaths = sum(point.deaths for point in expected.points)
    assert deaths == pytest.approx(table.spells - table.ongoing)
    assert {point.duration for point in table.survival.points} <= {point.duration for point in expected.points}


def test_layers_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (rng.random((9, size)) < 0.4 for size in (50, 77))
    separate = total_spells([count(a), count(b)])
    assert np.array_equal(separate.counts, count(np.hstack([a, b])).counts)
    assert separate.survival == count(np.hstack([a, b])).survival
    # Chance is drawn within layers: the expected spells add up, and are not those of the layers as one.
    parts = [table.expected["later"].deaths[1] for table in (count(a), count(b))]
    assert separate.expected["later"].deaths[1] == pytest.approx(sum(parts))


def test_gaps_between_epochs_count():
    table = count([[1, 1, 0], [1, 0, 1], [0, 0, 1]], epochs=[0, 10, 15])
    assert table.survival == kaplan_meier({10: 1, 15: 1}, {5: 1})


def test_what_ran_before_the_first_snapshot_is_left_out_and_counted():
    table = count([[1, 1, 0], [1, 0, 1], [0, 0, 0]], epochs=[3, 4, 5])
    assert (table.left_truncated, table.spells, table.ongoing) == (2, 1, 0)
    assert table.survival == kaplan_meier({1: 1}, {})
    initial, expected = table.cohort("initial")
    assert (initial.points, expected.points) == ((), ())
    # One of two active weights died at epoch 4, both of two at epoch 5: that is the chance of the one that was born.
    assert table.expected_survival.points[0].deaths == 1


def test_deaths_at_random_hand_computed():
    # Four active; two die and two are born; one of the four dies.
    table = count([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 0]])
    initial, later = (table.expected[cohort] for cohort in ("initial", "later"))
    assert (initial.deaths, initial.censored) == ({1: 2, 2: 0.5}, {2: 1.5})
    assert (later.deaths, later.censored) == ({1: 0.5}, {1: 1.5})
    assert table.expected_survival == kaplan_meier({1: 2.5, 2: 0.5}, {2: 1.5, 1: 1.5})


def test_deaths_at_random_are_what_random_deaths_give():
    rng = np.random.default_rng(1)
    size, active, steps = 400, 120, 6
    sums = Counter()
    for _ in range(60):
        mask = np.zeros(size, dtype=np.bool_)
        mask[rng.choice(size, active, replace=False)] = True
        history = [mask.copy()]
        for step in range(1, steps):
            on, off = np.flatnonzero(mask), np.flatnonzero(~mask)
            number = 60 // step
            mask[rng.choice(on, number, replace=False)] = False
            mask[rng.choice(off, number, replace=False)] = True
            history.append(mask.copy())
        table = count(history)
        for point in table.survival.points:
            sums[point.duration] += point.deaths / 60
    # Births and deaths are the same numbers in every draw, so their expectation is that of any of them.
    for point in table.expected_survival.points:
        assert sums[point.duration] == pytest.approx(point.deaths, abs=1.5)


def test_age_matters_to_the_estimate_and_not_to_chance():
    # Newcomers always die: the first mask stays, each newcomer lasts one epoch.
    history = np.zeros((6, 40), dtype=np.bool_)
    history[:, :10] = True
    for step in range(1, 6):
        history[step, 10 + 5 * step : 15 + 5 * step] = True
    table = count(history)
    (later, chance) = table.cohort("later")
    assert later.median == 1
    assert later.at(1) == 0
    assert chance.at(1) > 0.6


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9])
def test_empty_dense_and_constant_layers(size):
    for fill in (False, True):
        table = count(np.full((3, size), fill))
        expected = size if fill else 0
        assert (table.spells, table.ongoing, table.left_truncated) == (expected, expected, 0)
        assert table.survival.median is None
        assert table.expected_survival.median is None
        assert table.survival.at(2) == (1 if expected else None)


def test_a_layer_that_is_dense_at_first_and_pruned():
    table = count([[1] * 8, [1] * 6 + [0] * 2, [1] * 3 + [0] * 5])
    assert table.survival == kaplan_meier({1: 2, 2: 3}, {2: 3})
    assert table.expected_survival.points == table.survival.points


def test_blocks_make_no_difference(monkeypatch):
    history = np.random.default_rng(5).random((6, 1000)) < 0.3
    whole = count(history).counts
    monkeypatch.setattr(spell_counter, "_BLOCK", 7)
    assert np.array_equal(count(history).counts, whole)


def test_more_snapshots_than_an_index_holds(monkeypatch):
    monkeypatch.setattr(spell_counter, "_INDEX", np.int8)
    steps = np.iinfo(np.int8).max + 5
    counter = SpellCounter({"fc": 2})
    on, off = (PackedMask.from_bool(np.array([True, second])) for second in (True, False))
    for step in range(steps):
        counter.add({"fc": on if step % 2 else off})
    table = counter.tables(range(steps))["fc"]
    assert table.survival == kaplan_meier({1: (steps - 1) // 2}, {steps - 1: 1} | ({0: 1} if steps % 2 == 0 else {}))


def test_to_dict():
    told = count([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]])
    cohorts, body = told.cohorts_to_dict(), told.to_dict()
    assert {key: body[key] for key in ("spells", "ended", "ongoing", "left_truncated")} == {
        "spells": 5,
        "ended": 2,
        "ongoing": 3,
        "left_truncated": 0,
    }
    # Of four at risk one ends after one epoch, of two one after two: 3/4 and 3/8 last longer.
    assert body["half_life"] == 2
    assert body["curve"][1]["expected_survival"] == told.expected_survival.at(1)
    assert cohorts["initial"]["half_life"] == 2
    assert cohorts["later"]["half_life"] is None
