"""Small networks of the kinds that are in use, for comparisons with the pattern of zeros of a gradient."""

import torch
from torch import nn

functional = nn.functional


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
        hidden = functional.relu(self.stem(inputs), inplace=True)
        both = self.grouped(hidden)
        both += hidden
        hidden = functional.avg_pool2d(self.norm(self.dilated(both)), 2, 1, 1)
        return self.head(functional.adaptive_avg_pool2d(self.depthwise(hidden), (2, 3)).flatten(1))


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


class InvertedResiduals(nn.Module):
    """Widen, filter each channel by itself, narrow, as MobileNetV2 does."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1, bias=False)
        self.blocks = nn.ModuleList([self.block(4, 4, 1), self.block(4, 6, 2), self.block(6, 6, 1)])
        self.head = nn.Linear(6, 3)

    @staticmethod
    def block(before, after, stride):
        wide = 3 * before
        return nn.Sequential(
            *(nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            *(nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after)),
        )

    def forward(self, inputs):
        hidden = self.stem(inputs)
        for block in self.blocks:
            made = block(hidden)
            hidden = hidden + made if made.shape == hidden.shape else made
        return self.head(functional.adaptive_avg_pool2d(hidden, 1).flatten(1))


class Dense(nn.Module):
    """Every layer reads all earlier ones, side by side, as in DenseNet."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3 + 2 * depth, 2, 3, padding=1) for depth in range(3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(3 + 2 * depth) for depth in range(3)])
        self.transition = nn.Conv2d(9, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs):
        features = [inputs]
        for layer, norm in zip(self.layers, self.norms, strict=True):
            features.append(layer(functional.relu(norm(torch.cat(features, 1)))))
        hidden = functional.avg_pool2d(self.transition(torch.cat(features, 1)), 2, 2)
        return self.head(functional.adaptive_avg_pool2d(hidden, (1, 1)).view(len(inputs), -1))


class UNet(nn.Module):
    """Down and up again, with skips that are cropped and put beside; a map comes out."""

    def __init__(self):
        super().__init__()
        self.down1 = nn.Conv2d(2, 3, 3)
        self.down2 = nn.Conv2d(3, 4, 3, padding=1)
        self.down3 = nn.Conv2d(4, 4, (2, 3), padding="same")
        self.up2 = nn.Conv2d(8, 3, 3, padding=1)
        self.up1 = nn.Conv2d(6, 2, 2)
        self.nearest = nn.Upsample(scale_factor=2)

    def forward(self, inputs):
        first = torch.relu(self.down1(inputs))
        second = self.down2(functional.max_pool2d(first, 2))
        third = self.down3(functional.max_pool2d(second, 2))
        wide = self.nearest(third)
        second = second[:, :, : wide.shape[2], -wide.shape[3] :]
        up = self.up2(torch.cat([second, wide], 1))
        up = functional.interpolate(up, size=first.shape[2:], mode="bilinear", align_corners=False)
        return self.up1(torch.cat([up, first], dim=1))


class Shuffle(nn.Module):
    """Half of the channels through grouped layers, then all of them shuffled, as in ShuffleNetV2."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 8, 3, padding=1)
        self.branches = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(4, 4, 1, groups=2), nn.Conv2d(4, 4, 3, 1, 1, groups=4)) for _ in range(2)]
        )
        self.head = nn.Conv2d(8, 2, 1, groups=2)

    def forward(self, inputs):
        hidden = self.stem(inputs)
        for branch in self.branches:
            left, right = hidden.chunk(2, dim=1)
            hidden = torch.cat((left, branch(right)), dim=1)
            batch, channels, height, width = hidden.shape
            hidden = hidden.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
            hidden = hidden.view(batch, channels, height, width)
        return self.head(hidden)


class Sequence(nn.Module):
    """Convolutions over time, padded on the left alone, with gaps that double."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(3, 8, 2), nn.Conv1d(8, 8, 2, dilation=2, groups=2), nn.Conv1d(8, 6, 3)])
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, inputs):
        hidden = self.layers[0](functional.pad(inputs, (1, 0)))
        hidden = hidden + functional.relu(self.layers[1](functional.pad(hidden, (2, 0))))
        hidden = functional.avg_pool1d(self.layers[2](hidden), 2, ceil_mode=True)
        return self.head(functional.adaptive_avg_pool1d(hidden, 4).flatten(1))


class Volume(nn.Module):
    """Convolutions of volumes, and a norm of groups."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv3d(2, 8, 2, stride=(1, 2, 1), padding=(0, 1, 0))
        self.norm = nn.GroupNorm(2, 8)
        self.second = nn.Conv3d(8, 6, 2, groups=2, padding="same")
        self.head = nn.Linear(6, 4)

    def forward(self, inputs):
        hidden = self.norm(self.first(inputs))
        return self.head(self.second(hidden).mean((2, 3, 4)))


class Pixels(nn.Module):
    """Channels to positions and back, repetitions, reversals, and rows picked in any order."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 2)
        self.inner = nn.Conv2d(2, 3, 3, 2, 1)
        self.line = nn.Linear(6, 4)
        self.head = nn.Linear(4, 2)
        self.order = [3, 0, 2, 2, 1]

    def forward(self, inputs):
        wide = functional.pixel_shuffle(self.conv(inputs), 2)
        hidden = self.inner(wide.flip(3))[:, [2, 0, 1]]
        rows = hidden[:, :, self.order].repeat(1, 2, 1, 1).sum(2)
        return self.head(self.line(rows.transpose(1, 2)).narrow(1, 1, 2).squeeze(1)).amax(1)


NETWORKS = {
    "grouped": (Grouped, (2, 7, 8)),
    "tied": (Tied, (9,)),
    "two heads": (TwoHeads, (2, 5, 5)),
    "inverted residuals": (InvertedResiduals, (3, 7, 7)),
    "dense": (Dense, (3, 5, 4)),
    "u-net": (UNet, (2, 13, 12)),
    "shuffle": (Shuffle, (2, 4, 3)),
    "sequence": (Sequence, (3, 9)),
    "volume": (Volume, (2, 3, 4, 3)),
    "pixels": (Pixels, (2, 5, 4)),
}
"""How to build each network, and the shape of its input."""
