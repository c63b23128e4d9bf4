"""Edge-popup: step by step against the oracle; what trains and what does not."""

import numpy as np
import pytest
import torch
from evolving_pairs import PER_EPOCH, STEPS, Pair, close, conv_net, dyadic, mlp, of_a_few_values, of_the_network, same
from numpy_evolving import NumpyEdgePopup
from torch import nn

from masktools.errors import RecipeError
from masktools_train.algorithms import EdgePopup


def build(optimizer, weights, others, masks, sparsifier):
    scores = {layer.name: layer.scores.numpy() for layer in sparsifier.layers}
    counts = {layer.name: layer.target for layer in sparsifier.layers}
    return NumpyEdgePopup(optimizer, weights, others, masks, STEPS, PER_EPOCH, scores=scores, counts=counts)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_training_equals_the_oracle_step_by_step(distribution, optimizer):
    pair = Pair(mlp(), EdgePopup(), optimizer, build, distribution=distribution)
    pair.train(close, of_the_network())
    assert pair.moved > 5
    assert len(pair.counts) == 1
    for layer in pair.sparsifier.layers:
        close(layer.scores.numpy(), pair.oracle.scores[layer.name])


def test_ties_are_broken_as_the_oracle_breaks_them():
    pair = Pair(dyadic(conv_net()), EdgePopup(), "dyadic", build, dense_layers=["last"])
    for layer in pair.sparsifier.layers:
        layer.scores.copy_((4 * layer.scores).round() / 4)
        pair.oracle.scores[layer.name] = layer.scores.numpy().copy()
    found = of_a_few_values()(pair)
    for name, parameter in pair.model.named_parameters():
        parameter.grad = torch.from_numpy(found[name].copy())
    pair.optimizer.step()
    pair.oracle.step(found)
    pair.train(same, of_a_few_values())
    assert sum(s.size - len(np.unique(abs(s))) for s in pair.oracle.scores.values()) > 10


def test_density_is_the_share_that_is_kept():
    """The rate means kept here and in the paper, and pruned elsewhere."""
    pair = Pair(nn.Linear(100, 10).double(), EdgePopup(), "momentum", build, density=0.1)
    assert pair.sparsifier.active == 100
    scores = pair.sparsifier.layers[0].scores.abs()
    mask = pair.sparsifier.masks()["weight"]
    assert scores[mask].min() > scores[~mask].max()


def test_scores_are_drawn_kaiming_uniform_with_a_of_root_5():
    layer = nn.Conv2d(25, 40, 2).double()
    pair = Pair(layer, EdgePopup(), "momentum", build)
    scores = pair.sparsifier.layers[0].scores
    bound = 0.1  # 1 / sqrt(25 * 2 * 2), which is gain sqrt(2 / 6) times sqrt(3 / fan in)
    assert 0.99 * bound < scores.abs().max() <= bound
    assert scores.mean().abs() < 0.01 * bound * 3
    assert scores.std() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_everything_else_stays_unless_asked():
    for others in (False, True):
        model = conv_net()
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        pair = Pair(model, EdgePopup(train_others=others), "momentum", build)
        for number in range(4):
            torch.manual_seed(number)
            pair.optimizer.zero_grad()
            model(torch.randn(6, 2, 3, 6, dtype=torch.float64)).square().mean().backward()
            pair.optimizer.step()
        layers = {layer.name: layer for layer in pair.sparsifier.layers}
        for name, value in model.named_parameters():
            if name in layers:
                assert torch.equal(value, before[name] * layers[name].mask)
                assert torch.equal(layers[name].dense, before[name])
            else:
                assert torch.equal(value, before[name]) != others, name


def test_freezing_and_a_common_budget_are_refused():
    with pytest.raises(RecipeError, match="freeze: algorithm 'edge-popup' trains nothing but its mask"):
        Pair(mlp(), EdgePopup(), "momentum", build, freeze_step=2)
    with pytest.raises(RecipeError, match="'global' does not go with edge-popup; use uniform, erk"):
        Pair(mlp(), EdgePopup(), "momentum", build, distribution="global")
