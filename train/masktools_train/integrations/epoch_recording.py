"""What the callbacks that record have in common: a recorder from the start of training on, and each epoch once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from masktools.errors import RecipeError
from masktools_train.recorder import Recorder
from masktools_train.sparsifier import Sparsifier

__all__ = ["EpochRecording"]

_OWN = ("epoch", "step")
"""What packages log among the metrics, and the recorder says by itself."""


class EpochRecording:
    """Records epochs of somebody's training; before `begin`, and in processes where that is never called, nothing.

    Parameters
    ----------
    path
        The run directory.
    every_epochs
        How often an epoch is due.
    options
        Further options of `masktools_train.Recorder`.

    Attributes
    ----------
    recorded
        The last epoch that was recorded, or with which training went on; -1 before that.

    Raises
    ------
    RecipeError
        If `every_epochs` is below 1.
    """

    def __init__(self, path: str | Path, every_epochs: int, options: Mapping[str, Any]) -> None:
        if every_epochs < 1:
            raise RecipeError(f"every_epochs must be at least 1, got {every_epochs}")
        self._path, self._every, self._options = path, every_epochs, options
        self._recorder: Recorder | None = None
        self.recorded = -1

    def begin(self, model: nn.Module, sparsifier: Sparsifier | None, epoch: int, *, goes_on: bool) -> None:
        """Record the initialisation; go on with the run where training goes on.

        Parameters
        ----------
        model
            The network.
        sparsifier
            What knows the masks.
        epoch
            Number of finished epochs.
        goes_on
            Whether training goes on from a checkpoint.

        Raises
        ------
        MasktoolsError
            As `masktools_train.Recorder` does.
        """
        options = {**self._options, "resume": True, "overwrite": False} if goes_on else self._options
        self._recorder = Recorder(self._path, model, sparsifier, **options)
        self.recorded = epoch
        if not goes_on:
            self._recorder.snapshot(0, 0)

    def due(self, epoch: int) -> bool:
        """Whether an epoch is one to record."""
        return epoch % self._every == 0

    def record(self, epoch: int, step: int, metrics: Mapping[str, Any] | None = None) -> None:
        """Record an epoch, unless that was done.

        Parameters
        ----------
        epoch, step
            Number of finished epochs and steps.
        metrics
            What was logged.
        """
        if self._recorder is None or epoch <= self.recorded:
            return
        self.recorded = epoch
        self._recorder.snapshot(epoch, step, metrics=_without_own(metrics or {}))

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Add what was logged to the epoch that was recorded last."""
        if self._recorder is not None:
            self._recorder.add_metrics(self.recorded, _without_own(metrics))


def _without_own(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in _OWN}
