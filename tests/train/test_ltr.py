"""Lottery tickets with rewinding, watched step by step through the training loop."""

import math

import numpy as np
import pytest
import torch
from small_runs import recipe

from masktools.errors import RecipeError
from masktools_train.progress import SilentObserver
from masktools_train.recipe import load_recipe, resolve_recipe
from masktools_train.trainer import Trainer

EPOCHS, PER_EPOCH = 4, 6


class Watched(Trainer):
    """A trainer that writes down what each step starts from."""

    def __init__(self, *args):
        super().__init__(*args)
        self.seen = []
        epoch = self._batches.epoch

        def noted(number, start=0):
            for inputs, targets in epoch(number, start):
                self.seen.append(self.now(inputs))
                yield inputs, targets

        self._batches.epoch = noted

    def now(self, inputs):
        self._optimizer.state_dict()  # clears what it has of inactive weights
        slots = [
            value.clone()
            for state in self._optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor) and value.ndim > 0
        ]
        return {
            "level": self.level,
            "step": self.sparsifier.step,
            "weights": {name: value.detach().clone() for name, value in self.model.state_dict().items()},
            "masks": self.sparsifier.masks(),
            "active": self.sparsifier.active,
            "lr": self._optimizer.param_groups[0]["lr"],
            "slots": slots,
            "optimizer": id(self._optimizer),
            "inputs": inputs.clone(),
        }


def run(rewind, **changes):
    trainer = Watched(
        recipe("ltr", algorithm__options__rewind=rewind, **changes), torch.device("cpu"), SilentObserver()
    )
    ends = []
    trainer.run(lambda now: ends.append((now.level, now.sparsifier.step, now.now(torch.zeros(0)), now.records[-1])))
    return trainer, ends


def levels(trainer):
    found = {}
    for entry in trainer.seen:
        found.setdefault(entry["level"], []).append(entry)
    return found


@pytest.mark.parametrize(("rewind", "k"), [("0it", 0), ("0ep", 0), ("1ep", 6), ("3it", 3), ("2ep", 12), ("8it", 8)])
def test_rewinding_restores_weights_schedule_and_data_order_with_a_fresh_optimizer(rewind, k):
    trainer, _ = run(rewind, optimizer__name="adamw")
    by_level = levels(trainer)
    first = by_level[0]
    assert [entry["step"] for entry in first] == list(range(24))
    assert len(by_level) == len(trainer._levels.counts) > 2
    for level, entries in by_level.items():
        if level == 0:
            continue
        assert [entry["step"] for entry in entries] == list(range(k, 24))
        start = entries[0]
        for name, value in start["weights"].items():
            mask = start["masks"].get(name, torch.ones_like(value, dtype=torch.bool))
            # What is active is exactly what it was at step k of the first, dense pass; the rest is 0.
            assert torch.equal(value, first[k]["weights"][name] * mask), name
        assert start["slots"] == []
        assert start["optimizer"] != by_level[level - 1][-1]["optimizer"]
        for entry in entries:
            assert torch.equal(entry["inputs"], first[entry["step"]]["inputs"])
            if entry["step"] > k:
                assert entry["lr"] == first[entry["step"]]["lr"]
                assert entry["slots"]
    assert trainer.planned_steps == len(trainer.seen) == 24 + (24 - k) * (len(by_level) - 1)
    later = EPOCHS - k // PER_EPOCH
    assert trainer.planned_epochs == trainer.epoch == EPOCHS + later * (len(by_level) - 1)


def by_hand(weights, masks, count):
    """Prune globally by magnitude to `count`: sort all active weights of all layers, cut."""
    rows = sorted(
        (-abs(float(w)), layer, index)
        for layer, (name, weight) in enumerate(weights.items())
        for index, (w, m) in enumerate(zip(weight.ravel(), masks[name].ravel(), strict=True))
        if m
    )
    kept = {name: np.zeros(weight.size, dtype=bool) for name, weight in weights.items()}
    names = list(weights)
    for _, layer, index in rows[:count]:
        kept[names[layer]][index] = True
    return {name: mask.reshape(weights[name].shape) for name, mask in kept.items()}


