"""A data set in memory: inputs as they are stored, normalised on the device."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.data.batches import Batches
from masktools_train.distributed import Processes

__all__ = ["Dataset"]


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples.

    Parameters
    ----------
    train_inputs, test_inputs
        Stored values, shape ``(examples, *input_shape)``; integers stay integers until a batch is made.
    train_targets, test_targets
        Class numbers, int64, shape ``(examples,)``.
    classes
        Number of classes.
    mean, std
        Subtracted from, and dividing, the stored values; float32, broadcast over one input.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int
    mean: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(()))
    std: Tensor = dataclasses.field(default_factory=lambda: torch.ones(()))

    @classmethod
    def from_arrays(
        cls,
        train_inputs: Any,
        train_targets: Any,
        test_inputs: Any,
        test_targets: Any,
        classes: int | None = None,
        normalize: bool = True,
    ) -> Self:
        """Build from anything that NumPy takes for an array.

        Parameters
        ----------
        train_inputs, train_targets, test_inputs, test_targets
            As for the class.
        classes
            Number of classes; the largest target plus one when None.
        normalize
            Measure `mean` and `std` for each channel on the training inputs.

        Raises
        ------
        RecipeError
            If the arrays do not fit each other.
        """
        inputs = [_tensor("training inputs", train_inputs), _tensor("test inputs", test_inputs)]
        targets = [
            _class_numbers(_tensor("training targets", train_targets)),
            _class_numbers(_tensor("test targets", test_targets)),
        ]
        for part, x, y in zip(("training", "test"), inputs, targets, strict=True):
            if not bool(torch.isfinite(x).all()):
                raise RecipeError(f"data: {part} inputs hold NaN or infinity")
            if y.ndim == 1 and not len(y):
                raise RecipeError(f"data: there are no {part} examples")
            if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
                raise RecipeError(f"data: {part} inputs {tuple(x.shape)} and targets {tuple(y.shape)} do not fit")
        if inputs[0].shape[1:] != inputs[1].shape[1:]:
            raise RecipeError(
                f"data: training {tuple(inputs[0].shape)} and test {tuple(inputs[1].shape)} inputs differ"
            )
        largest = int(max(y.max() for y in targets))
        if min(int(y.min()) for y in targets) < 0 or (classes is not None and largest >= classes):
            raise RecipeError(f"data: targets must be class numbers from 0 to {(classes or largest + 1) - 1}")
        moments = _moments(inputs[0]) if normalize else ()
        return cls(inputs[0], targets[0], inputs[1], targets[1], classes or largest + 1, *moments)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.train_inputs.shape[1:])

    def to(self, device: torch.device) -> Self:
        """Return the data set with all its tensors on `device`."""
        tensors = {f.name: getattr(self, f.name).to(device) for f in dataclasses.fields(self) if f.name != "classes"}
        return dataclasses.replace(self, **tensors)

    def training(
        self,
        batch_size: int,
        seed: int,
        augment: Sequence[str] = (),
        shift: int = 4,
        processes: Processes | None = None,
    ) -> Batches:
        """Return the training batches, as `Data` says."""
        return Batches(
            self.train_inputs, self.train_targets, self.normalized, batch_size, seed, augment, shift, processes
        )

    def testing(
        self, batch_size: int, limit: int | None = None, processes: Processes | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield test examples, as `Data` says."""
        count = len(self.test_targets) if limit is None else min(limit, len(self.test_targets))
        share = (processes or Processes()).share(count)
        for start in range(share.start, share.stop, batch_size):
            part = slice(start, min(start + batch_size, share.stop))
            yield self.normalized(self.test_inputs[part]), self.test_targets[part]

    def normalized(self, inputs: Tensor) -> Tensor:
        """Return stored values as normalised float32."""
        return (inputs.float() - self.mean) / self.std


def _tensor(what: str, values: Any) -> Tensor:
    """Copy anything that NumPy takes for an array of real numbers: another's memory is not torch's to write to."""
    if isinstance(values, Tensor):
        tensor = values.detach().to("cpu", copy=True)
    else:
        try:
            array = np.array(values)
            tensor = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))
        except (TypeError, ValueError) as error:
            raise RecipeError(f"data: {what} are no array of numbers: {error}") from error
    if tensor.is_complex():
        raise RecipeError(f"data: {what} are no real numbers, but {tensor.dtype}")
    return tensor


def _class_numbers(targets: Tensor) -> Tensor:
    """Return targets as int64; numbers with a fraction name no class."""
    whole = targets.long()
    if not torch.equal(whole.to(targets.dtype), targets):
        raise RecipeError("data: targets must be class numbers, some are no whole numbers")
    return whole


def _moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation a channel (images) or over everything (vectors)."""
    images = inputs.ndim > 2
    if inputs.dtype == torch.uint8:
        mean, variance = _moments_of_bytes(inputs if images else inputs[:, None])
        mean, variance = (mean, variance) if images else (mean[0], variance[0])
    else:
        axes = [axis for axis in range(inputs.ndim) if axis != 1] if images else [0, 1]
        values = inputs.double()
        mean, variance = values.mean(dim=axes), values.var(dim=axes, correction=0)
    std = variance.sqrt()
    # A channel that is constant carries no information; dividing by its deviation would make it infinite.
    std = torch.where(std > 0, std, torch.ones_like(std))
    shape = (-1, *(1,) * (inputs.ndim - 2)) if images else ()
    return mean.float().view(shape), std.float().view(shape)


def _moments_of_bytes(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance a channel from how often each value occurs: eight times the memory is not needed."""
    values = torch.arange(256, dtype=torch.float64)
    means, variances = [], []
    for channel in inputs.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        means.append(counts @ values / channel.numel())
        variances.append(counts @ (values - means[-1]).square() / channel.numel())
    return torch.stack(means), torch.stack(variances)
