"""A mask that has settled: the rule by hand, what it freezes, and that it says so."""

import json

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import recipe

from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools_train import train
from masktools_train.early_structure import EarlyStructure
from masktools_train.progress import SilentObserver


def masks(*layers):
    return {f"{number}": torch.tensor(layer, dtype=torch.bool) for number, layer in enumerate(layers)}


A = masks([1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0])
B = masks([1, 0, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1])


def test_kappa_by_hand():
    rule = EarlyStructure("kappa>0.12 over 1")
    assert not rule.settled(A)
    assert rule.kappa is None
    assert not rule.settled(B)
    # Layer 0 shares 1 of 2 and 2 among 8, chance 1/2; layer 1 shares 2 of 3 and 3 among 4, chance 9/4:
    # 2 (1/2 - 1/4) over (4 - 1) + (6 - 9/2) = (1/2) / (9/2).
    assert rule.kappa == pytest.approx(1 / 9)
    rule = EarlyStructure("kappa > .1 over 1")
    rule.settled(A)
    assert rule.settled(B)


def test_every_mask_of_the_window_counts():
    rule = EarlyStructure("kappa>=1 over 2")
    # As soon as a mask equals both of the two before it.
    assert [rule.settled(mask) for mask in (A, A, B, B, A, A, A, A)] == [False] * 6 + [True, True]
    strict = EarlyStructure("kappa>1 over 1")
    assert not any(strict.settled(A) for _ in range(4))
    assert strict.kappa == 1


def test_layers_that_are_all_dense_never_settle():
    rule = EarlyStructure("kappa>=0 over 1")
    full = masks([1, 1], [1])
    assert [rule.settled(full) for _ in range(3)] == [False] * 3


def test_a_rule_keeps_its_own_copy_and_goes_on_from_its_state():
    rule = EarlyStructure("kappa>0.9 over 2")
    live = {name: mask.clone() for name, mask in A.items()}
    rule.settled(live)
    live["0"].zero_()
    rule.settled(A)
    other = EarlyStructure("kappa>0.9 over 2")
    other.load_state_dict(rule.state_dict())
    assert rule.settled(A)
    assert other.settled(A)


@pytest.mark.parametrize(
    "rule", ["", "kappa", "kappa>0.9", "kappa>2 over 5", "kappa>0.9 over 0", "kappa<0.9 over 5", "jaccard>0.9 over 5"]
)
def test_other_rules_are_refused(rule):
    with pytest.raises(RecipeError, match=r"freeze_when: .* is no rule; write 'kappa>0.9 over 5'"):
        EarlyStructure(rule)
    with pytest.raises(RecipeError, match="is no rule"):
        recipe("dnw", algorithm__freeze_when=rule)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("ltr", {}, "freeze_when: the mask of algorithm 'ltr' does not change while it trains"),
        ("static", {}, "freeze_when: the mask of algorithm 'static'"),
        ("gmp", {}, "freeze_when: algorithm 'gmp' would stop before it has reached its density"),
        ("edge-popup", {}, "freeze_when: algorithm 'edge-popup' trains nothing but its mask"),
        ("dnw", {"algorithm__freeze_epoch": 2}, "freeze_epoch and freeze_when cannot be given together"),
    ],
)
def test_where_it_makes_no_sense(name, changes, words):
    with pytest.raises(RecipeError, match=words):
        recipe(name, algorithm__freeze_when="kappa>0.9 over 1", **changes)


class StopAt(SilentObserver):
    def __init__(self, epoch):
        self.epoch = epoch

    def epoch_done(self, record):
        if record.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "window"), [("dnw", 1), ("set", 1), ("snfs", 2), ("rigl", 2), ("dnw-global", 2)])
def test_it_freezes_as_a_freeze_at_that_epoch_does_and_resumes(name, window, tmp_path):
    rule = f"kappa>=0.05 over {window}"
    result = train(recipe(name, epochs=6, algorithm__freeze_when=rule), tmp_path / "auto", device="cpu")
    run = open_run(tmp_path / "auto")
    when = result.final.frozen_epoch
    assert when is not None
    assert when > window
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["frozen_epoch"] for line in lines] == [None] * when + [when] * (7 - when)
    assert [line["settled_kappa"] is None for line in lines] == [not window < line["epoch"] <= when for line in lines]
    assert lines[when]["settled_kappa"] >= 0.05
    assert all(line["settled_kappa"] < 0.05 for line in lines[window + 1 : when])
    assert result.to_dict()["frozen_epoch"] == when
    by_hand = train(recipe(name, epochs=6, algorithm__freeze_epoch=when), tmp_path / "hand", device="cpu")
    other = open_run(tmp_path / "hand")
    for one, two in zip(run, other, strict=True):
        for layer in one.layers:
            np.testing.assert_array_equal(one.mask(layer), two.mask(layer))
            np.testing.assert_array_equal(one.weight(layer), two.weight(layer))
    assert by_hand.final.dense_gradient_steps == result.final.dense_gradient_steps
    assert by_hand.final.frozen_epoch == when
    for epoch in {1, when - 1, when, 5}:
        path = tmp_path / f"stopped-{epoch}"
        again = recipe(name, epochs=6, algorithm__freeze_when=rule)
        with pytest.raises(KeyboardInterrupt):
            train(again, path, device="cpu", observer=StopAt(epoch))
        train(again, path, device="cpu", resume=True)
        assert differences(run, open_run(path)) == []


def test_a_mask_that_never_settles_is_never_frozen():
    result = train(recipe("dnw", algorithm__freeze_when="kappa>=1 over 3"), None, device="cpu")
    assert result.final.frozen_epoch is None
    assert result.final.dense_gradient_steps == 24
