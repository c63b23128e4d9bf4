import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from valued_runs import Values, write_values

from masktools.errors import StructureError
from masktools.structure.values.signs import GROUPS, sign_point, sign_stability


def _bits(text):
    return np.array([letter == "1" for letter in text])


def test_hand_computed_layer():
    initial = np.array([1.0, -2.0, 3.0, -4.0, 0.0, 5.0, -6.0, 7.0])
    weight = np.array([0.5, 2.0, 0.0, -1.0, 1.0, 4.0, -0.1, -3.0], dtype=np.float32)
    mask, always = _bits("11111000"), _bits("10100000")
    known = _bits("11111110")
    found = sign_point("fc", initial, weight, mask, always, known)
    counts = {
        group: (share["same"], share["counted"], share["unsigned"])
        for group, share in found.to_dict().items()
        if group in GROUPS
    }
    # Active: + kept, - changed, 0 now, - kept, 0 at first. Pruned with a value: + kept, - kept.
    assert counts == {"active": (2, 3, 2), "never_pruned": (1, 1, 1), "regrown": (1, 2, 1), "pruned": (2, 2, 0)}
    assert sign_point("fc", initial, weight, mask, always).pruned is None
    assert sign_point("fc", initial, weight, mask, always, mask).pruned is None


VALUES = arrays(np.float32, 12, elements=st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 3.0]))
MASKS = arrays(np.bool_, 12)


@given(VALUES, VALUES, MASKS, MASKS, MASKS)
def test_against_counting_one_by_one(initial, weight, mask, other, known):
    always, known = mask & other, mask | known
    found = sign_point("fc", initial, weight, mask, always, known)
    groups = {
        "active": mask,
        "never_pruned": always,
        "regrown": mask & ~always,
        "pruned": known & ~mask,
    }
    for group, members in groups.items():
        signed = [(a, b) for a, b, m in zip(initial, weight, members, strict=True) if m and a != 0 and b != 0]
        share = getattr(found, group)
        if group == "pruned" and not members.any():
            assert share is None
            continue
        assert share.same.trials == len(signed)
        assert share.same.hits == sum(math.copysign(1, a) == math.copysign(1, b) for a, b in signed)
        assert share.unsigned == members.sum() - len(signed)


def test_what_does_not_fit_is_refused():
    zeros = np.zeros(3)
    with pytest.raises(StructureError, match=r"'fc'.*different shapes"):
        sign_point("fc", zeros, np.zeros(4), _bits("111"), _bits("111"))
    with pytest.raises(StructureError, match=r"'fc'.*active all along"):
        sign_point("fc", zeros, zeros, _bits("110"), _bits("111"))


# A run of two layers. At epoch 1 the second weight of `a` is pruned and keeps training; at epoch 2 it is back.
INITIAL = {"a": [1.0, -1.0, 2.0, -2.0], "b": [1.0, 1.0]}


def _run(tmp_path, kinds=("dense", "dense", "dense"), behind=True):
    gone = 3.0 if behind else 0.0
    epochs = {
        0: Values({"a": "1111", "b": "11"}, INITIAL, kinds[0]),
        1: Values({"a": "1011", "b": "11"}, {"a": [1.0, gone, -2.0, -2.0], "b": [1.0, -1.0]}, kinds[1]),
        2: Values({"a": "1110", "b": "11"}, {"a": [2.0, 3.0, -2.0, gone], "b": [0.0, -1.0]}, kinds[2]),
    }
    return write_values(tmp_path / "run", epochs)


def test_a_run_epoch_by_epoch(tmp_path):
    result = sign_stability(_run(tmp_path))
    assert [point.epoch for point in result.signs] == [1, 2]
    first, second = (point.total for point in result.signs)

    def counts(total):
        groups = {group: getattr(total, group) for group in GROUPS}
        return {
            group: share and (share.same.hits, share.same.trials, share.unsigned) for group, share in groups.items()
        }

    # Epoch 1: a keeps +, turns +, keeps -; b keeps +, turns. The pruned one turned.
    assert counts(first) == {"active": (3, 5, 0), "never_pruned": (3, 5, 0), "regrown": (0, 0, 0), "pruned": (0, 1, 0)}
    # Epoch 2: a keeps +, regrown one turned, turned; b is 0 and turned. The pruned one turned from - to +.
    assert counts(second) == {"active": (1, 4, 1), "never_pruned": (1, 3, 1), "regrown": (0, 1, 0), "pruned": (0, 1, 0)}
    layer = result.signs[1].layers[0]
    assert (layer.name, layer.regrown.same.trials, layer.never_pruned.same.hits) == ("a", 1, 1)
    told = result.to_dict()["signs"][1]
    assert list(told) == ["epoch", *GROUPS, "layers"]
    assert told["active"]["share"] == 1 / 4


def test_values_held_at_0_are_no_values(tmp_path):
    result = sign_stability(_run(tmp_path, behind=False))
    assert [point.total.pruned for point in result.signs] == [None, None]
    active = sign_stability(_run(tmp_path, kinds=("dense", "active", "active")))
    assert [point.total.active for point in active.signs] == [point.total.active for point in result.signs]
    assert [point.total.pruned for point in active.signs] == [None, None]


def test_values_left_behind_are_no_values(tmp_path):
    epochs = {
        0: Values({"a": "1110"}, {"a": [1.0, -1.0, 2.0, -2.0]}, "dense"),
        1: Values({"a": "1110"}, {"a": [1.5, -1.2, 2.1, -2.0]}, "dense"),
    }
    assert sign_stability(write_values(tmp_path / "still", epochs)).signs[0].total.pruned is None
    epochs[1] = Values({"a": "1110"}, {"a": [1.5, -1.2, 2.1, -2.1]}, "dense")
    assert sign_stability(write_values(tmp_path / "moves", epochs)).signs[0].total.pruned.same.hits == 1


def test_a_snapshot_without_weights_still_says_what_was_pruned(tmp_path):
    result = sign_stability(_run(tmp_path, kinds=("dense", "none", "dense")))
    assert [point.epoch for point in result.signs] == [2]
    assert result.signs[0].total.regrown.same.trials == 1


def test_runs_that_say_nothing(tmp_path):
    path = _run(tmp_path, kinds=("none", "dense", "dense"))
    result = sign_stability(path)
    assert (result.signs, result.note) == ((), "the initial weights are not stored: epoch 0 holds no dense weights")
    path = _run(tmp_path, kinds=("dense", "none", "none"))
    assert sign_stability(path).note == "no weights are stored after epoch 0"
    assert sign_stability(path / "epoch-0000.h5").note == "no weights are stored after epoch 0"


def test_layers_that_change_are_named(tmp_path):
    epochs = {
        0: Values({"a": "11"}, {"a": [1.0, 2.0]}, "dense"),
        1: Values({"a": "111"}, {"a": [1.0, 2.0, 3.0]}, "dense"),
    }
    with pytest.raises(StructureError, match="layer 'a' is not the same in epochs 0 and 1"):
        sign_stability(write_values(tmp_path / "run", epochs))
