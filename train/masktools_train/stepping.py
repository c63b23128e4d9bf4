"""One step of training after another, issued without waiting for the device."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools_train.distributed import Processes

__all__ = ["EpochSums", "Stepper"]


class EpochSums:
    """What an epoch adds up, on the device: the loss, correct predictions, and examples.

    Parameters
    ----------
    device
        Where training runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.examples = 0

    def means(self) -> tuple[float, float]:
        """Return mean loss and accuracy; waits for the device."""
        return float(self.loss) / self.examples, float(self.correct) / self.examples


class Stepper:
    """Takes training steps.

    Parameters
    ----------
    network
        What computes outputs from inputs.
    label_smoothing
        Of the loss.
    processes
        Who trains together.
    device
        Where.
    """

    def __init__(self, network: nn.Module, label_smoothing: float, processes: Processes, device: torch.device) -> None:
        self._network, self._smoothing, self._processes, self._device = network, label_smoothing, processes, device

    def run(
        self,
        optimizer: Optimizer,
        batches: Iterable[tuple[Tensor, Tensor]],
        whole: Callable[[int], int],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> EpochSums:
        """Take a step for each batch.

        Parameters
        ----------
        optimizer
            With the hooks that keep the weights sparse.
        batches
            This process's shares of the batches.
        whole
            From the number of a batch among these to how many examples all processes see in it.
        before, after
            Called around every step.

        Returns
        -------
        EpochSums
            Over all processes.
        """
        sums = EpochSums(self._device)
        for index, (inputs, targets) in enumerate(batches):
            before()
            examples = whole(index)
            logits = self._network(inputs)
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=self._smoothing)
            optimizer.zero_grad(set_to_none=True)
            if self._processes.world == 1:
                torch.autograd.backward(loss)
            else:
                # The mean over processes of their mean gradients is that of the batch only where shares are equal.
                torch.autograd.backward(loss * (len(targets) * self._processes.world / examples))
            optimizer.step()
            sums.loss += loss.detach() * len(targets)
            sums.correct += (logits.detach().argmax(1) == targets).sum()
            sums.examples += examples
            after()
        self._processes.add([sums.loss, sums.correct])
        return sums
