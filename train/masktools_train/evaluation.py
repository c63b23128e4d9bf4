"""Loss and accuracy of a model on held-out examples."""

import dataclasses
import math

import torch
from torch import nn

from masktools_train.data.source import Data
from masktools_train.distributed import Processes
from masktools_train.evaluation_mode import evaluating

__all__ = ["Score", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats, without label smoothing) and share of correct predictions."""

    loss: float
    accuracy: float


_MOST_EXAMPLES, _MOST_BYTES = 1024, 1 << 26
"""How many examples are evaluated at a time, and how much memory their inputs may take: 111 of 224 x 224 pixels."""


def _fitting(input_shape: tuple[int, ...]) -> int:
    """Return how many inputs in float32 are evaluated at a time."""
    return max(1, min(_MOST_EXAMPLES, _MOST_BYTES // (4 * max(1, math.prod(input_shape)))))


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, batch_size: int | None = None, processes: Processes | None = None) -> Score:
    """Return loss and accuracy on the test examples, in evaluation mode.

    Parameters
    ----------
    model
        The network; the mode of each module is restored.
    data
        On the device of the model.
    batch_size
        Examples at a time; but for rounding the result does not depend on it. None takes 1024, or as many as have
        64 MiB of inputs.
    processes
        Who evaluates together, each a share; all get the same result.

    Returns
    -------
    Score
        Over all test examples.
    """
    batch_size = _fitting(data.input_shape) if batch_size is None else batch_size
    device = next(model.parameters()).device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with evaluating(model):
        for inputs, targets in data.testing(batch_size, processes=processes):
            logits = model(inputs)
            loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
            correct += (logits.argmax(1) == targets).sum()
    if processes is not None:
        processes.add([loss, correct])
    count = len(data.test_targets)
    return Score(float(loss) / count, float(correct) / count)
