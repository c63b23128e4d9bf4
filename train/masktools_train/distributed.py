"""Several processes that train one network together, each on its share of every batch."""

import atexit
import dataclasses
import os
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from masktools.errors import RecipeError, TrainingError

if TYPE_CHECKING:
    from masktools_train.sparsifier import Sparsifier

__all__ = ["Agreement", "Processes", "join", "launched", "leads"]

_REST = 0.25
"""Seconds for which the threads of a process group may use the interpreter in the end."""


@dataclasses.dataclass(frozen=True)
class Processes:
    """One process among those that train together; alone unless told otherwise.

    Parameters
    ----------
    rank
        Number of this process, from 0.
    world
        How many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def stream(self) -> tuple[int, ...]:
        """What tells this process's own random numbers from those of the others; nothing where it is alone."""
        return () if self.world == 1 else (self.rank,)

    def share(self, count: int) -> slice:
        """Return this process's part of `count` things in a row; parts differ by one in length at most."""
        return slice(count * self.rank // self.world, count * (self.rank + 1) // self.world)

    def require_shares(self, examples: int) -> None:
        """Check that every process gets an example of the smallest batch.

        Raises
        ------
        RecipeError
            If not.
        """
        if examples < self.world:
            raise RecipeError(
                f"batch_size: the smallest batch has {examples} examples, too few for {self.world} processes; "
                "choose another batch size"
            )

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; the device need not wait."""
        if self.world > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def sent(self, value: Any) -> Any:
        """Return what the first process calls with; all have to call, and it must be picklable."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def take_first(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by that of the first process."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    @staticmethod
    def lost(error: RuntimeError) -> bool:
        """Whether an error says that another process is gone."""
        return isinstance(error, dist.DistError) or any(word in str(error) for word in ("onnection", "gloo", "NCCL"))

    def wrapped(self, model: nn.Module) -> nn.Module:
        """Return the model so that every backward pass leaves the mean gradient of all processes."""
        if self.world == 1:
            return model
        device = next(model.parameters()).device
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)


def launched() -> bool:
    """Whether this process was started as one of several, by torchrun or alike."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def leads() -> bool:
    """Whether this process is the first of those that were launched together, or alone."""
    return os.environ.get("RANK", "0") == "0"


def join(device: torch.device) -> Processes:
    """Meet the other processes, where this one was launched with others; for good, as a second meeting could mix up.

    Parameters
    ----------
    device
        Where this process computes: it decides the backend, NCCL on CUDA and Gloo on CPUs.

    Raises
    ------
    RecipeError
        If this build of torch has no backend for it.
    TrainingError
        If the processes cannot meet.
    """
    if not launched():
        return Processes()
    if not dist.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        if not dist.is_available() or not dist.is_backend_available(backend):
            raise RecipeError(f"training in several processes needs the backend {backend!r}, which this torch lacks")
        if device.type == "cuda":
            torch.cuda.set_device(device)
        try:
            dist.init_process_group(backend, device_id=device if device.type == "cuda" else None)
        except (RuntimeError, ValueError) as error:  # no address, or nobody there
            raise TrainingError(f"the processes that were launched together cannot meet: {error}") from error
        atexit.register(_part)
    return Processes(dist.get_rank(), dist.get_world_size())


def _part() -> None:
    """Leave the other processes, and let the threads that exchanged tensors with them come to rest.

    A thread of Gloo lets go of a tensor a little after everybody has it, needs the interpreter for that, and outlives
    the group (torch 2.13). If the interpreter is ending by then, it aborts the process, and a training that is complete
    counts as failed: 6 of 17 on two busy cores, 0 of 20 with this.
    """
    dist.destroy_process_group()
    time.sleep(_REST)  # the interpreter is free meanwhile


class Agreement:
    """Watches that all processes hold the same masks, without waiting for the device.

    Parameters
    ----------
    processes
        Who they are.
    masked
        The layers of this one.
    """

    def __init__(self, processes: Processes, masked: "Sparsifier") -> None:
        self._processes, self._masked = processes, masked
        self._differs: Tensor | None = None
        self._seen = masked.mask_changes

    def follow(self) -> None:
        """Compare after a step that changed a mask, unless every step does: then `require` has to do."""
        changes, self._seen = self._masked.mask_changes - self._seen, self._masked.mask_changes
        if changes and not self._masked.selects_every_step:
            self.compare()

    def compare(self) -> None:
        """Compare every mask with that of the first process, entry by entry; `require` tells."""
        if self._processes.world == 1:
            return
        for layer in self._masked.layers:
            mask = layer.mask.bool()
            theirs = mask.clone()
            dist.broadcast(theirs, src=0)
            differs = (theirs != mask).any()
            self._differs = differs if self._differs is None else self._differs | differs

    def require(self) -> None:
        """Compare, and raise on all processes if any mask differed since the last call.

        Raises
        ------
        TrainingError
            If so.
        """
        if self._processes.world == 1:
            return
        self.compare()
        assert self._differs is not None  # noqa: S101  (a model without layers cannot be trained)
        count = self._differs.long()
        self._processes.add([count])
        self._differs = None
        if int(count):
            raise TrainingError(f"masks differ between processes: {int(count)} of {self._processes.world} disagree")
