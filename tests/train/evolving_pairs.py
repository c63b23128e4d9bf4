"""The package and an independent reimplementation side by side, from the same start."""

import numpy as np
import torch
from numpy_training import SGD, AdamW, two_layers
from torch import nn

from masktools_train.sparsifier import Sparsifier

STEPS, PER_EPOCH = 36, 6

OPTIMIZERS = {
    "momentum": (torch.optim.SGD, SGD, {"lr": 0.125, "momentum": 0.9, "weight_decay": 0.02}),
    "adamw": (torch.optim.AdamW, AdamW, {"lr": 0.02, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
    # All sums are exact in binary fractions: equal values abound.
    "dyadic": (torch.optim.SGD, SGD, {"lr": 0.5, "momentum": 0.5}),
}


def close(found, expected, err_msg=""):
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12, err_msg=err_msg)


def same(found, expected, err_msg=""):
    np.testing.assert_array_equal(found, expected, err_msg=err_msg)


def arrays(named):
    return {name: value.detach().numpy().copy() for name, value in named}


def mlp():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, 4)).double()


def conv_net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 6, (1, 3), groups=2), nn.Flatten(),
        nn.Linear(12, 5), nn.Linear(5, 3),
    ).double()  # fmt: skip


class Pair:
    """Both of them; `build(optimizer, weights, others, masks, sparsifier)` makes the oracle."""

    def __init__(self, model, algorithm, optimizer, build, *, density=0.3, seed=5, **options):
        theirs, ours, settings = OPTIMIZERS[optimizer]
        self.model, start = model, arrays(model.named_parameters())
        self.optimizer = theirs(model.parameters(), **settings)
        self.sparsifier = Sparsifier(
            model, self.optimizer, algorithm, density=density, total_steps=STEPS, steps_per_epoch=PER_EPOCH, seed=seed,
            **options,
        )  # fmt: skip
        names = [layer.name for layer in self.sparsifier.layers]
        self.oracle = build(
            ours(**settings),
            {name: start[name] for name in names},
            {name: value for name, value in start.items() if name not in names},
            arrays(self.sparsifier.masks().items()),
            self.sparsifier,
        )
        self.moved, self.counts = 0, set()

    def train(self, check, gradients):
        """Train to the end; `gradients(pair)` gives those of a step."""
        self.compare(check)
        for _ in range(STEPS):
            before = {name: mask.copy() for name, mask in self.oracle.masks.items()}
            found = gradients(self)
            for name, parameter in self.model.named_parameters():
                parameter.grad = torch.from_numpy(found[name].copy())
            self.optimizer.step()
            self.oracle.step(found)
            self.compare(check)
            self.moved += any((before[name] != mask).any() for name, mask in self.oracle.masks.items())

    def compare(self, check):
        masks = arrays(self.sparsifier.masks().items())
        effective = self.oracle.effective()
        for layer in self.sparsifier.layers:
            name, weight = layer.name, layer.parameter.detach().numpy()
            same(masks[name], self.oracle.masks[name], name)
            assert layer.count == masks[name].sum()
            check(weight, effective[name], name)
            assert not weight[~masks[name]].any()
            self.compare_state(name, layer.parameter, check, layer.mask.numpy())
        for name, parameter in self.model.named_parameters():
            if name not in masks:
                check(parameter.detach().numpy(), self.oracle.others[name], name)
                self.compare_state(name, parameter, check, 1.0)
        self.counts.add(tuple(int(mask.sum()) for mask in masks.values()))
        assert self.sparsifier.dense_gradient_steps == self.oracle.dense_gradients

    def compare_state(self, name, parameter, check, mask):
        """Compare what an optimizer has of the weights: of inactive ones nothing, unless that is kept up."""
        algorithm = self.sparsifier.algorithm
        if (algorithm.keeps_dense_state or algorithm.trains_dense) and not self.sparsifier.frozen:
            mask = 1.0
        found = {
            slot: value.numpy()
            for slot, value in self.optimizer.state.get(parameter, {}).items()
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape
        }
        expected = self.oracle.slots.get(name, {})
        assert found.keys() == expected.keys()
        for slot, value in found.items():
            check(value * mask, expected[slot], f"{name} {slot}")


def of_the_network(seed=2):
    """Gradients of the oracle's own derivation, for `mlp`."""
    random = np.random.default_rng(seed)

    def gradients(pair):
        inputs, targets = random.standard_normal((16, 7)), random.standard_normal((16, 4))
        return two_layers({**pair.oracle.effective(), **pair.oracle.others}, inputs, targets)[1]

    return gradients


def of_a_few_values(seed=3):
    """Gradients that are small binary fractions."""
    random = np.random.default_rng(seed)
    return lambda pair: {n: random.integers(-1, 2, p.shape) / 4.0 for n, p in pair.model.named_parameters()}


def dyadic(model, seed=4):
    """Give a model weights that are small binary fractions."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(random.integers(-2, 3, parameter.shape) / 2.0))
    return model
