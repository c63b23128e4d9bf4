"""Sparse networks as training might leave them: random masks, weights, biases and statistics."""

import numpy as np
import torch
from torch import nn

from masktools_train.sparse_layer import prunable_weights


def sparse(model, density, seed=0, dense=()):
    """Draw masks and all that a model holds; return the masks."""
    random = torch.Generator().manual_seed(seed)
    weights = prunable_weights(model)
    masks = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 1.0 if name.endswith("weight") and parameter.ndim == 1 else 0.0
            parameter.copy_(scale + 0.3 * torch.randn(parameter.shape, generator=random))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn(buffer.shape, generator=random))
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=random))
        for name, weight in weights.items():
            share = 1.0 if name in dense else density
            mask = torch.rand(weight.shape, generator=random) < share
            fan_in = max(1.0, share * weight[0].numel())
            weight.copy_(torch.randn(weight.shape, generator=random) * mask * (2 / fan_in) ** 0.5)
            masks[name] = mask.numpy().astype(np.bool_)
    return masks


class DenseBlocks(nn.Module):
    """Layers that read all maps before them, side by side."""

    def __init__(self, channels=3, growth=12, layers=4, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(channels, growth, 3, padding=1, bias=False)
        width, parts = growth, []
        for _ in range(layers):
            parts.append(
                nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, growth, 3, padding=1, bias=False))
            )
            width += growth
        self.parts = nn.ModuleList(parts)
        self.transition = nn.Conv2d(width, growth, 1)
        self.head = nn.Linear(growth, classes)

    def forward(self, inputs):
        maps = [self.stem(inputs)]
        for part in self.parts:
            maps.append(part(torch.cat(maps, dim=1)))
        hidden = nn.functional.avg_pool2d(torch.relu(self.transition(torch.cat(maps, dim=1))), 2)
        return self.head(hidden.mean((2, 3)))


class UpAndDown(nn.Module):
    """Down by strides, up by interpolation, with maps of the way down beside those of the way up."""

    def __init__(self, channels=3, width=16, classes=4):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.ReLU())
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.join = nn.Sequential(nn.Conv2d(3 * width, width, 3, padding=1), nn.ReLU())
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, inputs):
        first = self.first(inputs)
        deep = self.deep(self.down(first))
        return self.last(self.join(torch.cat([self.up(deep), first], dim=1)))


class Tied(nn.Module):
    """A layer that is used twice, so that what it reads and what it makes are the same units."""

    def __init__(self, features=20, width=40, classes=5):
        super().__init__()
        self.inner = nn.Linear(features, width)
        self.twice = nn.Linear(width, width)
        self.head = nn.Linear(width, classes)

    def forward(self, inputs):
        return self.head(torch.relu(self.twice(torch.relu(self.twice(torch.relu(self.inner(inputs)))))))
