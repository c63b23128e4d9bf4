"""Callbacks for Lightning (``lightning.pytorch``, or ``pytorch_lightning``): make training sparse, and record it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masktools.errors import RecipeError
from masktools_train.algorithms.base import Algorithm
from masktools_train.integrations import first_installed
from masktools_train.integrations.epoch_recording import EpochRecording
from masktools_train.sparsifier import Sparsifier

__all__ = ["SnapshotCallback", "SparsifyCallback"]

_Callback: Any = first_installed(
    "masktools_train.integrations.lightning", "lightning.pytorch.callbacks", "pytorch_lightning.callbacks"
).Callback


class SparsifyCallback(_Callback):  # type: ignore[misc]  # no types without the package
    """Keeps the weights of a Lightning module sparse: a `masktools_train.Sparsifier` on its first optimizer.

    It starts before the first step, when weights and optimizers are in place, and its state is part of checkpoints.
    Where the trainer clips gradients by norm, those of inactive weights are left out of the norm wherever the coming
    step does not need them.

    Parameters
    ----------
    algorithm, density
        The rule, and the share of weights to keep.
    total_steps
        Planned number of optimizer steps; the trainer's own estimate when None.
    options
        Further options of `masktools_train.Sparsifier`; ``steps_per_epoch`` is filled in.

    Attributes
    ----------
    sparsifier
        The sparsifier, from the start of training on.
    """

    def __init__(self, algorithm: Algorithm, density: float, *, total_steps: int | None = None, **options: Any) -> None:
        self.sparsifier: Sparsifier | None = None
        self._algorithm, self._density, self._total_steps, self._options = algorithm, density, total_steps, options
        self._loaded: dict[str, Any] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to the first optimizer."""
        self.attach(trainer, pl_module)

    def attach(self, trainer: Any, pl_module: Any) -> Sparsifier:
        """Return the sparsifier, which is made where there is none for this training yet.

        Raises
        ------
        RecipeError
            If the module has no optimizer, or nobody says how many steps there will be.
        """
        if not trainer.optimizers:
            raise RecipeError("SparsifyCallback: the module has no optimizer")
        if self.sparsifier is not None and self.sparsifier.optimizer is trainer.optimizers[0]:
            return self.sparsifier
        total = self._total_steps or trainer.estimated_stepping_batches
        if not math.isfinite(total):
            raise RecipeError("SparsifyCallback: training has no end; say with total_steps= how many steps are planned")
        batches = trainer.num_training_batches
        if math.isfinite(batches):
            steps = math.ceil(batches / trainer.accumulate_grad_batches)
            self._options.setdefault("steps_per_epoch", steps)
        # Masks of a checkpoint are those of the weights that were restored with them: they must not be drawn anew.
        masks = {} if self._loaded is None else {"masks": self._loaded["masks"]}
        self.sparsifier = Sparsifier(
            pl_module,
            trainer.optimizers[0],
            self._algorithm,
            density=self._density,
            total_steps=int(total),
            **{**self._options, **masks},
        )
        if self._loaded is not None:
            self.sparsifier.load_state_dict(self._loaded)
            self._loaded = None
        return self.sparsifier

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Leave gradients that are not used out of the norm by which all are clipped next."""
        del pl_module, optimizer
        if self.sparsifier is not None and trainer.gradient_clip_val:
            self.sparsifier.mask_gradients()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {} if self.sparsifier is None else self.sparsifier.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up what a checkpoint kept, when training starts."""
        self._loaded, self.sparsifier = dict(state_dict) or None, None


class SnapshotCallback(_Callback):  # type: ignore[misc]  # no types without the package
    """Records a Lightning module: epoch 0 when training starts, then after training epochs, with the logged metrics.

    The first process alone writes. Masks are those of a `SparsifyCallback` of the same trainer, where there is one.

    Parameters
    ----------
    path
        The run directory.
    every_epochs
        How often; the last epoch is recorded in any case.
    sparsifier
        What knows the masks, where the module has one of its own.
    options
        Further options of `masktools_train.Recorder`. Training that goes on from a checkpoint resumes the run.
    """

    def __init__(
        self, path: str | Path, every_epochs: int = 1, *, sparsifier: Sparsifier | None = None, **options: Any
    ) -> None:
        self._sparsifier = sparsifier
        self._recording = EpochRecording(path, every_epochs, options)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Record the initialisation; go on with the run where training goes on."""
        sparsifier = self._sparsifier
        for callback in trainer.callbacks:
            if isinstance(callback, SparsifyCallback):
                # On all processes: masks may take a look at the gradients of all.
                sparsifier = callback.attach(trainer, pl_module)
        if trainer.is_global_zero:
            epoch = trainer.current_epoch
            self._recording.begin(pl_module, sparsifier, epoch, goes_on=epoch > 0)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the epoch, if it is one to record."""
        del pl_module
        if self._recording.due(trainer.current_epoch + 1):
            self._record(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the last epoch, however training ended."""
        del pl_module
        # Lightning has counted the last epoch by now.
        self._record(trainer, trainer.current_epoch)

    def _record(self, trainer: Any, epoch: int) -> None:
        self._recording.record(epoch, trainer.global_step, trainer.callback_metrics)