@pytest.mark.parametrize("rewind", ["1ep", "3it"])
@pytest.mark.parametrize("density", [0.6, 0.11])
def test_each_level_prunes_a_fifth_of_what_is_left_by_the_trained_magnitudes(density, rewind):
    trainer, ends = run(rewind, algorithm__density=density)
    size = trainer.sparsifier.size
    target = math.ceil(round(density * size, 9))
    by_level, left = levels(trainer), size
    finals = {level: entry for level, step, entry, _ in ends if step == 24}
    masks = {name: np.ones(mask.shape, dtype=bool) for name, mask in trainer.sparsifier.masks().items()}
    for level in range(len(by_level)):
        assert {entry["active"] for entry in by_level[level]} == {left}
        for entry in by_level[level]:
            assert sum(int(mask.sum()) for mask in entry["masks"].values()) == left
            for name, mask in entry["masks"].items():
                np.testing.assert_array_equal(mask.numpy(), masks[name])
        if level + 1 < len(by_level):
            left = max(target, left - left // 5)
            weights = {name: finals[level]["weights"][name].numpy() for name in masks}
            masks = by_hand(weights, masks, left)
    assert left == target == trainer.sparsifier.active
    assert trainer.records[-1].density == target / size
    assert [record.level for record in trainer.records] == sorted(record.level for record in trainer.records)


def test_momentum_starts_from_nothing_at_every_level():
    trainer, _ = run("1ep", optimizer__momentum=0.9)
    for level, entries in levels(trainer).items():
        assert entries[0]["slots"] == []
        if level:
            # v = g at the first step of a level: the second finds a buffer that is zero wherever the mask is.
            buffers = dict(zip(trainer.model.state_dict(), entries[1]["slots"], strict=True))
            assert any(buffer.any() for buffer in buffers.values())
            for name, mask in entries[1]["masks"].items():
                assert not buffers[name][~mask].any()


def test_the_share_can_be_another():
    trainer, _ = run("0it", algorithm__density=0.1, algorithm__options__prune_rate=0.5, epochs=1)
    counts = [trainer.sparsifier.size]  # 120 + 96 + 24
    assert counts == [240]
    assert trainer._levels.counts == [240, 120, 60, 30, 24]


def test_buffers_rewind_too():
    trainer, _ = run("1ep", model__name="small_runs:noisy")
    by_level = levels(trainer)
    for level in range(1, len(by_level)):
        start = by_level[level][0]["weights"]
        assert torch.equal(start["1.running_mean"], by_level[0][6]["weights"]["1.running_mean"])
        assert int(start["1.num_batches_tracked"]) == 6


def test_dense_layers_are_never_pruned():
    trainer, _ = run("0it", algorithm__dense_layers=["last", "fc1.weight"], algorithm__density=0.25, epochs=1)
    assert {layer.name: layer.count for layer in trainer.sparsifier.layers} == {
        "fc1.weight": 120, "fc2.weight": 24, "fc3.weight": 24,
    }  # fmt: skip


def test_density_one_is_a_single_level():
    trainer, _ = run("1ep", algorithm__density=1.0)
    assert trainer._levels.counts == [240]
    assert trainer.planned_steps == len(trainer.seen) == 24


@pytest.mark.parametrize("rewind", ["4ep", "24it", "100it"])
def test_rewinding_to_the_end_or_beyond_is_refused(rewind):
    with pytest.raises(RecipeError, match=r"rewind .* is not before the end of training"):
        run(rewind)


def test_the_order_of_the_data_is_that_of_the_batches_alone():
    trainer, _ = run("3it")
    fresh = trainer.data.training(16, trainer.recipe.seed)
    for entry in trainer.seen:
        number, offset = divmod(entry["step"], PER_EPOCH)
        inputs, _ = next(iter(fresh.epoch(number, offset)))
        assert torch.equal(inputs, entry["inputs"])


def test_layers_that_stay_dense_are_no_part_of_the_share():
    options = {"algorithm.name": "ltr", "algorithm.dense_layers": ["first"], "algorithm.density": 0.7}
    trainer = Trainer(
        resolve_recipe(load_recipe("digits"), {**options, "epochs": 3, "model.options.widths": [10]}),
        torch.device("cpu"),
        SilentObserver(),
    )
    # 640 weights stay dense; of the other 100, 20 are pruned first and then the 10 that are left to go.
    active = []
    trainer.run(lambda now: active.append([layer.count for layer in now.sparsifier.layers]))
    assert active[0] == [640, 100]
    assert [640, 80] in active
    assert active[-1] == [640, 70]
