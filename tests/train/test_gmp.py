"""Gradual pruning: the curve by hand, and step by step against the oracle."""

import pytest
import torch
from evolving_pairs import PER_EPOCH, STEPS, Pair, close, conv_net, dyadic, mlp, of_a_few_values, of_the_network, same
from numpy_evolving import NumpyGMP

from masktools.errors import RecipeError
from masktools_train.algorithms import GMP


def oracle(**options):
    def build(optimizer, weights, others, masks, sparsifier):
        together = sparsifier.distribution == "global"
        counts = {
            layer.name: layer.size if together else layer.target
            for layer in sparsifier.layers
            if not together or not layer.prunable
        }
        total = sparsifier.target if together else None
        return NumpyGMP(optimizer, weights, others, masks, STEPS, PER_EPOCH, counts=counts, total=total, **options)

    return build


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
def test_training_equals_the_oracle_step_by_step(distribution, optimizer):
    pair = Pair(mlp(), GMP(delta_t=5), optimizer, oracle(delta_t=5), distribution=distribution)
    assert pair.sparsifier.active == pair.sparsifier.size
    pair.train(close, of_the_network())
    # Steps 5, 10, .. 25 and 27; at the last two the small layers of a budget of their own may have nothing to prune.
    assert pair.moved in ((6,) if distribution == "global" else (5, 6))
    assert pair.sparsifier.active == pair.sparsifier.target
    assert pair.sparsifier.dense_gradient_steps == 5


@pytest.mark.parametrize("distribution", ["global", "uniform"])
def test_ties_are_broken_as_the_oracle_breaks_them(distribution):
    rule, build = GMP(delta_t=7, t_start=0.25, t_end=1.0), oracle(delta_t=7, start=0.25, end=1.0)
    pair = Pair(dyadic(conv_net()), rule, "dyadic", build, distribution=distribution, dense_layers=["first"])
    pair.train(same, of_a_few_values())
    assert pair.sparsifier.active == pair.sparsifier.target
    assert pair.sparsifier.layers[0].count == pair.sparsifier.layers[0].size


def test_the_curve_by_hand():
    rule = GMP(delta_t=100, t_start=0.0, t_end=1.0)
    # At half way 1 - (1/2)^3 = 7/8 of the pruning is done: 900 * 7/8 = 787.5, rounded down.
    assert rule.kept(1000, 100, 500, 1000) == 1000 - 787
    assert rule.kept(1000, 100, 1000, 1000) == 100
    assert rule.kept(1000, 100, 0, 1000) == 1000
    assert [step for step in range(1, 1001) if rule.prunes(step, 1000)] == list(range(100, 1001, 100))
    # A last pruning where the curve ends, so that the density is reached whatever the interval.
    assert [step for step in range(1, 1001) if GMP(delta_t=400).prunes(step, 1000)] == [400, 750]
    assert [step for step in range(1, 21) if GMP().prunes(step, 20)] == [15]
    assert [step for step in range(1, 31) if GMP(delta_t=10).reads_dense_gradient(step, 100)] == list(range(1, 11))


def test_what_it_refuses():
    with pytest.raises(ValueError, match="t_end must be after t_start"):
        GMP(t_start=0.8)
    with pytest.raises(RecipeError, match="freeze: algorithm 'gmp' would stop before it has reached its density"):
        Pair(mlp(), GMP(), "momentum", oracle(delta_t=5), freeze_step=3)


def test_a_pruned_weight_never_comes_back():
    pair = Pair(mlp(), GMP(delta_t=1), "momentum", oracle(delta_t=1), distribution="global")
    gone = {layer.name: torch.zeros_like(layer.mask, dtype=torch.bool) for layer in pair.sparsifier.layers}
    gradients = of_the_network()
    for _ in range(STEPS):
        found = gradients(pair)
        for name, parameter in pair.model.named_parameters():
            parameter.grad = torch.from_numpy(found[name].copy())
        pair.optimizer.step()
        for layer in pair.sparsifier.layers:
            assert not (gone[layer.name] & layer.mask.bool()).any()
            gone[layer.name] |= ~layer.mask.bool()
