"""Every step of static, RigL and DNW against an independent reimplementation, the optimizer's state included."""

import numpy as np
import pytest
import torch
from numpy_training import SGD, AdamW, Reference, two_layers
from torch import nn

from masktools_train.algorithms import REGISTRY
from masktools_train.sparsifier import Sparsifier

STEPS = 40

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, SGD, {"lr": 0.25}),
    "momentum": (torch.optim.SGD, SGD, {"lr": 0.125, "momentum": 0.9, "weight_decay": 0.02}),
    "nesterov": (torch.optim.SGD, SGD, {"lr": 0.125, "momentum": 0.75, "weight_decay": 0.01, "nesterov": True}),
    "adamw": (torch.optim.AdamW, AdamW, {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
}
RULES = {
    "static-erk": ("static", "erk", {}),
    "rigl-erk": ("rigl", "erk", {"delta_t": 3, "alpha": 0.6}),
    "rigl-uniform": ("rigl", "uniform", {"delta_t": 1, "alpha": 1.0, "t_end": 0.5}),
    "dnw-uniform": ("dnw", "uniform", {}),
    "dnw-erk": ("dnw", "erk", {}),
    "dnw-global": ("dnw", "global", {}),
}


def values(named):
    return {name: value.detach().numpy().copy() for name, value in named}


class Pair:
    """The package and the oracle, side by side from the same start."""

    def __init__(self, model, rule, optimizer, density=0.3, dense_layers=(), freeze=None, seed=5):
        algorithm, distribution, options = RULES[rule]
        theirs, ours, settings = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
        self.model = model
        start = values(model.named_parameters())
        self.optimizer = theirs(model.parameters(), **settings)
        self.sparsifier = Sparsifier(
            model,
            self.optimizer,
            REGISTRY[algorithm].model_validate(options),
            density=density,
            distribution=distribution,
            total_steps=STEPS,
            dense_layers=dense_layers,
            freeze_step=freeze,
            seed=seed,
        )
        layers = {layer.name: layer for layer in self.sparsifier.layers}
        self.trains_dense, self.freeze = algorithm == "dnw", freeze
        together = distribution == "global"
        self.reference = Reference(
            rule if together else algorithm,
            ours(**settings),
            {name: start[name] for name in layers},
            {name: value for name, value in start.items() if name not in layers},
            values(self.sparsifier.masks().items()),
            {name: layer.count for name, layer in layers.items() if not together or name in dense_layers},
            total=self.sparsifier.target,
            steps=STEPS,
            freeze=freeze,
            **options,
        )

    def step(self, gradients, check):
        for name, parameter in self.model.named_parameters():
            parameter.grad = torch.from_numpy(gradients[name].copy())
        self.optimizer.step()
        exchanged = self.reference.step(gradients)
        self.compare(check)
        return exchanged

    def compare(self, check):
        reference, sparsifier = self.reference, self.sparsifier
        masks = values(sparsifier.masks().items())
        effective = reference.effective()
        hidden = self.trains_dense and not reference.frozen
        for layer in sparsifier.layers:
            name = layer.name
            np.testing.assert_array_equal(masks[name], reference.masks[name], err_msg=name)
            assert layer.count == masks[name].sum()
            check(layer.parameter.detach().numpy(), effective[name], err_msg=name)
            assert not layer.parameter.detach().numpy()[~masks[name]].any()
            if hidden:
                check(layer.dense.numpy(), reference.trained[name], err_msg=name)
            else:
                assert layer.dense is None
            self.compare_state(name, layer.parameter, check, None if hidden else masks[name])
        for name, parameter in self.model.named_parameters():
            if name not in masks:
                check(parameter.detach().numpy(), reference.others[name], err_msg=name)
                self.compare_state(name, parameter, check, None)
        assert sparsifier.active == sparsifier.target
        assert sparsifier.step == reference.done
        assert sparsifier.dense_gradient_steps == reference.dense_gradients

    def compare_state(self, name, parameter, check, mask):
        expected = self.reference.optimizer.state.get(name, {})
        found = {
            slot: value.numpy()
            for slot, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape
        }
        assert found.keys() == expected.keys()
        for slot, value in found.items():
            # What the optimizer has of inactive weights is nothing; it is cleared where it could be seen.
            check(value if mask is None else np.where(mask, value, 0), expected[slot], err_msg=f"{name} {slot}")


def close(found, expected, err_msg=""):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=err_msg)


