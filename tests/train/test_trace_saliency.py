"""Reachability through traced networks against the pattern of zeros of a gradient: two ways to the same fact.

With weights set to the mask, positive inputs, and activations and norms made identities, every path adds a positive
term to the derivative of the summed output: a weight's is zero exactly when no path leads through it.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from masktools.topology.reach import effective_masks
from masktools_train.masked_layers import prunable_weights
from masktools_train.models.conv import Conv
from masktools_train.models.mlp import MLP
from masktools_train.models.resnet import CifarResNet
from masktools_train.tracing import trace


class Grouped(nn.Module):
    """Groups, dilation, stride, uneven kernels, padding 'same', adaptive pooling to a grid that does not divide."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 6, (3, 2), stride=(2, 1), padding=(1, 0))
        self.grouped = nn.Conv2d(6, 6, 3, padding="same", groups=3, bias=False)
        self.dilated = nn.Conv2d(6, 4, 3, padding=2, dilation=2)
        self.norm = nn.BatchNorm2d(4)
        self.depthwise = nn.Conv2d(4, 4, (1, 3), groups=4)
        self.head = nn.Linear(4 * 2 * 3, 3)

    def forward(self, inputs):
        hidden = nn.functional.relu(self.stem(inputs), inplace=True)
        both = self.grouped(hidden)
        both += hidden
        hidden = nn.functional.avg_pool2d(self.norm(self.dilated(both)), 2, 1, 1)
        return self.head(nn.functional.adaptive_avg_pool2d(self.depthwise(hidden), (2, 3)).flatten(1))


class Tied(nn.Module):
    """One weight three times, once of it beside a skip."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(9, 9)
        self.outer = nn.Linear(9, 4)

    def forward(self, inputs):
        hidden = torch.relu(self.inner(inputs))
        hidden = hidden + self.inner(torch.relu(self.inner(hidden)))
        return self.outer(hidden)


class TwoHeads(nn.Module):
    """A branch that leads nowhere, a global mean, and an input that is read twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, stride=2)
        self.flat = nn.Linear(50, 5)
        self.unused = nn.Linear(50, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, inputs):
        self.unused(inputs.flatten(1))
        return self.head(self.conv(inputs).mean((2, 3)) + self.flat(inputs.view(len(inputs), -1)))


NETS = {
    "perceptron": (lambda: MLP([7, 9, 8, 4]), (7,)),
    "perceptron on images": (lambda: MLP([12, 6, 3]), (1, 3, 4)),
    "conv": (lambda: Conv((2, 5, 6), 3, (3, 4)), (2, 5, 6)),
    "resnet": (lambda: CifarResNet((2, 7, 6), 4, 1), (2, 7, 6)),
    "grouped": (Grouped, (2, 7, 8)),
    "tied": (Tied, (9,)),
    "two heads": (TwoHeads, (2, 5, 5)),
}


def linearised(model):
    """Copy the model in float64 with norms as identities and maxima as means, which let every path through."""
    model = copy.deepcopy(model).double()
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d | nn.ReLU):
                setattr(parent, name, nn.Identity())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


def salient(model, masks, shape):
    """Return where the derivative of the summed output by a weight, times the weight, is not zero."""
    weights = prunable_weights(model)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(torch.from_numpy(masks[name]))
    inputs = torch.rand(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    gradients = torch.autograd.grad(model(inputs).sum(), list(weights.values()), allow_unused=True)
    return {
        name: np.zeros(masks[name].shape, bool) if g is None else (g * weights[name]).detach().numpy() != 0
        for name, g in zip(weights, gradients, strict=True)
    }


@pytest.mark.parametrize("net", NETS)
def test_effective_weights_are_those_with_a_gradient(net):
    build, shape = NETS[net]
    torch.manual_seed(0)
    model = build()
    topology = trace(model, torch.rand(2, *shape))
    line = linearised(model).eval()
    shapes = {name: tuple(weight.shape) for name, weight in prunable_weights(model).items() if name in topology.layers}
    between = 0
    for density in (0.03, 0.08, 0.2, 0.5, 1.0):
        for seed in range(5):
            random = np.random.default_rng(seed)
            masks = {name: random.random(size) < density for name, size in shapes.items()}
            unused = {n: np.ones(tuple(w.shape), bool) for n, w in prunable_weights(model).items() if n not in shapes}
            expected = salient(line, masks | unused, shape)
            found = effective_masks(topology, masks)
            for name in shapes:
                np.testing.assert_array_equal(found[name], expected[name], err_msg=f"{name} at {density}, seed {seed}")
            assert not any(expected[name].any() for name in unused)
            kept, active = (sum(int(m.sum()) for m in part.values()) for part in (found, masks))
            between += 0 < kept < active
    assert between >= 3
