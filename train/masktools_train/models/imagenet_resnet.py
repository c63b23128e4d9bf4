"""ResNets for ImageNet, with torchvision's names of parameters."""

from collections.abc import Sequence
from typing import TypeAlias

from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models.image_shape import image_shape

__all__ = ["BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet50"]


def _downsample(before: int, after: int, stride: int) -> nn.Sequential | None:
    """Return the projection beside a block, or None where the identity fits."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions beside an identity or a projection."""

    expansion = 1

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _downsample(before, channels, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's maps, of `channels` channels."""
        side = inputs if self.downsample is None else self.downsample(inputs)
        hidden = nn.functional.relu(self.bn1(self.conv1(inputs)))
        return nn.functional.relu(self.bn2(self.conv2(hidden)) + side)


class Bottleneck(nn.Module):
    """A 1 × 1, a 3 × 3 and a 1 × 1 convolution beside an identity or a projection.

    The stride is in the 3 × 3 convolution ("version 1.5"), which reads every entry of its input; in the first 1 × 1
    convolution, where the paper has it, three entries of four would go unread.
    """

    expansion = 4

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        after = self.expansion * channels
        self.conv1 = nn.Conv2d(before, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = _downsample(before, after, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the block's maps, of four times `channels` channels."""
        side = inputs if self.downsample is None else self.downsample(inputs)
        hidden = nn.functional.relu(self.bn1(self.conv1(inputs)))
        hidden = nn.functional.relu(self.bn2(self.conv2(hidden)))
        return nn.functional.relu(self.bn3(self.conv3(hidden)) + side)


Block: TypeAlias = type[BasicBlock] | type[Bottleneck]


class ResNet(nn.Module):
    """A ResNet of four stages, of 64, 128, 256 and 512 channels times the block's expansion.

    Convolutions start as He et al. (arXiv 1502.01852) draw them, by the fan out; the classifier as PyTorch does.

    Parameters
    ----------
    name
        Name of the model, for messages.
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    block, blocks
        Kind of the blocks, and how many each stage has.
    stem
        ``imagenet``: a 7 × 7 convolution of stride 2 and a 3 × 3 maximum of stride 2. ``cifar``: a 3 × 3 convolution of
        stride 1, which leaves small images their size.

    Raises
    ------
    RecipeError
        If the inputs are no images or the stem is unknown.

    References
    ----------
    .. [1] He et al., Deep Residual Learning for Image Recognition, arXiv 1512.03385.
    """

    def __init__(
        self, name: str, input_shape: Sequence[int], classes: int, block: Block, blocks: Sequence[int], stem: str
    ) -> None:
        super().__init__()
        channels, _, _ = image_shape(name, input_shape)
        if stem not in ("imagenet", "cifar"):
            raise RecipeError(f"model {name}: stem {stem!r} is unknown; choose from imagenet, cifar")
        small = stem == "cifar"
        self.conv1 = nn.Conv2d(channels, 64, 3 if small else 7, 1 if small else 2, 1 if small else 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        before, self.stages = 64, [f"layer{number}" for number in range(1, len(blocks) + 1)]
        for number, (stage, count) in enumerate(zip(self.stages, blocks, strict=True)):
            width, row = 64 * 2**number, []
            for index in range(count):
                row.append(block(before, width, 2 if number > 0 and index == 0 else 1))
                before = width * block.expansion
            self.add_module(stage, nn.Sequential(*row))
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        maps: Tensor = self.maxpool(nn.functional.relu(self.bn1(self.conv1(inputs))))
        for stage in self.stages:
            maps = self.get_submodule(stage)(maps)
        pooled = nn.functional.adaptive_avg_pool2d(maps, 1)
        logits: Tensor = self.fc(pooled.flatten(1))
        return logits


def resnet18(input_shape: Sequence[int], classes: int, stem: str = "imagenet") -> ResNet:
    """Build ResNet-18: 11,689,512 parameters for 1000 classes. `stem` is as for `ResNet`."""
    return ResNet("resnet18", input_shape, classes, BasicBlock, (2, 2, 2, 2), stem)


def resnet50(input_shape: Sequence[int], classes: int, stem: str = "imagenet") -> ResNet:
    """Build ResNet-50, version 1.5: 25,557,032 parameters for 1000 classes. `stem` is as for `ResNet`."""
    return ResNet("resnet50", input_shape, classes, Bottleneck, (3, 4, 6, 3), stem)
