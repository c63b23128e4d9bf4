"""The masks that training starts with, drawn or given, and options that the sparsifier refuses."""

import pytest
import torch
from torch import nn
from user_loop import NAMES, net, sparse, step

from masktools.errors import RecipeError
from masktools_train.algorithms import DNW, LTR, Dense, RigL, Static
from masktools_train.sparse_layer import prunable_weights
from masktools_train.sparsifier import Sparsifier


def test_random_masks_have_their_count_and_differ_by_layer_and_seed():
    masks = {}
    for seed in (0, 1):
        _, sparsifier = sparse(net(), Static(), seed=seed, distribution="uniform")
        masks[seed] = sparsifier.masks()
        assert {k: int(v.sum()) for k, v in masks[seed].items()} == {"0.weight": 8, "4.weight": 128, "6.weight": 6}
    assert any(not torch.equal(masks[0][name], masks[1][name]) for name in NAMES)
    _, again = sparse(net(3), Static(), seed=0, distribution="uniform")
    assert all(torch.equal(again.masks()[name], masks[0][name]) for name in NAMES)
    twins = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30))
    _, pair = sparse(twins, Static())
    assert not torch.equal(*pair.masks().values())


def test_random_masks_are_uniform():
    hits = torch.zeros(40)
    for seed in range(400):
        model = nn.Linear(20, 2)
        _, sparsifier = sparse(model, Static(), seed=seed)
        hits += sparsifier.masks()["weight"].reshape(-1)
    # Each weight is active in 80 of 400 on average, with a standard deviation of 8.
    assert hits.sum() == 400 * 8
    assert 40 < hits.min() <= hits.max() < 120
    assert 4 < hits.std() < 12


@pytest.mark.parametrize("algorithm", [Static(), RigL(), DNW(), LTR()], ids=lambda a: a.name)
def test_with_given_masks_every_active_weight_keeps_its_initial_value(algorithm):
    random = torch.Generator().manual_seed(9)
    model = net()
    start = {name: weight.detach().clone() for name, weight in prunable_weights(model).items()}
    masks = {name: torch.rand(weight.shape, generator=random) < 0.4 for name, weight in start.items()}
    _, sparsifier = sparse(model, algorithm, masks=masks)
    for layer in sparsifier.layers:
        assert torch.equal(sparsifier.masks()[layer.name], masks[layer.name])
        assert torch.equal(layer.parameter.detach(), start[layer.name] * masks[layer.name])
        assert (layer.parameter.detach()[masks[layer.name]] != 0).all()
        assert layer.count == int(masks[layer.name].sum())
        assert torch.equal(sparsifier.initial[layer.name], start[layer.name])
    assert sparsifier.active == sum(int(mask.sum()) for mask in masks.values())


def test_given_masks_are_kept_and_their_counts_too():
    model = net()
    masks = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in prunable_weights(model).items()}
    for number, mask in enumerate(masks.values(), start=1):
        mask.view(-1)[: 7 * number] = True
    for algorithm in (Static(), RigL(delta_t=2)):
        model = net()
        built, sparsifier = sparse(model, algorithm, masks=masks)
        for number in range(12):
            step(model, built, number)
            assert [layer.count for layer in sparsifier.layers] == [7, 14, 21]
            assert [int(mask.sum()) for mask in sparsifier.masks().values()] == [7, 14, 21]
    # The caller's masks are the caller's.
    assert [int(mask.sum()) for mask in masks.values()] == [7, 14, 21]


def given(**changes):
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in prunable_weights(net()).items()}
    masks.update(changes)
    return {name: mask for name, mask in masks.items() if mask is not None}


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        (given(**{"4.weight": None}), "layer '4.weight' is without a mask"),
        (given(**{"7.weight": torch.ones(2, dtype=torch.bool)}), "layer '7.weight' is not in the model"),
        (given(**{"6.weight": torch.ones(10, 3, dtype=torch.bool)}), "layer '6.weight'.*does not fit"),
        (given(**{"6.weight": torch.ones(3, 10)}), "layer '6.weight': torch.float32 mask"),
        (given(**{"6.weight": torch.ones(3, 10, dtype=torch.uint8)}), "layer '6.weight': torch.uint8 mask"),
        ({}, "layer '0.weight' is without a mask"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(masks, words):
    with pytest.raises(RecipeError, match=words):
        sparse(net(), Static(), masks=masks)


def test_a_step_without_gradients_or_a_closure_counts():
    model = net()
    built, sparsifier = sparse(model, Static())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    built.step(None)
    built.step(closure=None)
    assert sparsifier.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("algorithm", "options", "words"),
    [
        (Static(), {"density": 0}, "density must be above 0"),
        (DNW(), {"density": 1.5}, "density must be above 0 and at most 1, got 1.5"),
        (DNW(), {"density": 1.5, "distribution": "global"}, "at most 1"),
        (Static(), {"distribution": "global"}, "'global' does not go with static; use erk, uniform"),
        (LTR(), {"distribution": "erk"}, "'erk' does not go with ltr; use global"),
        (Static(), {"freeze_step": 3}, "freeze: the mask of algorithm 'static'"),
        (LTR(), {"freeze_step": 3}, "freeze"),
        (Dense(), {"density": 0.5}, "algorithm 'dense' has density 1, not 0.5"),
        (Static(), {"dense_layers": ["1.weight"]}, "dense layer '1.weight' is no layer"),
    ],
)
def test_options_that_do_not_go_together_are_refused(algorithm, options, words):
    with pytest.raises(RecipeError, match=words):
        sparse(net(), algorithm, **options)


def test_a_model_without_layers_and_an_optimizer_without_them():
    model = nn.BatchNorm1d(3)
    with pytest.raises(RecipeError, match="no linear or convolutional weight"):
        sparse(model, Static())
    model = net()
    built = torch.optim.SGD([p for name, p in model.named_parameters() if name != "4.weight"], 0.1)
    with pytest.raises(RecipeError, match=r"the optimizer does not train '4.weight'"):
        Sparsifier(model, built, Static(), density=0.5, total_steps=5)
