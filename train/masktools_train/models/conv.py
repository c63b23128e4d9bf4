"""The Conv-N networks of Frankle and Carbin: small VGGs."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools.errors import RecipeError

__all__ = ["Conv", "conv_4"]


class Conv(nn.Module):
    """Pairs of 3 × 3 convolutions, each pair halving the map, then three linear layers.

    Parameters
    ----------
    input_shape
        Channels, height, width.
    classes
        Number of outputs.
    channels
        Channels of each pair of convolutions.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        if len(input_shape) != 3 or min(input_shape[1:]) < 2 ** len(channels):
            raise RecipeError(f"model conv-{2 * len(channels)} cannot take inputs of shape {tuple(input_shape)}")
        before, height, width = input_shape
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


def conv_4(input_shape: Sequence[int], classes: int) -> Conv:
    """Build Conv-4 (Frankle and Carbin, arXiv 1803.03635): 64, 64, 128, 128 channels, then 256, 256 units."""
    return Conv(input_shape, classes, (64, 128))
