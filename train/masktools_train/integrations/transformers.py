"""A callback for the Trainer of Hugging Face's transformers: record its training."""

from pathlib import Path
from typing import Any

from masktools.errors import RecipeError
from masktools_train.integrations import first_installed
from masktools_train.recorder import Recorder
from masktools_train.sparsifier import Sparsifier

__all__ = ["SnapshotCallback"]

_Callback: Any = first_installed("masktools_train.integrations.transformers", "transformers").TrainerCallback


_ROUNDING = 1e-6
"""How far from a whole number the trainer's count of epochs may be at the end of one."""


class SnapshotCallback(_Callback):  # type: ignore[misc]  # no types without the package
    """Records a model that a ``transformers.Trainer`` trains: epoch 0 when training starts, then after epochs.

    What the trainer logs at the end of an epoch becomes the epoch's metrics. The first process alone writes. To train
    sparsely, make the optimizer and its `masktools_train.Sparsifier` before the trainer and give it
    ``optimizers=(optimizer, None)``.

    Parameters
    ----------
    path
        The run directory.
    every_epochs
        How often; the last epoch is recorded in any case.
    sparsifier
        What knows the masks.
    options
        Further options of `masktools_train.Recorder`. Training that goes on from a checkpoint resumes the run.
    """

    def __init__(
        self, path: str | Path, every_epochs: int = 1, *, sparsifier: Sparsifier | None = None, **options: Any
    ) -> None:
        if every_epochs < 1:
            raise RecipeError(f"every_epochs must be at least 1, got {every_epochs}")
        self._path, self._every, self._sparsifier, self._options = path, every_epochs, sparsifier, options
        self._recorder: Recorder | None = None
        self._recorded = -1

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Record the initialisation; go on with the run where training goes on."""
        del args, control, kwargs
        if not state.is_world_process_zero or model is None:
            return
        goes_on = state.global_step > 0
        options = {**self._options, "resume": True, "overwrite": False} if goes_on else self._options
        self._recorder = Recorder(self._path, model, self._sparsifier, **options)
        self._recorded = round(state.epoch or 0)
        if not goes_on:
            self._recorder.snapshot(0, 0)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the epoch, if it is one to record."""
        del args, control, kwargs
        if round(state.epoch) % self._every == 0:
            self._record(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the last epoch, if it was finished."""
        del args, control, kwargs
        if state.epoch is not None and abs(state.epoch - round(state.epoch)) < _ROUNDING:
            self._record(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep what is logged when an epoch is over, which follows the end of the epoch: losses, evaluations."""
        del args, control, kwargs
        epoch = state.epoch or 0
        if self._recorder is not None and logs and abs(epoch - self._recorded) < _ROUNDING:
            self._recorder.add_metrics(
                self._recorded, {name: value for name, value in logs.items() if name not in ("epoch", "step")}
            )

    def _record(self, state: Any) -> None:
        epoch = round(state.epoch)
        if self._recorder is not None and epoch > self._recorded:
            self._recorded = epoch
            self._recorder.snapshot(epoch, state.global_step)
