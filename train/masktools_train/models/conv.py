"""The Conv-N networks of Frankle and Carbin: small VGGs."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools_train.models.image_shape import image_shape

__all__ = ["Conv", "conv_2", "conv_4", "conv_6"]


class Conv(nn.Module):
    """Pairs of 3 × 3 convolutions, each pair halving the map, then three linear layers.

    Weights start as He et al. (arXiv 1502.01852) draw them, biases at 0.

    Parameters
    ----------
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    channels
        Channels of each pair of convolutions.

    Raises
    ------
    RecipeError
        If the inputs are no images, or too small to be halved that often.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        name = f"conv-{2 * len(channels)}"
        before, height, width = image_shape(name, input_shape, smallest=2 ** len(channels))
        blocks: list[nn.Module] = []
        for width_of_pair in channels:
            for _ in range(2):
                blocks += [nn.Conv2d(before, width_of_pair, 3, padding=1), nn.ReLU()]
                before = width_of_pair
            blocks.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(before * height * width, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        logits: Tensor = self.classifier(self.features(inputs).flatten(1))
        return logits


def conv_2(input_shape: Sequence[int], classes: int) -> Conv:
    """Build Conv-2 (Frankle and Carbin, arXiv 1803.03635): 64, 64 channels, then 256, 256 units."""
    return Conv(input_shape, classes, (64,))


def conv_4(input_shape: Sequence[int], classes: int) -> Conv:
    """Build Conv-4 (Frankle and Carbin, arXiv 1803.03635): 64, 64, 128, 128 channels, then 256, 256 units."""
    return Conv(input_shape, classes, (64, 128))


def conv_6(input_shape: Sequence[int], classes: int) -> Conv:
    """Build Conv-6 (Frankle and Carbin, arXiv 1803.03635): 64, 64, 128, 128, 256, 256 channels, then 256, 256 units.

    On CIFAR-10 that makes 2.26 million weights, 1.14 million of them in convolutions. The paper's table has the same
    number for the convolutions but 1.7 million in all, which its 4 × 4 maps before the linear layers do not give.
    """
    return Conv(input_shape, classes, (64, 128, 256))
