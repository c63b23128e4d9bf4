"""Networks of a few modules and a way through them, and their operator graphs."""

import torch
from torch import nn

from masktools_train.tracing import trace


class Net(nn.Module):
    """A network of the given modules and the given way through them."""

    def __init__(self, through, **modules):
        super().__init__()
        self.through = through
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs):
        return self.through(self, *inputs)


def vectors(features=4):
    return torch.rand(3, features)


def images(channels=3, side=6):
    return torch.rand(2, channels, side, side)


def tokens(count=5, features=4):
    return torch.rand(2, count, features)


def graph(through, example=None, **modules):
    return trace(Net(through, **modules), vectors() if example is None else example, method="eager")


def brief(topology):
    return [(node.op, node.inputs, node.weight or node.label) for node in topology.nodes]


def kinds(topology):
    return [(node.op, node.shape) for node in topology.nodes]


def a_and_b():
    return {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4)}


def with_vector_norm(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))
