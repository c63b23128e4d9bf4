"""ResNets for small images: 6 n + 2 layers, as He et al. train them on CIFAR-10."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools_train.models.image_shape import image_shape

__all__ = ["CifarResNet", "resnet20", "resnet32", "resnet56"]


class Block(nn.Module):
    """Two 3 × 3 convolutions beside an identity, or beside a 1 × 1 projection where the shape changes."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = nn.functional.relu(self.bn1(self.conv1(inputs)))
        return nn.functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(inputs))


class CifarResNet(nn.Module):
    """A ResNet for small images: three stages of 16, 32 and 64 channels.

    Weights start as He et al. (arXiv 1502.01852) draw them.

    Parameters
    ----------
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    blocks
        Blocks a stage; the depth is ``6 * blocks + 2``.

    Raises
    ------
    RecipeError
        If the inputs are no images.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, blocks: int) -> None:
        super().__init__()
        channels_in, _, _ = image_shape(f"resnet{6 * blocks + 2}", input_shape)
        self.conv = nn.Conv2d(channels_in, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        stages: list[nn.Module] = []
        before = 16
        for stage, channels in enumerate((16, 32, 64)):
            for block in range(blocks):
                stages.append(Block(before, channels, 2 if stage > 0 and block == 0 else 1))
                before = channels
        self.blocks = nn.Sequential(*stages)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        hidden = self.blocks(nn.functional.relu(self.bn(self.conv(inputs))))
        pooled = nn.functional.adaptive_avg_pool2d(hidden, 1)
        logits: Tensor = self.fc(pooled.flatten(1))
        return logits


def resnet20(input_shape: Sequence[int], classes: int) -> CifarResNet:
    """Build ResNet-20 (He et al., arXiv 1512.03385), with projection shortcuts where the shape changes."""
    return CifarResNet(input_shape, classes, 3)


def resnet32(input_shape: Sequence[int], classes: int) -> CifarResNet:
    """Build ResNet-32 (He et al., arXiv 1512.03385), with projection shortcuts where the shape changes."""
    return CifarResNet(input_shape, classes, 5)


def resnet56(input_shape: Sequence[int], classes: int) -> CifarResNet:
    """Build ResNet-56 (He et al., arXiv 1512.03385), with projection shortcuts where the shape changes."""
    return CifarResNet(input_shape, classes, 9)
