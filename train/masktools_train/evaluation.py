"""Loss and accuracy of a model on held-out examples."""

import dataclasses

import torch
from torch import nn

from masktools_train.data.dataset import Dataset

__all__ = ["Score", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats, without label smoothing) and share of correct predictions."""

    loss: float
    accuracy: float


@torch.no_grad()
def evaluate(model: nn.Module, dataset: Dataset, batch_size: int = 1024) -> Score:
    """Return loss and accuracy on the test examples, in evaluation mode.

    Parameters
    ----------
    model
        The network; its mode is restored.
    dataset
        On the device of the model.
    batch_size
        Examples at a time; the result does not depend on it.
    """
    training = model.training
    model.eval()
    device = dataset.test_targets.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for start in range(0, len(dataset.test_targets), batch_size):
        inputs = dataset.normalized(dataset.test_inputs[start : start + batch_size])
        targets = dataset.test_targets[start : start + batch_size]
        logits = model(inputs)
        loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
        correct += (logits.argmax(1) == targets).sum()
    model.train(training)
    count = len(dataset.test_targets)
    return Score(float(loss) / count, float(correct) / count)
