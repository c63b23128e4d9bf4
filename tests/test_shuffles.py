"""Random masks: what each kind keeps, and that all masks of a kind are equally likely."""

import collections
import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.errors import StructureError
from masktools.nulls.carry import carried
from masktools.nulls.choice import choose
from masktools.nulls.curveball import STEPS, degree_shuffle, trade
from masktools.nulls.ladder import LADDER, find_null
from masktools.nulls.shuffles import global_shuffle, layer_shuffle, neuron_shuffle, shuffled, tap_shuffle

SHAPES = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)),
)


def kept(mask, rung):
    """Return what a rung keeps of a mask's layer, as comparable numbers."""
    counts = mask.reshape(*mask.shape[:2], -1).sum(axis=2)
    return {
        "global": (),
        "layer": int(mask.sum()),
        "neuron": counts.sum(axis=1).tolist(),
        "degree": (counts.sum(axis=1).tolist(), counts.sum(axis=0).tolist()),
        "tap": counts.tolist(),
    }[rung]


def chi_square(counts, states):
    """Return the standardised chi-square statistic of equal probabilities: about N(0, 1)."""
    total = sum(counts.values())
    statistic = sum((counts[state] - total / len(states)) ** 2 for state in states) / (total / len(states))
    free = len(states) - 1
    return (statistic - free) / math.sqrt(2 * free)


def alike(mask, rung):
    """Return every mask of the same layer that the rung cannot tell from this one."""
    places = np.array(list(itertools.combinations(range(mask.size), int(mask.sum()))), dtype=int)
    every = np.zeros((len(places), mask.size), dtype=bool)
    np.put_along_axis(every, places, True, axis=1)
    kernels = every.reshape(len(every), *mask.shape[:2], -1).sum(axis=3)
    taps = kernels == mask.reshape(*mask.shape[:2], -1).sum(axis=2)
    outputs = kernels.sum(axis=2) == mask.reshape(len(mask), -1).sum(axis=1)
    inputs = kernels.sum(axis=1) == mask.sum(axis=(0, *range(2, mask.ndim)))
    number = np.ones((len(every), 1), dtype=bool)
    held = {"layer": [], "neuron": [outputs], "degree": [outputs, inputs], "tap": [taps.reshape(len(every), -1)]}[rung]
    return [other.tobytes() for other in every[np.concatenate([number, *held], axis=1).all(axis=1)]]


@pytest.mark.parametrize("rung", LADDER)
@given(shapes=st.lists(SHAPES, min_size=1, max_size=3), density=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_each_rung_keeps_what_it_says_and_what_the_rungs_before_keep(rung, shapes, density, seed):
    rng = np.random.default_rng(seed)
    masks = {f"l{i}": rng.random(shape) < density for i, shape in enumerate(shapes)}
    before = {name: mask.copy() for name, mask in masks.items()}
    drawn = LADDER[rung].draw(masks, rng, {})
    assert list(drawn) == list(masks)
    assert sum(mask.sum() for mask in drawn.values()) == sum(mask.sum() for mask in masks.values())
    rungs = list(LADDER)
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, before[name])
        assert drawn[name].dtype == np.bool_
        assert drawn[name].shape == mask.shape
        assert not np.shares_memory(drawn[name], mask)
        for weaker in rungs[: rungs.index(rung) + 1]:
            assert kept(drawn[name], weaker) == kept(mask, weaker)


CONV = np.zeros((3, 2, 2), dtype=bool)
CONV[0, 0, 0] = CONV[0, 1, 1] = CONV[1, 0, 0] = CONV[1, 0, 1] = CONV[2, 1, 0] = True
LINEAR = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1]], dtype=bool)


@pytest.mark.parametrize("mask", [CONV, LINEAR], ids=["conv", "linear"])
@pytest.mark.parametrize("rung", ["layer", "neuron", "degree", "tap"])
def test_every_mask_that_a_rung_allows_is_equally_likely(rung, mask):
    states, rng = alike(mask, rung), np.random.default_rng(3)
    draw = functools.partial(degree_shuffle, steps=9) if rung == "degree" else LADDER[rung].draw
    # Chances that differ by 16 % among the 52 masks of these degrees would be beyond 4 after 1500 draws.
    draws = 1500 if rung == "degree" else 4000
    counts = collections.Counter(draw({"a": mask}, rng, {})["a"].tobytes() for _ in range(draws))
    assert set(counts) <= set(states)
    if len(states) > 1:
        assert abs(chi_square(counts, states)) < 4


