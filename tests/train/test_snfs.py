"""SNFS: step by step against the oracle, and how weights are shared out over the layers."""

import hypothesis.strategies as st
import pytest
import torch
from evolving_pairs import PER_EPOCH, STEPS, Pair, close, conv_net, dyadic, mlp, of_a_few_values, of_the_network, same
from hypothesis import given
from numpy_evolving import NumpySNFS
from torch import nn

from masktools.errors import RecipeError
from masktools_train.algorithms import SNFS
from masktools_train.algorithms.redistribution import redistributed
from masktools_train.sparsifier import Sparsifier


def oracle(**options):
    def build(optimizer, weights, others, masks, sparsifier):
        del sparsifier
        return NumpySNFS(optimizer, weights, others, masks, STEPS, PER_EPOCH, **options)

    return build


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("distribution", ["erk", "uniform"])
@pytest.mark.parametrize("share", ["momentum", "none"])
def test_training_equals_the_oracle_step_by_step(share, distribution, optimizer):
    rule = SNFS(redistribution=share)
    pair = Pair(mlp(), rule, optimizer, oracle(share=share == "momentum"), distribution=distribution)
    pair.train(close, of_the_network())
    assert pair.moved == STEPS // PER_EPOCH - 1
    assert (len(pair.counts) > 1) == (share == "momentum")
    assert {sum(counts) for counts in pair.counts} == {pair.sparsifier.target}
    # The optimizer knows inactive weights, and yet none of them comes back.
    for layer in pair.sparsifier.layers:
        slot = next(v for v in pair.optimizer.state[layer.parameter].values() if v.shape == layer.parameter.shape)
        assert slot[~layer.mask.bool()].count_nonzero() > 0


@pytest.mark.parametrize("share", ["momentum", "none"])
def test_ties_are_broken_as_the_oracle_breaks_them(share):
    rule = SNFS(rate=0.8, rate_end=0.1, redistribution=share)
    build = oracle(rate=0.8, end=0.1, share=share == "momentum")
    pair = Pair(dyadic(conv_net()), rule, "dyadic", build, distribution="uniform", dense_layers=["last"])
    pair.train(same, of_a_few_values())
    assert pair.moved == STEPS // PER_EPOCH - 1
    assert {sum(counts) for counts in pair.counts} == {pair.sparsifier.target}
    assert {counts[-1] for counts in pair.counts} == {15}


def test_freezing_cuts_the_state_of_inactive_weights():
    pair = Pair(mlp(), SNFS(), "momentum", oracle(), freeze_step=0)
    inputs = torch.randn(8, 7, dtype=torch.float64)
    for _ in range(3):
        pair.optimizer.zero_grad()
        pair.model(inputs).square().mean().backward()
        pair.optimizer.step()
    pair.optimizer.state_dict()
    for layer in pair.sparsifier.layers:
        assert not pair.optimizer.state[layer.parameter]["momentum_buffer"][~layer.mask.bool()].any()
    assert pair.sparsifier.dense_gradient_steps == 0


def test_the_rate_falls_as_a_cosine():
    rule = SNFS()
    assert rule.dropped(1000, 0, 100) == 500
    assert rule.dropped(1000, 50, 100) == 253  # .005 + .495 / 2 = .2525, rounded up
    assert rule.dropped(1000, 100, 100) == 5


def test_shares_by_hand():
    assert redistributed(100, [3.0, 1.0], [200, 200]) == [75, 25]
    # .99 of 50 is 49.5: 25.5 are beyond, spread over both until the second has them all; 49.5 + 50.5, rounded.
    assert redistributed(100, [3.0, 1.0], [50, 200]) == [49, 51]
    assert redistributed(7, [1.0, 1.0], [100, 100]) == [4, 3]
    assert redistributed(9, [0.0, 0.0, 0.0], [9, 9, 9]) == [3, 3, 3]
    # Nearly dense layers: .99 of all places are too few.
    assert redistributed(3, [1.0, 1.0], [2, 1]) == [2, 1]
    assert redistributed(0, [1.0], [4]) == [0]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 500)), min_size=1, max_size=8), st.data())
def test_shares_add_up_and_fit(layers, data):
    worth, free = [w for w, _ in layers], [f for _, f in layers]
    total = data.draw(st.integers(0, sum(free)))
    counts = redistributed(total, worth, free)
    assert sum(counts) == total
    assert all(0 <= count <= places for count, places in zip(counts, free, strict=True))
    if total <= sum(int(0.99 * places) for places in free):
        assert all(count <= 0.99 * places for count, places in zip(counts, free, strict=True))


def test_what_it_needs():
    model = nn.Linear(4, 4)
    plain = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(RecipeError, match="algorithm 'snfs' counts in epochs: give steps_per_epoch="):
        Sparsifier(model, plain, SNFS(), density=0.5, total_steps=9)
    with pytest.raises(RecipeError, match="needs an optimizer with momentum above 0"):
        Sparsifier(model, plain, SNFS(), density=0.5, total_steps=9, steps_per_epoch=3)
