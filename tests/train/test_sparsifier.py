"""The sparsifier in anyone's loop: the traps that it must not fall into, which weights it prunes and how many."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from user_loop import OPTIMIZERS, net, sparse, state_sized, step

from masktools_train.algorithms import DNW, LTR, SET, Dense, EdgePopup, RigL, Static
from masktools_train.sparse_layer import prunable_weights
from masktools_train.sparsifier import Sparsifier


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    "algorithm", [Static(), SET(interval="4it"), RigL(delta_t=4, alpha=0.9), DNW(), EdgePopup()], ids=lambda a: a.name
)
def test_nothing_revives_a_masked_weight_and_no_count_drifts(algorithm, optimizer):
    model = net()
    built, sparsifier = sparse(model, algorithm, optimizer=optimizer)
    counts = [layer.count for layer in sparsifier.layers]
    for number in range(60):
        step(model, built, number)
        masks = sparsifier.masks()
        assert [int(mask.sum()) for mask in masks.values()] == counts
        for name, parameter in prunable_weights(model).items():
            assert not parameter.detach()[~masks[name]].any()
            # Not after every step: what is looked at is cleared.
            if not algorithm.trains_dense and number % 7 == 6:
                for slot, value in state_sized(built, parameter).items():
                    assert not value[~masks[name]].any(), (name, slot)
    for name, parameter in prunable_weights(model).items():
        assert torch.isfinite(parameter).all()
        # Grown at 0 beside a dead unit, some stay 0; the rest has trained.
        assert int(parameter.detach().count_nonzero()) > 0.3 * int(sparsifier.masks()[name].sum())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_pruning_in_the_middle_of_training_clears_momentum_that_would_revive(optimizer):
    model = net()
    built, sparsifier = sparse(model, LTR(), optimizer=optimizer)
    for number in range(5):
        step(model, built, number)
    sparsifier.keep_largest_globally(100)
    for number in range(5):
        masks = sparsifier.masks()
        assert sparsifier.active == sum(int(mask.sum()) for mask in masks.values()) == 100
        for name, parameter in prunable_weights(model).items():
            assert not parameter.detach()[~masks[name]].any()
            assert all(not value[~masks[name]].any() for value in state_sized(built, parameter).values())
        step(model, built, number)


def test_without_a_sparsifier_momentum_does_revive_them():
    """The trap is real: else the tests above would test nothing."""
    model = net()
    built = OPTIMIZERS["sgd"](model.parameters())
    step(model, built, 0)
    with torch.no_grad():
        model[4].weight.zero_()
    model[4].weight.grad = torch.zeros_like(model[4].weight)
    built.step()
    assert model[4].weight.detach().any()


def test_weights_of_linear_and_convolutional_modules_are_pruned_and_no_others():
    model = nn.ModuleDict(
        {
            "a": nn.Conv1d(2, 3, 3),
            "b": nn.Conv3d(2, 3, 3),
            "c": nn.Embedding(5, 4),
            "d": nn.LayerNorm(4),
            "e": nn.Sequential(nn.Linear(4, 4), nn.Conv2d(1, 1, 1)),
        }
    )
    assert list(prunable_weights(model)) == ["a.weight", "b.weight", "e.0.weight", "e.1.weight"]
    assert list(prunable_weights(nn.Linear(2, 2))) == ["weight"]


def test_a_shared_weight_is_one_layer():
    shared = nn.Linear(6, 6)
    tied = nn.Linear(6, 6)
    tied.weight = shared.weight
    model = nn.Sequential(shared, nn.ReLU(), shared, tied)
    built, sparsifier = sparse(model, RigL(delta_t=2), density=0.5)
    assert [layer.name for layer in sparsifier.layers] == ["0.weight"]
    for number in range(6):
        built.zero_grad()
        model(torch.randn(4, 6, generator=torch.Generator().manual_seed(number))).square().sum().backward()
        built.step()
        assert torch.equal(model[3].weight != 0, sparsifier.masks()["0.weight"] & (model[0].weight != 0))
        assert int(sparsifier.masks()["0.weight"].sum()) == 18


def test_the_cost_in_dense_gradients():
    cost = {}
    for name, algorithm, options in (
        ("dense", Dense(), {"density": 1}),
        ("static", Static(), {}),
        ("rigl", RigL(delta_t=4, t_end=0.5), {"total_steps": 24}),
        ("rigl-frozen", RigL(delta_t=4, t_end=0.5), {"total_steps": 24, "freeze_step": 6}),
        ("dnw", DNW(), {}),
        ("dnw-frozen", DNW(), {"freeze_step": 5}),
        ("ltr, before it prunes", LTR(), {}),
    ):
        model = net()
        built, sparsifier = sparse(model, algorithm, **options)
        for number in range(24):
            step(model, built, number)
        cost[name] = sparsifier.dense_gradient_steps
    assert cost == {
        "dense": 24, "static": 0, "rigl": 2, "rigl-frozen": 1, "dnw": 24, "dnw-frozen": 5, "ltr, before it prunes": 24,
    }  # fmt: skip


def test_global_pruning_counts_by_hand():
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, -0.5, 3.0]]))
        model[1].weight.copy_(torch.tensor([[0.5, 0.1], [0.0, -4.0]]))
    built = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(model, built, LTR(), density=0.1, total_steps=5)
    sparsifier.keep_largest_globally(4)  # 4, 3, and of the three that tie at .5 the first two
    assert sparsifier.masks()["0.weight"].tolist() == [[True, True, True]]
    assert sparsifier.masks()["1.weight"].tolist() == [[False, False], [False, True]]
    assert [layer.count for layer in sparsifier.layers] == [3, 1]
    # What is pruned stays pruned, even where an active weight has become 0 and comes after it.
    with torch.no_grad():
        model[1].weight.zero_()
    sparsifier.keep_largest_globally(4)
    assert sparsifier.masks()["0.weight"].tolist() == [[True, True, True]]
    assert sparsifier.masks()["1.weight"].tolist() == [[False, False], [False, True]]
    with torch.no_grad():
        model[0].weight.zero_()
    sparsifier.keep_largest_globally(3)  # all four are 0: the last in order goes
    assert sparsifier.masks()["0.weight"].tolist() == [[True, True, True]]
    assert sparsifier.masks()["1.weight"].tolist() == [[False, False], [False, False]]


def test_levels_prune_exactly_the_share_and_end_at_the_target():
    counts = LTR(prune_rate=0.2).level_counts(1000, 300)
    assert counts == [1000, 800, 640, 512, 410, 328, 300]  # 410 = 512 - floor(102.4), 328 = 410 - 82, then what is left
    for size, target, rate in ((97, 3, 0.3), (12345, 678, 0.2), (5, 1, 0.1), (100, 100, 0.2)):
        counts = LTR(prune_rate=rate).level_counts(size, target)
        assert counts[0] == size
        assert counts[-1] == target
        for before, after in itertools.pairwise(counts):
            full = max(1, int(np.floor(round(rate * before, 9))))
            assert before - after == full or (after == target and before - after < full)


def test_dense_is_untouched():
    model, twin = net(), net()
    built, sparsifier = sparse(model, Dense(), density=1)
    plain = OPTIMIZERS["sgd"](twin.parameters())
    for number in range(10):
        step(model, built, number)
        step(twin, plain, number)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    assert sparsifier.active == sparsifier.size
