"""The sparsifier in anyone's loop: what it takes, what it refuses, and the traps that it must not fall into."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from masktools.errors import RecipeError
from masktools_train.algorithms import DNW, LTR, Dense, RigL, Static
from masktools_train.masked_layers import prunable_weights
from masktools_train.sparsifier import Sparsifier


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 10), nn.ReLU(), nn.Linear(10, 3)
    )


NAMES = ("0.weight", "4.weight", "6.weight")

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "adam-l2": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01, initial_accumulator_value=0.0),
    "loop": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, foreach=False),
}


def sparse(model, algorithm, *, optimizer="sgd", **options):
    built = OPTIMIZERS[optimizer](model.parameters())
    return built, Sparsifier(model, built, algorithm, **{"density": 0.2, "total_steps": 60, **options})


def step(model, optimizer, seed):
    random = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(8, 1, 6, 6, generator=random), torch.randint(3, (8,), generator=random)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()


def state_sized(optimizer, parameter):
    slots = optimizer.state.get(parameter, {})
    return {k: v for k, v in slots.items() if isinstance(v, torch.Tensor) and v.shape == parameter.shape}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("algorithm", [Static(), RigL(delta_t=4, alpha=0.9), DNW()], ids=lambda a: a.name)
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
            if algorithm.name != "dnw":
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


# -- the first masks ------------------------------------------------------------------------------------------


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


# -- what is refused ------------------------------------------------------------------------------------------


def test_a_closure_is_refused_and_nothing_is_changed():
    model = net()
    built, sparsifier = sparse(model, Static())
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for call in (lambda: built.step(lambda: 0.0), lambda: built.step(closure=lambda: 0.0)):
        with pytest.raises(RecipeError, match="closure"):
            call()
    assert sparsifier.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    built.step(None)
    assert sparsifier.step == 1


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


# -- which weights --------------------------------------------------------------------------------------------


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


# -- another optimizer, stopping, going on --------------------------------------------------------------------


def test_detached_hooks_do_nothing_and_attached_ones_work_once():
    model = net()
    built, sparsifier = sparse(model, Static())
    step(model, built, 0)
    other = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier.attach(other, step=40)
    step(model, other, 1)
    assert sparsifier.step == 41
    step(model, built, 2)  # no longer ours
    assert sparsifier.step == 41
    assert any(layer.parameter.detach()[~sparsifier.masks()[layer.name]].any() for layer in sparsifier.layers)
    sparsifier.attach(other, step=0)
    assert not any(layer.parameter.detach()[~sparsifier.masks()[layer.name]].any() for layer in sparsifier.layers)
    sparsifier.detach()
    step(model, other, 3)
    assert sparsifier.step == 0


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (Static(), {}),
        (RigL(delta_t=3, alpha=0.8), {}),
        (RigL(delta_t=3, alpha=0.8), {"freeze_step": 4}),
        (DNW(), {}),
        (DNW(), {"distribution": "global"}),
        (DNW(), {"freeze_step": 10}),
        (DNW(), {"freeze_step": 4}),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_saved_state_goes_on_to_the_same_bits(algorithm, options, optimizer, tmp_path):
    def go_on(model, built, first, last):
        for number in range(first, last):
            step(model, built, number)

    model = net()
    built, sparsifier = sparse(model, algorithm, optimizer=optimizer, **options)
    go_on(model, built, 0, 7)
    parts = {"model": model.state_dict(), "optimizer": built.state_dict(), "sparsifier": sparsifier.state_dict()}
    torch.save(parts, tmp_path / "state.pt")
    go_on(model, built, 7, 20)

    copy = net(seed=99)
    other, second = sparse(copy, algorithm, optimizer=optimizer, **options)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    copy.load_state_dict(saved["model"])
    other.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["sparsifier"])
    go_on(copy, other, 7, 20)
    for a, b in zip(model.state_dict().values(), copy.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert (second.step, second.dense_gradient_steps) == (sparsifier.step, sparsifier.dense_gradient_steps)
    for one, two in zip(sparsifier.layers, second.layers, strict=True):
        assert torch.equal(one.mask, two.mask)
        assert one.count == two.count
        assert (one.dense is None) == (two.dense is None)
        assert one.dense is None or torch.equal(one.dense, two.dense)


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


@pytest.mark.parametrize("algorithm", [RigL(delta_t=3, alpha=0.8), DNW()], ids=lambda a: a.name)
def test_a_state_from_before_freezing_thaws(algorithm):
    """Going back to an earlier state of the same objects goes back to everything, dense gradients included."""
    model = net()
    built, sparsifier = sparse(model, algorithm, freeze_step=8)
    for number in range(4):
        step(model, built, number)
    early = copy.deepcopy([model.state_dict(), built.state_dict(), sparsifier.state_dict()])
    for number in range(4, 12):
        step(model, built, number)
    late = [value.clone() for value in model.state_dict().values()]
    for part, state in zip((model, built, sparsifier), early, strict=True):
        part.load_state_dict(state)
    assert not sparsifier.frozen
    for number in range(4, 12):
        step(model, built, number)
    assert all(torch.equal(a, b) for a, b in zip(late, model.state_dict().values(), strict=True))
    assert sparsifier.frozen


@pytest.mark.parametrize("algorithm", [RigL(delta_t=3), DNW()], ids=lambda a: a.name)
def test_a_frozen_network_trains_under_autocast(algorithm):
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    built, sparsifier = sparse(model, algorithm, freeze_step=2)
    masks = None
    for number in range(6):
        built.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(torch.randn(8, 12, generator=torch.Generator().manual_seed(number))).square().mean()
        loss.backward()
        built.step()
        if number >= 2:
            assert all(torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
        masks = sparsifier.masks()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("algorithm", [RigL(delta_t=2, alpha=0.9), DNW()], ids=lambda a: a.name)
def test_starting_over_with_another_optimizer_thaws_too(algorithm):
    model = net()
    built, sparsifier = sparse(model, algorithm, freeze_step=3)
    for number in range(5):
        step(model, built, number)
    masks, spent = sparsifier.masks(), sparsifier.dense_gradient_steps
    other = torch.optim.SGD(model.parameters(), 0.3)
    sparsifier.attach(other, step=0)
    assert all(torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
    for number in range(4):
        step(model, other, number)
        if number == 0 and algorithm.name == "dnw":
            # All weights train again, the former inactive ones from 0.
            hidden = [layer.dense[~masks[layer.name]] for layer in sparsifier.layers]
            assert all(int(values.count_nonzero()) > 0.1 * len(values) for values in hidden)
    assert sparsifier.dense_gradient_steps == spent + (3 if algorithm.name == "dnw" else 1)
    if algorithm.name == "rigl":
        assert any(not torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
    assert [layer.dense for layer in sparsifier.layers] == [None] * 3
