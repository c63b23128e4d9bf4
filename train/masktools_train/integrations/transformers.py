"""A callback for the Trainer of Hugging Face's transformers: record its training."""

from pathlib import Path
from typing import Any

from masktools_train.integrations import first_installed
from masktools_train.integrations.epoch_recording import EpochRecording
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
        self._sparsifier = sparsifier
        self._recording = EpochRecording(path, every_epochs, options)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Record the initialisation; go on with the run where training goes on."""
        del args, control, kwargs
        if state.is_world_process_zero and model is not None:
            self._recording.begin(model, self._sparsifier, round(state.epoch or 0), goes_on=state.global_step > 0)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the epoch, if it is one to record."""
        del args, control, kwargs
        if self._recording.due(round(state.epoch)):
            self._record(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Record the last epoch, if it was finished."""
        del args, control, kwargs
        if state.epoch is not None and abs(state.epoch - round(state.epoch)) < _ROUNDING:
            self._record(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep what is logged when an epoch is over, which follows the end of the epoch: losses, evaluations."""
        del args, control, kwargs
        if logs and abs((state.epoch or 0) - self._recording.recorded) < _ROUNDING:
            self._recording.add(logs)

    def _record(self, state: Any) -> None:
        self._recording.record(round(state.epoch), state.global_step)