def same(found, expected, err_msg=""):
    np.testing.assert_array_equal(found, expected, err_msg=err_msg)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_training_a_network_equals_the_oracle_step_by_step(rule, optimizer):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 4)).double()
    random = np.random.default_rng(2)
    pair = Pair(model, rule, optimizer)
    pair.compare(close)
    moved = 0
    for _ in range(STEPS):
        inputs, targets = random.standard_normal((16, 7)), random.standard_normal((16, 4))
        before = {name: mask.copy() for name, mask in pair.reference.masks.items()}
        loss, gradients = two_layers({**pair.reference.effective(), **pair.reference.others}, inputs, targets)
        # The module holds the effective weights, so that torch's own loss and gradients are those of the oracle.
        theirs = nn.functional.mse_loss(model(torch.from_numpy(inputs)), torch.from_numpy(targets))
        assert theirs.item() == pytest.approx(loss, rel=1e-10)
        found = torch.autograd.grad(theirs, list(model.parameters()))
        for (name, _), value in zip(model.named_parameters(), found, strict=True):
            close(value.numpy(), gradients[name])
        pair.step(gradients, close)
        moved += any((before[name] != mask).any() for name, mask in pair.reference.masks.items())
    assert (moved > 0) == (not rule.startswith("static"))


DYADIC = {
    "sgd": (torch.optim.SGD, SGD, {"lr": 0.5}),
    "momentum": (torch.optim.SGD, SGD, {"lr": 0.5, "momentum": 0.5}),
    "nesterov": (torch.optim.SGD, SGD, {"lr": 0.5, "momentum": 0.5, "nesterov": True}),
}


def conv_net():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 6, (1, 3), groups=2), nn.Flatten(),
        nn.Linear(12, 5), nn.Linear(5, 3),
    ).double()  # fmt: skip


@pytest.mark.parametrize("dense_layers", [(), ("2.weight",)])
@pytest.mark.parametrize("optimizer", DYADIC)
@pytest.mark.parametrize("rule", RULES)
def test_ties_are_broken_as_the_oracle_breaks_them(rule, optimizer, dense_layers):
    """Weights and gradients are small binary fractions: all sums are exact, and equal values abound."""
    model, random = conv_net(), np.random.default_rng(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(random.integers(-2, 3, parameter.shape) / 2.0))
    pair = Pair(model, rule, DYADIC[optimizer], dense_layers=dense_layers)
    pair.compare(same)
    ties = 0
    for _ in range(STEPS):
        for value in pair.reference.effective().values():
            ties += value.size - len(np.unique(abs(value)))
        pair.step({name: random.integers(-1, 2, p.shape) / 4.0 for name, p in model.named_parameters()}, same)
    assert ties > 1000


@pytest.mark.parametrize("freeze", [0, 1, 12, STEPS])
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("rule", ["rigl-erk", "rigl-uniform", "dnw-uniform", "dnw-global"])
def test_frozen_training_equals_the_oracle_and_leaves_the_mask(rule, optimizer, freeze):
    torch.manual_seed(4)
    model, random = conv_net(), np.random.default_rng(5)
    pair = Pair(model, rule, optimizer, freeze=freeze)
    pair.compare(close)
    masks, cost = {}, None
    for number in range(STEPS):
        if pair.sparsifier.step == freeze:
            masks, cost = pair.sparsifier.masks(), pair.sparsifier.dense_gradient_steps
        pair.step({name: random.standard_normal(p.shape) for name, p in model.named_parameters()}, close)
        if number >= freeze:
            assert pair.sparsifier.frozen
            assert all(torch.equal(mask, masks[name]) for name, mask in pair.sparsifier.masks().items())
            assert pair.sparsifier.dense_gradient_steps == cost
            assert all(layer.dense is None for layer in pair.sparsifier.layers)


@pytest.mark.parametrize("rule", ["static-erk", "rigl-erk", "dnw-uniform", "dnw-global"])
@pytest.mark.parametrize("freeze", [0, 3])
def test_the_gradients_of_a_frozen_network_are_those_of_the_oracle_under_the_mask(rule, freeze):
    """Whatever kernel computes them: nothing for an inactive weight, the exact gradient for all else."""
    torch.manual_seed(6)
    model = nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 4)).double()
    random = np.random.default_rng(7)
    pair = Pair(model, rule, "adamw", freeze=None if rule.startswith("static") else freeze)
    for number in range(20):
        inputs, targets = random.standard_normal((16, 7)), random.standard_normal((16, 4))
        loss, gradients = two_layers({**pair.reference.effective(), **pair.reference.others}, inputs, targets)
        theirs = nn.functional.mse_loss(model(torch.from_numpy(inputs)), torch.from_numpy(targets))
        assert theirs.item() == pytest.approx(loss, rel=1e-10)
        pair.optimizer.zero_grad()
        theirs.backward()
        for name, parameter in model.named_parameters():
            mask = pair.reference.masks.get(name)
            found = parameter.grad.numpy()
            if mask is not None and number >= freeze:
                close(found * mask, gradients[name] * mask)
            else:
                close(found, gradients[name])
        pair.optimizer.step()
        pair.reference.step(gradients)
        pair.compare(close)
