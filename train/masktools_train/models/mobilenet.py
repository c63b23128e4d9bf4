"""MobileNetV2, with torchvision's names of parameters."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models.image_shape import image_shape

__all__ = ["MobileNetV2", "mobilenet_v2"]

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, channels, blocks and stride of each stage: table 2 of the paper."""


def scaled(channels: int, width: float) -> int:
    """Return the multiple of 8 that is nearest to ``channels * width``, at least 8 and no less than 90 % of it."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * wanted else nearest + 8


def conv_bn(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the map but for its stride, with batch norm and ReLU6."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU6())


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; beside an identity where the shape stays."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_bn(before, wide, 1)]
        layers += [conv_bn(wide, wide, 3, stride, groups=wide), nn.Conv2d(wide, after, 1, bias=False)]
        self.conv = nn.Sequential(*layers, nn.BatchNorm2d(after))
        self.residual = stride == 1 and before == after

    def forward(self, inputs: Tensor) -> Tensor:
        narrow: Tensor = self.conv(inputs)
        return inputs + narrow if self.residual else narrow


class MobileNetV2(nn.Module):
    """Inverted residuals with linear bottlenecks.

    Convolutions start as He et al. (arXiv 1502.01852) draw them, by the fan out; the classifier's weights normal with
    deviation .01, its biases at 0.

    Parameters
    ----------
    input_shape
        Channels, height, width. Five strides of 2 leave a single entry of a 32 × 32 map.
    classes
        Number of outputs.
    width
        Factor of the channels, which are rounded to multiples of 8.
    dropout
        Share of features dropped before the classifier while training.

    Raises
    ------
    RecipeError
        If the inputs are no images, or width or dropout cannot be.

    References
    ----------
    .. [1] Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, arXiv 1801.04381.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        channels, _, _ = image_shape("mobilenet-v2", input_shape)
        if not 0 < width < float("inf"):
            raise RecipeError(f"model mobilenet-v2: width must be a positive number, got {width}")
        if not 0 <= dropout < 1:
            raise RecipeError(f"model mobilenet-v2: dropout must be at least 0 and below 1, got {dropout}")
        before = scaled(32, width)
        features: list[nn.Module] = [conv_bn(channels, before, 3, stride=2)]
        for expansion, base, blocks, stride in STAGES:
            after = scaled(base, width)
            for block in range(blocks):
                features.append(InvertedResidual(before, after, stride if block == 0 else 1, expansion))
                before = after
        # Narrow networks keep the full number of features: the classifier is small beside it.
        last = scaled(1280, max(1.0, width))
        self.features = nn.Sequential(*features, conv_bn(before, last, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        pooled = nn.functional.adaptive_avg_pool2d(self.features(inputs), 1)
        logits: Tensor = self.classifier(pooled.flatten(1))
        return logits


def mobilenet_v2(input_shape: Sequence[int], classes: int, width: float = 1.0, dropout: float = 0.2) -> MobileNetV2:
    """Build MobileNetV2: 3,504,872 parameters for 1000 classes. Options are as for `MobileNetV2`."""
    return MobileNetV2(input_shape, classes, width, dropout)
