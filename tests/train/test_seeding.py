"""Streams of random numbers that do not depend on each other."""

import itertools

import numpy as np
import pytest
import torch
from small_runs import recipe

from masktools_train import train
from masktools_train.seeding import derive, generator, numpy_generator, reseed, seeded


def test_a_stream_is_the_same_whatever_was_drawn_before():
    first = torch.randn(5, generator=generator("cpu", 3, "order", 7))
    torch.randn(100)
    generator("cpu", 3, "order", 6)
    np.random.default_rng(0).random(10)
    assert torch.equal(first, torch.randn(5, generator=generator("cpu", 3, "order", 7)))
    assert numpy_generator(3, "x", 1).random() == numpy_generator(3, "x", 1).random()


def test_seeds_purposes_and_indices_have_streams_of_their_own():
    coordinates = [
        (seed, purpose, *indices)
        for seed in (0, 1, 2, 2**31, 2**32, 2**63)
        for purpose in ("init", "order", "mask", "split")
        for indices in ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 0, 0))
    ]
    seeds = [derive(*coordinate) for coordinate in coordinates]
    clashes = [
        (one, other)
        for (one, a), (other, b) in itertools.combinations(zip(coordinates, seeds, strict=True), 2)
        if a == b
    ]
    assert not clashes
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_neighbouring_streams_are_not_correlated():
    draws = np.stack([numpy_generator(0, "order", epoch).standard_normal(2000) for epoch in range(20)])
    off_diagonal = np.corrcoef(draws)[~np.eye(20, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.11  # 380 / 2 coefficients of standard deviation 1 / sqrt(2000) = .022


def test_seeded_puts_the_global_state_back():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    with seeded(0, "init"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(0, "init"):
        assert torch.equal(torch.rand(3), inside)
    with seeded(1, "init"):
        assert not torch.equal(torch.rand(3), inside)


def test_seeded_puts_the_state_back_after_an_error():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)

    def fail():
        with seeded(0, "init"):
            torch.rand(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(torch.rand(3), expected)


def test_generators_of_other_devices_are_left_alone(monkeypatch):
    """`torch.manual_seed` would seed those of all devices, of which only the one that trains is put back."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("all devices were seeded"))
    before = torch.get_rng_state()
    train(recipe("snip", model__name="small_runs:noisy", epochs=1), device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    reseed(7, [torch.device("cpu")])
    assert torch.initial_seed() == 7