@pytest.mark.parametrize("rung", ["layer", "neuron", "degree", "tap"])
@given(
    shape=st.sampled_from([(3, 3), (2, 4), (1, 5), (4, 1), (2, 2, 2), (1, 2, 3), (2, 3, 2)]), bits=st.integers(0, 4095)
)
def test_a_rung_can_change_a_mask_exactly_if_it_allows_another_one(rung, shape, bits):
    size = math.prod(shape)
    mask = np.array([bits >> place & 1 for place in range(size)], dtype=bool).reshape(shape)
    # All kernels empty or full, too: what is left then are the channels.
    for each in (mask, np.repeat(mask[:, :, None], 2, axis=2)) if len(shape) == 2 and size < 9 else (mask,):
        assert (LADDER[rung].moves({"a": each}, {}) == {"a"}) == (len(alike(each, rung)) > 1)


def test_what_can_be_changed_across_layers_and_within_groups():
    none, all_ = np.zeros((2, 3), dtype=bool), np.ones((2, 2), dtype=bool)
    assert LADDER["global"].moves({"a": none, "b": all_}, {}) == {"a", "b"}
    assert LADDER["global"].moves({"a": none}, {}) == LADDER["global"].moves({"b": all_}, {}) == frozenset()
    assert LADDER["global"].moves({}, {}) == frozenset()
    # As one layer the two outputs could exchange their inputs; as two groups they have nothing to do with each other.
    mask = np.eye(2, dtype=bool)
    assert LADDER["degree"].moves({"a": mask}, {}) == {"a"}
    assert LADDER["degree"].moves({"a": mask}, {"a": 2}) == frozenset()
    assert LADDER["degree"].moves({"a": np.zeros((0, 3), dtype=bool), "b": np.ones(4, dtype=bool)}, {}) == frozenset()
    assert LADDER["neuron"].moves({"b": np.arange(4) < 2}, {}) == frozenset()


def test_a_global_shuffle_moves_weights_between_layers():
    masks = {"a": np.ones((2, 2), dtype=bool), "b": np.zeros((2, 3), dtype=bool)}
    rng = np.random.default_rng(0)
    drawn = [int(global_shuffle(masks, rng)["a"].sum()) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(1.6, abs=0.1)  # 4 of 10 places, 4 of them in a
    assert set(drawn) == {0, 1, 2, 3, 4}
    assert global_shuffle({}, rng) == {}


def test_places_are_chosen_uniformly_in_strata_of_different_sizes():
    rng, counts, sizes = np.random.default_rng(1), np.array([2, 2, 4, 0]), np.array([4, 3, 5, 2])
    drawn = collections.Counter(choose(counts, sizes, rng).tobytes() for _ in range(9000))
    assert len(drawn) == math.comb(4, 2) * math.comb(3, 2) * math.comb(5, 4)
    assert abs(chi_square(drawn, list(drawn))) < 4


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=20), st.integers(0, 2**32 - 1))
def test_as_many_places_as_asked_for_are_chosen_in_each_stratum(pairs, seed):
    sizes = np.array([max(pair) for pair in pairs], dtype=np.int64)
    counts = np.array([min(pair) for pair in pairs], dtype=np.int64)
    drawn = choose(counts, sizes, np.random.default_rng(seed))
    parts = np.split(drawn, np.cumsum(sizes)[:-1]) if pairs else []
    assert [int(part.sum()) for part in parts] == counts.tolist()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_groups_do_not_trade_with_each_other(groups, per_group, places, seed):
    rng = np.random.default_rng(seed)
    rows = rng.random((groups * per_group, places)) < 0.5
    drawn = trade(rows, rng, groups)
    for before, after in zip(np.split(rows, groups), np.split(drawn, groups), strict=True):
        np.testing.assert_array_equal(before.sum(axis=0), after.sum(axis=0))
    np.testing.assert_array_equal(rows.sum(axis=1), drawn.sum(axis=1))


