"""SET: step by step against the oracle, and the random choice."""

import numpy as np
import pytest
import torch
from evolving_pairs import PER_EPOCH, STEPS, Pair, close, conv_net, dyadic, mlp, of_a_few_values, of_the_network, same
from numpy_evolving import NumpySET
from torch import nn

from masktools.errors import RecipeError
from masktools_train.algorithms import SET
from masktools_train.seeding import generator
from masktools_train.sparsifier import Sparsifier


def oracle(zeta, every):
    def build(optimizer, weights, others, masks, sparsifier):
        shapes = [mask.shape for mask in masks.values()]

        def lots(step, index):
            return torch.rand(shapes[index], generator=generator("cpu", sparsifier.seed, "grow", step, index)).numpy()

        return NumpySET(optimizer, weights, others, masks, STEPS, PER_EPOCH, zeta=zeta, every=every, lots=lots)

    return build


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize(("distribution", "interval", "every"), [("erk", "1ep", 6), ("uniform", "4it", 4)])
def test_training_equals_the_oracle_step_by_step(distribution, interval, every, optimizer):
    rule = SET(zeta=0.4, interval=interval)
    pair = Pair(mlp(), rule, optimizer, oracle(0.4, every), distribution=distribution)
    pair.train(close, of_the_network())
    assert pair.moved == STEPS // every - 1  # nothing is exchanged after the last step
    assert len(pair.counts) == 1


def test_ties_are_broken_as_the_oracle_breaks_them():
    pair = Pair(
        dyadic(conv_net()),
        SET(interval="2ep"),
        "dyadic",
        oracle(0.3, 12),
        distribution="uniform",
        dense_layers=["first"],
    )
    pair.train(same, of_a_few_values())
    assert pair.moved == 2
    assert len(pair.counts) == 1


def test_what_grows_is_uniform_over_all_that_was_not_kept():
    hits = np.zeros(20)
    for seed in range(300):
        model = nn.Linear(20, 1, bias=False)
        with torch.no_grad():
            model.weight.copy_(torch.arange(1.0, 21.0))
        optimizer = torch.optim.SGD(model.parameters(), 0.0)
        mask = torch.arange(20).view(1, 20) >= 10
        rule = SET(zeta=0.5, interval="1it")
        sparsifier = Sparsifier(model, optimizer, rule, density=0.5, total_steps=9, seed=seed, masks={"weight": mask})
        model.weight.grad = torch.zeros(1, 20)
        optimizer.step()
        hits += sparsifier.masks()["weight"].numpy()[0]
        # What was dropped and grows back keeps its value; other new weights start at 0.
        weight = model.weight.detach()[0]
        assert not weight[:10].any()
        assert all(value in (0, place + 1) for place, value in enumerate(weight.tolist()))
    assert (hits[15:] == 300).all()
    # 5 of 15 places grow: 100 of 300 on average, with a standard deviation of 8.
    assert 65 < hits[:15].min() <= hits[:15].max() < 135


def test_epochs_need_a_length():
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(RecipeError, match="algorithm 'set' counts in epochs: give steps_per_epoch="):
        Sparsifier(model, optimizer, SET(), density=0.5, total_steps=9)
    with pytest.raises(ValueError, match="at least 1ep"):
        SET(interval="0it")
