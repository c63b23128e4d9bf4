"""Loss and accuracy of a model on held-out examples."""

import contextlib
import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from masktools_train.data.dataset import Dataset

__all__ = ["Score", "evaluate", "evaluating"]


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean cross-entropy (nats, without label smoothing) and share of correct predictions."""

    loss: float
    accuracy: float


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules into evaluation mode inside the block, and then each back into its own: some may be frozen."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def evaluate(model: nn.Module, dataset: Dataset, batch_size: int = 1024) -> Score:
    """Return loss and accuracy on the test examples, in evaluation mode.

    Parameters
    ----------
    model
        The network; the mode of each module is restored.
    dataset
        On the device of the model.
    batch_size
        Examples at a time; the result does not depend on it.
    """
    device = dataset.test_targets.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    with evaluating(model):
        for start in range(0, len(dataset.test_targets), batch_size):
            inputs = dataset.normalized(dataset.test_inputs[start : start + batch_size])
            targets = dataset.test_targets[start : start + batch_size]
            logits = model(inputs)
            loss += nn.functional.cross_entropy(logits, targets, reduction="sum")
            correct += (logits.argmax(1) == targets).sum()
    count = len(dataset.test_targets)
    return Score(float(loss) / count, float(correct) / count)
