import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.structure.degrees import degrees
from masktools.structure.dynamics.hubs import HubCounter, hub_set

masks_2d = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def packed(mask):
    return PackedMask.from_bool(np.asarray(mask, dtype=np.bool_))


def persistence(masks, groups=None):
    final = {"x": packed(masks[-1])}
    counter = HubCounter(final, {"x": 1} if groups is None else groups)
    for mask in masks:
        counter.add({"x": packed(mask)})
    return counter.result()


@given(masks_2d)
def test_degrees_of_a_linear_layer(mask):
    fan_out, fan_in = degrees(mask)
    assert fan_out.tolist() == mask.sum(axis=0).tolist()
    assert fan_in.tolist() == mask.sum(axis=1).tolist()


@given(hnp.arrays(np.bool_, st.tuples(*(st.integers(1, 4) for _ in range(4)))))
def test_every_tap_of_a_kernel_counts(mask):
    fan_out, fan_in = degrees(mask)
    assert fan_out.tolist() == mask.sum(axis=(0, 2, 3)).tolist()
    assert fan_in.tolist() == mask.sum(axis=(1, 2, 3)).tolist()


def test_grouped_convolutions_have_inputs_of_their_own():
    # Two groups of two outputs and three inputs each: six input channels.
    mask = np.random.default_rng(0).random((4, 3, 2, 2)) < 0.5
    fan_out, fan_in = degrees(mask, groups=2)
    whole = np.zeros((4, 6, 2, 2), dtype=np.bool_)
    whole[:2, :3], whole[2:, 3:] = mask[:2], mask[2:]
    assert fan_out.tolist() == whole.sum(axis=(0, 2, 3)).tolist()
    assert fan_in.tolist() == whole.sum(axis=(1, 2, 3)).tolist()


def test_more_rows_than_a_byte_counts():
    mask = np.ones((700, 3), dtype=np.bool_)
    mask[5, 1] = False
    fan_out, fan_in = degrees(mask)
    assert fan_out.tolist() == [700, 699, 700]
    assert fan_in.sum() == 2099


@pytest.mark.parametrize(
    ("values", "hubs"),
    [
        ([5, 3, 1], [True, False, False]),
        ([1] * 10, [True] * 10),
        ([0] * 10, [False] * 10),
        ([2, 1, *([0] * 18)], [True, True, *([False] * 18)]),
        ([2, *([0] * 19)], [True, *([False] * 19)]),
        ([*range(20)], [False] * 18 + [True] * 2),
        ([*range(21)], [False] * 18 + [True] * 3),
        ([3, 3, 3, *([1] * 17)], [True] * 3 + [False] * 17),
        ([], []),
    ],
)
def test_hubs_are_a_tenth_rounded_up_with_all_ties_and_never_without_weights(values, hubs):
    assert hub_set(np.array(values, dtype=np.int64)).tolist() == hubs


@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 6)), st.randoms())
def test_the_order_of_units_does_not_matter(values, random):
    order = random.sample(range(values.size), values.size)
    hubs = hub_set(values)
    assert hub_set(values[order]).tolist() == hubs[order].tolist()
    top = -(-values.size // 10)
    assert hubs.sum() >= min(top, np.count_nonzero(values))
    if hubs.any():
        assert np.count_nonzero(values > values[hubs].min()) < top


def test_persistence_is_kappa_over_units():
    rng = np.random.default_rng(1)
    masks = [rng.random((30, 40)) < 0.2 for _ in range(3)]
    curves = persistence(masks)
    for side, axis in (("fan_out", 0), ("fan_in", 1)):
        hubs = [hub_set(mask.sum(axis=axis)) for mask in masks]
        (layer,) = curves[side].layers
        assert layer.units == len(hubs[0])
        assert layer.hubs == tuple(int(row.sum()) for row in hubs)
        for row, kappa in zip(hubs, layer.kappa, strict=True):
            assert kappa == pytest.approx(cohen_kappa_score(row, hubs[-1]), abs=1e-12)
        assert curves[side].kappa == pytest.approx(layer.kappa)
        assert curves[side].z == pytest.approx(layer.z)
        assert layer.kappa[-1] == 1


def test_layers_add_up_by_their_own_chance():
    rng = np.random.default_rng(2)
    start = {"a": rng.random((20, 20)) < 0.3, "b": rng.random((50, 20)) < 0.1}
    end = {name: mask ^ (rng.random(mask.shape) < 0.05) for name, mask in start.items()}
    final = {name: packed(mask) for name, mask in end.items()}
    counter = HubCounter(final, dict.fromkeys(final, 1))
    counter.add({name: packed(mask) for name, mask in start.items()})
    curve = counter.result()["fan_in"]
    excess = room = 0
    for name in start:
        here, there = hub_set(start[name].sum(axis=1)), hub_set(end[name].sum(axis=1))
        mean = here.sum() * there.sum() / here.size
        excess += (here & there).sum() - mean
        room += here.sum() + there.sum() - 2 * mean
    assert curve.kappa == (pytest.approx(2 * excess / room),)


def test_independent_masks_share_hubs_by_chance():
    rng = np.random.default_rng(3)
    scores = []
    for _ in range(300):
        curves = persistence([rng.random((60, 60)) < 0.1, rng.random((60, 60)) < 0.1])
        scores += [curves[side].z[0] for side in ("fan_out", "fan_in")]
    assert abs(np.mean(scores)) < 4 / 600**0.5
    assert np.std(scores) == pytest.approx(1, abs=0.12)


def test_dense_and_empty_layers_have_no_persistence():
    for fill in (True, False):
        curves = persistence([np.full((6, 8), fill)] * 2)
        assert curves["fan_out"].kappa == (None, None)
        assert curves["fan_in"].z == (None, None)
    start_dense = persistence([np.ones((3, 20)), np.arange(60).reshape(3, 20) % 20 == 0])
    assert start_dense["fan_out"].kappa == (0, 1)
    assert start_dense["fan_out"].z[0] is None


def test_layers_without_known_units_are_left_out():
    curves = persistence([np.ones(5)] * 2, groups={})
    assert (curves["fan_in"].layers, curves["fan_in"].kappa) == ((), (None, None))


def test_to_dict_is_json_ready():
    told = persistence([np.eye(4), np.eye(4)])["fan_in"].to_dict()
    assert told == {
        "share": 0.1,
        "kappa": [None, None],
        "z": [None, None],
        "layers": [{"name": "x", "units": 4, "hubs": [4, 4], "kappa": [None, None], "z": [None, None]}],
    }


def test_shapes_that_have_no_units():
    with pytest.raises(StructureError, match="no input and output units"):
        degrees(np.ones(4, dtype=np.bool_))
    with pytest.raises(StructureError, match="layer 'x': 3 outputs do not split into 2 groups"):
        persistence([np.ones((3, 4))], groups={"x": 2})
    with pytest.raises(StructureError, match="do not split into 0 groups"):
        degrees(np.ones((3, 4), dtype=np.bool_), groups=0)
