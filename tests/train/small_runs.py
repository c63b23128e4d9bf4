"""Data and recipes that train in a fraction of a second; recipes name these functions as a user's would."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from masktools_train.progress import SilentObserver
from masktools_train.recipe import Recipe, resolve_recipe

TRAIN, TEST, FEATURES, CLASSES = 96, 60, 10, 3


def blobs(train=TRAIN, test=TEST, seed=0):
    """Three overlapping clouds of points."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((CLASSES, FEATURES))
    targets = np.arange(train + test) % CLASSES
    inputs = (centres[targets] + random.standard_normal((train + test, FEATURES))).astype(np.float32)
    return inputs[:train], targets[:train], inputs[train:], targets[train:]


def pictures(train=40, test=20, side=6):
    """Random images with bytes for pixels; the class is which of three rows is bright."""
    random = np.random.default_rng(1)
    images = random.integers(0, 100, (train + test, 1, side, side), dtype=np.uint8)
    targets = np.arange(train + test) % CLASSES
    images[np.arange(train + test), 0, targets] += 100
    return images[:train], targets[:train], images[train:], targets[train:]


def noisy(input_shape, classes, rate=0.5):
    """A network with dropout and batch norm: it draws random numbers itself and has buffers."""
    return nn.Sequential(
        nn.Linear(input_shape[0], 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(rate), nn.Linear(16, classes)
    )


class Tied(nn.Module):
    """A network that uses one layer under two names."""

    def __init__(self, features, classes):
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.again = self.inner
        self.head = nn.Linear(features, classes)

    def forward(self, inputs):
        return self.head(torch.relu(self.again(torch.relu(self.inner(inputs)))))


def tied(input_shape, classes):
    return Tied(input_shape[0], classes)


class Odd(nn.Module):
    """A network whose operator graph cannot be traced."""

    def __init__(self, features, classes):
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, inputs):
        return torch.cumsum(self.fc(inputs), 1)


def odd(input_shape, classes):
    return Odd(input_shape[0], classes)


class Listener(SilentObserver):
    """Notes all that training says."""

    def __init__(self):
        self.warnings, self.steps, self.epochs, self.announced = [], 0, [], None

    def started(self, title, steps, epochs):
        self.announced = (steps, epochs)

    def stepped(self, count):
        self.steps += count

    def epoch_done(self, record):
        self.epochs.append(record.epoch)

    def warned(self, message):
        self.warnings.append(message)


ALGORITHMS: Mapping[str, dict[str, Any]] = {
    "dense": {"algorithm.name": "dense"},
    "static": {"algorithm.name": "static"},
    "rigl": {"algorithm.name": "rigl", "algorithm.options.delta_t": 3},
    "rigl-frozen": {"algorithm.name": "rigl", "algorithm.options.delta_t": 3, "algorithm.freeze_epoch": 2},
    "dnw": {"algorithm.name": "dnw"},
    "dnw-global": {"algorithm.name": "dnw", "algorithm.distribution": "global"},
    "dnw-frozen": {"algorithm.name": "dnw", "algorithm.freeze_epoch": 2},
    "dnw-settled": {"algorithm.name": "dnw", "algorithm.freeze_when": "kappa>0.3 over 1"},
    "set": {"algorithm.name": "set"},
    "snfs": {"algorithm.name": "snfs"},
    "gmp": {"algorithm.name": "gmp", "algorithm.options.delta_t": 4},
    "snip": {"algorithm.name": "snip"},
    "grasp": {"algorithm.name": "grasp", "algorithm.options.per_class": 5},
    "synflow": {"algorithm.name": "synflow", "algorithm.options.iterations": 5},
    "edge-popup": {"algorithm.name": "edge-popup"},
    "ltr": {"algorithm.name": "ltr", "algorithm.density": 0.6, "algorithm.options.rewind": "1ep"},
    "ltr-it": {"algorithm.name": "ltr", "algorithm.density": 0.6, "algorithm.options.rewind": "5it"},
    "ltr-start": {"algorithm.name": "ltr", "algorithm.density": 0.6, "algorithm.options.rewind": "0it"},
}
"""Settings of each algorithm for `recipe`, at 6 steps an epoch."""


def recipe(algorithm="dnw", /, **changes: Any) -> Recipe:
    """Return a recipe of 4 epochs of 6 steps; keys of `changes` are dotted names with ``__`` for the dot."""
    raw = {
        "name": "small",
        "epochs": 4,
        "batch_size": 16,
        "model": {"name": "mlp", "options": {"widths": [12, 8]}},
        "data": {"name": "small_runs:blobs"},
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
        "algorithm": {"density": 0.2},
    }
    return resolve_recipe(raw, ALGORITHMS[algorithm] | {key.replace("__", "."): v for key, v in changes.items()})
