"""VGG-16 with batch norm, in the form that pruning papers train on CIFAR-10."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools_train.models.image_shape import image_shape

__all__ = ["VGG16", "vgg_16"]

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the convolutions; a 2 × 2 maximum halves the map between one stage and the next."""


class ConvModule(nn.Module):
    """A 3 × 3 convolution with bias, batch norm, ReLU."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, inputs: Tensor) -> Tensor:
        return nn.functional.relu(self.bn(self.conv(inputs)))


class VGG16(nn.Module):
    """Thirteen 3 × 3 convolutions with batch norm, the mean over the map, and one linear layer.

    The mean over whatever map is left takes the place of the last pooling: on 32 × 32 inputs it is the same, and larger
    inputs need no other layers. Weights start as He et al. (arXiv 1502.01852) draw them; biases keep PyTorch's
    start, which batch norm takes away again.

    Parameters
    ----------
    input_shape
        Channels, height, width; at least 16 × 16.
    classes
        Number of outputs.

    Raises
    ------
    RecipeError
        If the inputs are no images of that size.
    """

    def __init__(self, input_shape: Sequence[int], classes: int) -> None:
        super().__init__()
        before, _, _ = image_shape("vgg-16", input_shape, smallest=16)
        layers: list[nn.Module] = []
        for stage in STAGES:
            if layers:
                layers.append(nn.MaxPool2d(2))
            for channels in stage:
                layers.append(ConvModule(before, channels))
                before = channels
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        pooled = nn.functional.adaptive_avg_pool2d(self.layers(inputs), 1)
        logits: Tensor = self.fc(pooled.flatten(1))
        return logits


def vgg_16(input_shape: Sequence[int], classes: int) -> VGG16:
    """Build VGG-16 for small images (Simonyan and Zisserman, arXiv 1409.1556): 14.7 million parameters.

    It is the form of Frankle et al. (arXiv 2009.08576), layer names included. SNIP's own VGG-D has two more linear
    layers, of 512 units.
    """
    return VGG16(input_shape, classes)
