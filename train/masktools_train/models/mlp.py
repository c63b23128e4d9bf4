"""Fully connected networks."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from masktools.errors import RecipeError

__all__ = ["MLP", "lenet_300_100", "mlp"]


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Parameters
    ----------
    widths
        Number of units from the input to the output, at least two numbers.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(widths), start=1):
            layer = nn.Linear(fan_in, fan_out)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
            self.add_module(f"fc{index}", layer)
        self.depth = len(widths) - 1

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits; inputs of any shape are flattened from the second axis on."""
        hidden = inputs.flatten(1)
        for index in range(1, self.depth + 1):
            hidden = self.get_submodule(f"fc{index}")(hidden)
            if index < self.depth:
                hidden = nn.functional.relu(hidden)
        return hidden


def mlp(input_shape: Sequence[int], classes: int, widths: Sequence[int] = (300, 100)) -> MLP:
    """Build a multilayer perceptron with hidden layers of the given widths.

    Parameters
    ----------
    input_shape
        Shape of one input.
    classes
        Number of outputs.
    widths
        Units of each hidden layer, any number of them.

    Raises
    ------
    RecipeError
        If a width is not a positive integer.
    """
    if not isinstance(widths, Sequence) or any(not isinstance(width, int) or width < 1 for width in widths):
        raise RecipeError(f"model mlp: widths must be positive integers, got {widths!r}")
    return MLP([math.prod(input_shape), *widths, classes])


def lenet_300_100(input_shape: Sequence[int], classes: int) -> MLP:
    """Build LeNet-300-100 (LeCun et al. 1998), the fully connected one."""
    return mlp(input_shape, classes, (300, 100))
