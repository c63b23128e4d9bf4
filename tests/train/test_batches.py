"""Batches: every example once, the same from wherever an epoch is entered, augmented as a slow loop would."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from masktools.errors import RecipeError
from masktools_train.data import Dataset, load_data
from masktools_train.progress import SilentObserver
from masktools_train.recipe import load_recipe, resolve_recipe
from masktools_train.seeding import generator
from masktools_train.trainer import Trainer


def numbered(count):
    """Examples that know their number: input, target and number agree."""
    inputs = np.arange(count, dtype=np.float64)[:, None] * [1.0, 10.0]
    return Dataset.from_arrays(inputs, np.arange(count), inputs, np.arange(count), normalize=False)


def images(count=12, channels=2, height=5, width=6):
    random = np.random.default_rng(0)
    values = random.integers(1, 256, (count, channels, height, width), dtype=np.uint8)
    return Dataset.from_arrays(values, np.arange(count), values, np.arange(count))


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 5), st.integers(0, 10))
def test_an_epoch_sees_every_example_once(count, size, epoch, seed):
    batches = numbered(count).training(size, seed)
    seen, lengths = [], []
    for inputs, targets in batches.epoch(epoch):
        assert torch.equal(inputs[:, 1], 10.0 * targets)
        seen += targets.tolist()
        lengths.append(len(targets))
    assert sorted(seen) == list(range(count))
    assert len(lengths) == batches.steps_per_epoch == -(-count // min(size, count))
    assert all(length == min(size, count) for length in lengths[:-1])
    assert lengths[-1] > 0


AUGMENT = [(), ("flip",), ("shift",), ("flip", "shift"), ("shift", "flip")]


@pytest.mark.parametrize("augment", AUGMENT)
@pytest.mark.parametrize("start", range(6))
def test_entering_in_the_middle_gives_the_same_batches(augment, start):
    whole = list(images().training(5, 1, augment).epoch(3)) * 1
    part = list(images().training(5, 1, augment).epoch(3, start))
    assert len(part) == max(0, 3 - start)
    for (a, b), (c, d) in zip(whole[start:], part, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_epochs_and_seeds_have_orders_of_their_own():
    def order(seed, epoch):
        return torch.cat([targets for _, targets in numbered(50).training(8, seed).epoch(epoch)]).tolist()

    orders = [tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len(set(orders)) == 9
    assert order(1, 2) == order(1, 2)
    assert all(list(one) != sorted(one) for one in orders)


@pytest.mark.parametrize("augment", AUGMENT)
def test_augmentation_does_not_change_the_order(augment):
    plain = [targets for _, targets in images().training(5, 1).epoch(0)]
    other = [targets for _, targets in images().training(5, 1, augment).epoch(0)]
    assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def slowly(data, seed, epoch, augment, most):
    """One pixel at a time, from the same random numbers."""
    count = len(data.train_targets)
    random = generator("cpu", seed, "order", epoch)
    order = torch.randperm(count, generator=random).tolist()
    flips = (torch.rand(count, generator=random) < 0.5).tolist() if "flip" in augment else [False] * count
    moves = np.full((2, count), most)
    if "shift" in augment:
        moves = torch.randint(0, 2 * most + 1, (2, count), generator=random).numpy()
    values = data.normalized(data.train_inputs).numpy()
    _, channels, height, width = values.shape
    result = np.zeros_like(values)
    for place, example in enumerate(order):
        for channel in range(channels):
            for row in range(height):
                for column in range(width):
                    above = row + moves[0, place] - most
                    left = column + moves[1, place] - most
                    if 0 <= above < height and 0 <= left < width:
                        from_column = width - 1 - left if flips[place] else left
                        result[place, channel, row, column] = values[example, channel, above, from_column]
    return result, flips, moves


@pytest.mark.parametrize("most", [1, 2, 4, 9])
@pytest.mark.parametrize("augment", AUGMENT)
def test_flips_and_shifts_equal_a_slow_loop(augment, most):
    data = images(count=30)
    found = torch.cat([inputs for inputs, _ in data.training(7, 5, augment, most).epoch(2)]).numpy()
    expected, flips, moves = slowly(data, 5, 2, augment, most)
    np.testing.assert_array_equal(found, expected)
    if "flip" in augment:
        assert 3 < sum(flips) < 27
    if "shift" in augment:
        assert len(set(moves[0].tolist())) > 2
        assert (moves[0] != moves[1]).any()
        assert moves.min() >= 0
        assert moves.max() <= 2 * most


def test_what_is_no_image_cannot_be_augmented():
    with pytest.raises(RecipeError, match="are no images and cannot be augmented"):
        numbered(4).training(2, 0, ["flip"])


def test_inputs_are_normalised_float32():
    data = images()
    (inputs, targets), *_ = data.training(12, 0).epoch(0)
    assert inputs.dtype == torch.float32
    raw = data.train_inputs.double()
    expected = (raw - raw.mean((0, 2, 3), keepdim=True)) / raw.std((0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(inputs.double(), expected[targets], rtol=1e-5, atol=1e-6)


def test_a_last_batch_that_batch_norm_cannot_take_is_named():
    size = len(load_data("digits", {}).train_targets) - 1
    options = {"model.name": "small_networks:with_vector_norm", "batch_size": size, "epochs": 1}
    trainer = Trainer(resolve_recipe(load_recipe("digits"), options), torch.device("cpu"), SilentObserver())
    with pytest.raises(RecipeError, match=f"batch_size {size} leaves a last batch of one example"):
        trainer.run(lambda _: None)