def skewed(kind, rng, rows=120, columns=160):
    """Return a mask whose degrees are skewed: a few units have most of the weights."""
    if kind == "few dense rows":
        chance = np.where(np.arange(rows)[:, None] < rows // 20, 0.7, 0.02) * np.ones((1, columns))
    elif kind == "1 / rank":
        chance = np.outer(1 / np.arange(1, rows + 1), 1 / np.arange(1, columns + 1))
        chance *= 0.05 * chance.size / chance.sum()
    else:
        chance = np.outer(rng.lognormal(0, 1, rows), rng.lognormal(0, 1, columns))
        chance *= 0.05 * chance.size / chance.sum()
    return rng.random((rows, columns)) < np.minimum(chance, 1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["few dense rows", "1 / rank", "lognormal"])
def test_a_walk_forgets_where_it_began(kind):
    # Degrees alone make masks share more than layer-wise chance; five times as many steps change nothing more. After 11
    # steps masks would still share 2 to 11 % more.
    rng = np.random.default_rng(0)
    mask = skewed(kind, rng)
    near, far = (
        np.mean([(degree_shuffle({"a": mask}, rng, {}, steps)["a"] & mask).sum() for _ in range(draws)])
        for steps, draws in ((STEPS, 40), (5 * STEPS, 15))
    )
    assert near == pytest.approx(far, rel=0.03)
    assert far > 2 * mask.sum() ** 2 / mask.size


def test_a_walk_keeps_the_degrees_of_groups_by_themselves():
    rng = np.random.default_rng(0)
    mask = rng.random((6, 3, 2, 2)) < rng.random((6, 3, 1, 1))
    drawn = degree_shuffle({"a": mask}, rng, {"a": 2})["a"]
    assert (drawn != mask).any()
    np.testing.assert_array_equal(drawn.sum(axis=(1, 2, 3)), mask.sum(axis=(1, 2, 3)))
    for part in (slice(3), slice(3, 6)):
        np.testing.assert_array_equal(drawn[part].sum(axis=(0, 2, 3)), mask[part].sum(axis=(0, 2, 3)))


def test_values_stay_within_what_the_null_keeps():
    rng = np.random.default_rng(0)
    masks = {"a": rng.random((6, 5, 3)) < 0.4, "b": rng.random((4, 6)) < 0.5}
    weights = {name: np.where(mask, rng.standard_normal(mask.shape), 9.0) for name, mask in masks.items()}
    for rung, null in LADDER.items():
        drawn = null.draw(masks, rng, {})
        moved = carried(weights, masks, drawn, null, rng)
        everything = np.sort(np.concatenate([weights[name][masks[name]] for name in masks]))
        np.testing.assert_array_equal(np.sort(np.concatenate([moved[n][drawn[n]] for n in masks])), everything)
        for name, mask in masks.items():
            assert (moved[name][~drawn[name]] == 0).all()
            before, after = np.where(mask, weights[name], np.inf), np.where(drawn[name], moved[name], np.inf)
            shape = {"global": None, "layer": (1, -1), "neuron": (len(mask), -1), "degree": (len(mask), -1)}.get(
                rung, (int(np.prod(mask.shape[:2])), -1)
            )
            if shape:
                np.testing.assert_array_equal(
                    np.sort(before.reshape(shape), axis=1), np.sort(after.reshape(shape), axis=1)
                )


def test_values_move_even_where_places_stay():
    # A full kernel keeps its places whatever is drawn; which value lies where is drawn all the same.
    rng = np.random.default_rng(0)
    mask = {"a": np.ones((1, 2, 9), dtype=bool)}
    weights = {"a": np.arange(18.0).reshape(1, 2, 9)}
    moved = carried(weights, mask, mask, LADDER["tap"], rng)["a"]
    assert (moved != weights["a"]).any()
    np.testing.assert_array_equal(np.sort(moved, axis=2), weights["a"])


def test_an_unknown_null_is_refused_by_name():
    with pytest.raises(StructureError, match="null 'erdos' is unknown; there are global, layer, neuron, degree, tap"):
        find_null("erdos")


def test_layers_without_a_kernel_have_no_taps_to_shuffle():
    mask = {"fc": LINEAR}
    np.testing.assert_array_equal(tap_shuffle(mask, np.random.default_rng(0))["fc"], LINEAR)


def test_a_shuffle_of_numbers_is_refused():
    with pytest.raises(StructureError, match="a mask is boolean, got int64"):
        shuffled(np.ones((2, 2), dtype=np.int64), np.random.default_rng(0))


def test_units_and_layers_without_weights_are_left_alone():
    masks = {"none": np.zeros((0, 3), dtype=bool), "thin": np.zeros((3, 0), dtype=bool)}
    for draw in (layer_shuffle, neuron_shuffle, tap_shuffle, global_shuffle):
        drawn = draw(masks, np.random.default_rng(0))
        assert [mask.shape for mask in drawn.values()] == [(0, 3), (3, 0)]
    assert degree_shuffle(masks, np.random.default_rng(0), {})["none"].shape == (0, 3)
