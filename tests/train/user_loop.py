"""A small network and one step of a training loop of anyone's."""

import torch
from torch import nn

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
    optimizer.state_dict()  # from here on it is what it says
    slots = optimizer.state.get(parameter, {})
    return {k: v for k, v in slots.items() if isinstance(v, torch.Tensor) and v.shape == parameter.shape}
