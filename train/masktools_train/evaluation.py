"""Loss and accuracy of a model on held-out examples."""

import dataclasses

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


@torch.no_grad()
def evaluate(model: nn.Module, data: Data, batch_size: int = 1024, processes: Processes | None = None) -> Score:
    """Return loss and accuracy on the test examples, in evaluation mode.

    Parameters
    ----------
    model
        The network; the mode of each module is restored.
    data
        On the device of the model.
    batch_size
        Examples at a time; the result does not depend on it.
    processes
        Who evaluates together, each a share; all get the same result.
    """
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
