"""What an algorithm sees that looks at model and data before it prunes."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.kept_buffers import kept_buffers
from masktools_train.seeding import derive, reseed

__all__ = ["Batch", "Loss", "Probe"]

Batch = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class Probe:
    """A model with some of its training data and its loss.

    Parameters
    ----------
    model
        The model; looking leaves its buffers and modes as they were.
    batches
        Inputs and targets, batch by batch, on the model's device: a list, a loader. None where there are none.
    loss
        From outputs and targets to a number, mean over the batch.
    seed
        Seed of what the model draws itself (dropout).
    """

    def __init__(self, model: nn.Module, batches: Iterable[Batch] | None, loss: Loss | None, seed: int) -> None:
        self.model = model
        self.loss: Loss = nn.functional.cross_entropy if loss is None else loss
        self._batches, self._seed = batches, seed

    def batches(self, algorithm: str) -> Iterator[Batch]:
        """Yield the batches.

        Parameters
        ----------
        algorithm
            Who asks, for the error.

        Raises
        ------
        RecipeError
            If there are none.
        """
        found = False
        for inputs, targets in self._batches or ():
            found = True
            yield inputs, targets
        if not found:
            raise RecipeError(
                f"algorithm {algorithm!r} looks at data before it prunes: give batches=, pairs of inputs and targets"
            )

    def let_go(self) -> None:
        """Forget the data, which may be large."""
        self._batches = None

    def batch(self, algorithm: str) -> Batch:
        """Return the first batch; errors as `batches`."""
        return next(self.batches(algorithm))

    def examples(self, algorithm: str, per_class: int) -> tuple[Tensor, Tensor, int]:
        """Return the first examples of every class, in the order of the batches.

        Parameters
        ----------
        algorithm
            Who asks, for the error.
        per_class
            How many of each class, or all where there are fewer.

        Returns
        -------
        inputs, targets, size
            Examples, and the size of the batches they came in.

        Raises
        ------
        RecipeError
            If there are no batches, or targets are no class numbers.
        """
        inputs: list[Tensor] = []
        targets: list[Tensor] = []
        size, seen = 0, torch.zeros(0, dtype=torch.int64)
        for batch, labels in self.batches(algorithm):
            if labels.dim() != 1 or labels.is_floating_point():
                raise RecipeError(f"algorithm {algorithm!r} takes examples by class: targets must be class numbers")
            size = size or len(labels)
            numbers = labels.cpu()
            # Pad to every class seen so far, then count each example among those of its class.
            seen = nn.functional.pad(seen, (0, max(0, int(numbers.max()) + 1 - len(seen))))
            hot = nn.functional.one_hot(numbers, len(seen))
            rank = (seen + hot.cumsum(0))[torch.arange(len(numbers)), numbers]
            wanted = (rank <= per_class).nonzero().squeeze(1).to(labels.device)
            seen = seen + hot.sum(0)
            if len(wanted):
                inputs.append(batch[wanted.to(batch.device)])
                targets.append(labels[wanted])
        return torch.cat(inputs), torch.cat(targets), size

    @contextlib.contextmanager
    def looking(self, *, evaluating: bool = False) -> Iterator[nn.Module]:
        """Lend the model with gradients on; afterwards buffers, modes and random numbers are what they were.

        Parameters
        ----------
        evaluating
            Put the model into evaluation mode.
        """
        modes = [(module, module.training) for module in self.model.modules()]
        devices = {parameter.device for parameter in self.model.parameters() if parameter.is_cuda}
        with torch.random.fork_rng(devices=list(devices)), torch.enable_grad(), kept_buffers(self.model):
            reseed(derive(self._seed, "probe"), devices)
            try:
                if evaluating:
                    self.model.eval()
                yield self.model
            finally:
                for module, mode in modes:
                    module.training = mode
