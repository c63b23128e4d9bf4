"""Networks that put maps side by side, and enlarged digits for those that halve their maps five times."""

import dataclasses
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from masktools_train.data import Dataset
from masktools_train.data.digits import digits

__all__ = ["densenet", "large_digits", "u_net"]


class DenseLayer(nn.Module):
    """Two convolutions after batch norm and ReLU each; their maps are put beside those that came in."""

    def __init__(self, before: int, growth: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(
            *(nn.BatchNorm2d(before), nn.ReLU(), nn.Conv2d(before, 4 * growth, 1, bias=False)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return more maps than came in."""
        return torch.cat([inputs, self.parts(inputs)], dim=1)


def densenet(input_shape: Sequence[int], classes: int, growth: int = 24, layers: int = 6) -> nn.Module:
    """Build a DenseNet-BC (Huang et al., arXiv 1608.06993) of three blocks."""
    width = 2 * growth
    parts: list[nn.Module] = [nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False)]
    for block in range(3):
        if block:
            half = width // 2
            parts += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, half, 1, bias=False), nn.AvgPool2d(2)]
            width = half
        for _ in range(layers):
            parts.append(DenseLayer(width, growth))
            width += growth
    parts += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)]
    return nn.Sequential(*parts)


def twice(before: int, after: int) -> nn.Sequential:
    """Return two convolutions, each with batch norm and ReLU."""
    return nn.Sequential(
        *(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
        *(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
    )


class UNet(nn.Module):
    """Down by maxima and up again by interpolation, beside the maps of the way down, to a mean over all places."""

    def __init__(self, channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList(twice(*pair) for pair in itertools.pairwise([channels, *widths]))
        upwards = [twice(narrow + wide, narrow) for narrow, wide in itertools.pairwise(widths)]
        self.up = nn.ModuleList(upwards[::-1])
        self.larger = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Linear(widths[0], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        maps = [self.down[0](inputs)]
        for part in self.down[1:]:
            maps.append(part(nn.functional.max_pool2d(maps[-1], 2)))
        hidden = maps.pop()
        for part in self.up:
            hidden = part(torch.cat([maps.pop(), self.larger(hidden)], dim=1))
        logits: Tensor = self.head(hidden.mean((2, 3)))
        return logits


def u_net(input_shape: Sequence[int], classes: int, widths: Sequence[int] = (32, 64, 128)) -> UNet:
    """Build a U-Net (Ronneberger et al., arXiv 1505.04597) with batch norm, which says the class of an image."""
    return UNet(input_shape[0], classes, widths)


def large_digits(times: int = 4) -> Dataset:
    """Load the embedded digits with every pixel repeated: 32 × 32 pixels."""

    def enlarged(images: Tensor) -> Tensor:
        return images.repeat_interleave(times, 2).repeat_interleave(times, 3)

    data = digits()
    return dataclasses.replace(data, train_inputs=enlarged(data.train_inputs), test_inputs=enlarged(data.test_inputs))
