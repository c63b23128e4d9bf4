"""Run directories: a lazy sequence of snapshots, with what is known about how they came to be."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from masktools.errors import RunError
from masktools.run_files import (
    METRICS,
    RUN_JSON,
    RUN_VERSION,
    STATE,
    epochs_in,
    planned_epoch,
    read_identity,
    read_metrics,
    snapshot_name,
)
from masktools.run_lock import is_locked
from masktools.run_places import held_runs, meant_runs, spans
from masktools.snapshot.read import Snapshot

__all__ = ["METRICS", "RUN_JSON", "RUN_VERSION", "STATE", "Run", "open_run"]


class Run(Sequence[Snapshot]):
    """A run directory, or a single snapshot file, as a sequence of snapshots in order of their epochs.

    The epochs are found by looking into the directory, so a run can be opened while it still grows.

    Parameters
    ----------
    path
        A run directory, or one ``.h5`` snapshot.

    Raises
    ------
    RunError
        If the path does not exist, cannot be looked into, or holds no snapshot.
    SnapshotError
        If the path is a single file that is no snapshot.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._directory: Path | None = None
        try:
            if self.path.is_dir():
                self._directory = self.path
                epochs = epochs_in(self.path)
                self._snapshots = {epoch: Snapshot(self.path / snapshot_name(epoch), epoch) for epoch in epochs}
            elif self.path.is_file():
                snapshot = Snapshot(self.path)
                self._snapshots = {snapshot.epoch: snapshot}
            else:
                raise RunError(f"{self.path}: no such run directory or snapshot file{meant_runs(self.path)}")
        except OSError as error:
            raise RunError(f"{self.path}: cannot be opened: {error}") from error
        if not self._snapshots:
            raise RunError(f"{self.path}: no snapshots (epoch-NNNN.h5) in this directory{held_runs(self.path)}")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {len(self)} snapshots)"

    @property
    def name(self) -> str:
        """Last part of the path, without a file ending."""
        return self.path.resolve().name if self._directory else self.path.stem

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs of which there is a snapshot, ascending."""
        return tuple(self._snapshots)

    def __len__(self) -> int:
        return len(self._snapshots)

    @overload
    def __getitem__(self, index: int) -> Snapshot: ...
    @overload
    def __getitem__(self, index: slice) -> list[Snapshot]: ...
    def __getitem__(self, index: int | slice) -> Snapshot | list[Snapshot]:
        return list(self._snapshots.values())[index]

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self._snapshots.values())

    @property
    def final(self) -> Snapshot:
        """Snapshot of the last epoch that there is, be training finished or not: see `is_complete`."""
        return self[-1]

    def at(self, epoch: int | None = None) -> Snapshot:
        """Return the snapshot of an epoch; negative numbers count from the end, None is the last.

        Raises
        ------
        RunError
            If there is no snapshot of that epoch.
        """
        if epoch is None:
            return self.final
        if epoch < 0 and -epoch <= len(self):
            return self[epoch]
        if epoch not in self._snapshots:
            raise RunError(f"{self.path}: no snapshot of epoch {epoch}; there are {spans(self.epochs)}")
        return self._snapshots[epoch]

    @property
    def info(self) -> dict[str, Any]:
        """What ``run.json`` says: format version, configuration, versions, device; empty without that file.

        Raises
        ------
        RunError
            If the file is there but cannot be read, or is too new.
        """
        return read_identity(self._directory / RUN_JSON) if self._directory else {}

    @property
    def planned_epoch(self) -> int | None:
        """The epoch that is the last one when training is finished; None where ``run.json`` does not say."""
        return planned_epoch(self.info)

    @property
    def is_complete(self) -> bool | None:
        """Whether there is a snapshot of the last planned epoch, so that `final` is final; None where none is known."""
        planned = self.planned_epoch
        return None if planned is None else self.epochs[-1] >= planned

    @property
    def is_being_written(self) -> bool:
        """Whether a process holds the run directory for writing at this moment."""
        return self._directory is not None and is_locked(self._directory)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration: of ``run.json``, else of the last snapshot."""
        info = self.info
        return dict(info["config"]) if "config" in info else self.final.config

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One record an epoch from ``metrics.jsonl``; a last line that was cut off is left out.

        Raises
        ------
        RunError
            If the file cannot be read, or another line is not a JSON object.
        """
        return read_metrics(self._directory / METRICS) if self._directory else []


def open_run(path: str | Path) -> Run:
    """Return a run directory, opened, or a single snapshot file as a run of one epoch.

    Parameters
    ----------
    path
        For example ``runs/dnw-s0`` or ``runs/dnw-s0/epoch-0030.h5``.

    Returns
    -------
    Run
        Its snapshots in the order of their epochs, which are read when they are asked for.

    Raises
    ------
    RunError
        If the path does not exist or holds no snapshot.
    SnapshotError
        If a single file is no snapshot.
    """
    return Run(path)
