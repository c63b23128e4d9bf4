"""Wide ResNets for small images."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models.image_shape import image_shape

__all__ = ["WideResNet", "wrn_22_2"]


class PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each of two 3 × 3 convolutions, beside an identity.

    Where the channels change, a 1 × 1 convolution takes the place of the identity; it reads what the first
    convolution reads, after batch norm and ReLU.
    """

    def __init__(self, before: int, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or before != channels:
            self.shortcut = nn.Conv2d(before, channels, 1, stride, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        active = nn.functional.relu(self.bn1(inputs))
        side = inputs if self.shortcut is None else self.shortcut(active)
        hidden = nn.functional.relu(self.bn2(self.conv1(active)))
        main: Tensor = self.conv2(self.dropout(hidden))
        return main + side


class WideResNet(nn.Module):
    """A pre-activation ResNet with three stages of 16, 32 and 64 times `width` channels.

    Weights of convolutions start normal with variance ``2 / (kernel area * channels out)``, as in Zagoruyko's code;
    the classifier's bias starts at 0.

    Parameters
    ----------
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    depth
        Convolutions on the longest way and the classifier, ``6 * blocks + 4`` with as many blocks a stage.
    width
        Factor of the channels.
    dropout
        Share of units dropped between the convolutions of a block while training.

    Raises
    ------
    RecipeError
        If the inputs are no images, or depth, width or dropout cannot be.

    References
    ----------
    .. [1] Zagoruyko and Komodakis, Wide Residual Networks, arXiv 1605.07146.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, depth: int, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        name = f"wrn-{depth}-{width}"
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest or width < 1:
            raise RecipeError(f"model {name}: the depth must be 6 n + 4, the width at least 1")
        if not 0 <= dropout < 1:
            raise RecipeError(f"model {name}: dropout must be at least 0 and below 1, got {dropout}")
        before = 16
        self.conv1 = nn.Conv2d(image_shape(name, input_shape)[0], before, 3, 1, 1, bias=False)
        stages: list[nn.Module] = []
        for stage, base in enumerate((16, 32, 64)):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(PreActivationBlock(before, base * width, stride, dropout))
                before = base * width
        self.blocks = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
        nn.init.zeros_(self.fc.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        maps = nn.functional.relu(self.bn(self.blocks(self.conv1(inputs))))
        pooled = nn.functional.adaptive_avg_pool2d(maps, 1)
        logits: Tensor = self.fc(pooled.flatten(1))
        return logits


def wrn_22_2(input_shape: Sequence[int], classes: int, dropout: float = 0.3) -> WideResNet:
    """Build WRN-22-2, the network of the CIFAR-10 experiments of RigL (Evci et al., arXiv 1911.11134).

    The default dropout is that of the code of that paper.
    """
    return WideResNet(input_shape, classes, 22, 2, dropout)
