"""LeNet-5, the convolutional one, in the form that pruning papers use."""

from collections.abc import Sequence

from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models.image_shape import image_shape

__all__ = ["LeNet5", "lenet_5"]


class LeNet5(nn.Module):
    """Two 5 × 5 convolutions without padding, each before a 2 × 2 maximum, then hidden units and the outputs.

    The one non-linearity beside the maxima is the ReLU of the hidden units, as in Caffe's definition. Weights start
    uniform with variance ``1 / fan_in`` (Caffe's filler "xavier") and biases at 0.

    Parameters
    ----------
    input_shape
        Channels, height, width; at least 16 × 16.
    classes
        Number of outputs.
    maps
        Maps of the first and of the second convolution.
    hidden
        Number of hidden units.

    Raises
    ------
    RecipeError
        If the inputs are no images of that size, or a number is no positive integer.
    """

    def __init__(
        self, input_shape: Sequence[int], classes: int, maps: Sequence[int] = (20, 50), hidden: int = 500
    ) -> None:
        super().__init__()
        channels, height, width = image_shape("lenet-5", input_shape, smallest=16)
        whole = isinstance(maps, Sequence) and all(isinstance(number, int) for number in (*maps, hidden))
        if not whole or len(maps) != 2 or min(*maps, hidden) < 1:
            raise RecipeError(
                f"model lenet-5: maps must be two positive integers and hidden one, got {maps!r} and {hidden!r}"
            )
        first, second = maps
        self.conv1 = nn.Conv2d(channels, first, 5)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.pool = nn.MaxPool2d(2)
        for _ in range(2):
            height, width = (height - 4) // 2, (width - 4) // 2
        self.fc1 = nn.Linear(second * height * width, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        for module in (self.conv1, self.conv2, self.fc1, self.fc2):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        maps = self.pool(self.conv2(self.pool(self.conv1(inputs))))
        logits: Tensor = self.fc2(nn.functional.relu(self.fc1(maps.flatten(1))))
        return logits


def lenet_5(input_shape: Sequence[int], classes: int, maps: Sequence[int] = (20, 50), hidden: int = 500) -> LeNet5:
    """Build LeNet-5-Caffe: 20 and 50 maps, 500 units; 431,080 parameters on MNIST. Other sizes are options.

    It is the variant of Han et al. (arXiv 1506.02626) and SNIP (arXiv 1810.02340), larger than that of LeCun et al.
    1998.
    """
    return LeNet5(input_shape, classes, maps, hidden)
