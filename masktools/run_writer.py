"""Writing run directories, each file whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.errors import RunError
from masktools.run_files import (
    METRICS,
    RUN_JSON,
    epochs_in,
    is_run_file,
    snapshot_name,
    write_identity,
    write_metrics,
)
from masktools.snapshot.content import SnapshotContent
from masktools.snapshot.streamed import StreamedContent
from masktools.snapshot.write import write_snapshot

__all__ = ["RunWriter"]


class RunWriter:
    """Creates a run directory and adds to it; each file appears whole or not at all.

    Parameters
    ----------
    path
        The directory; made when something is first written.

    Raises
    ------
    RunError
        If the directory or a file in it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        nearest = next((place for place in (self.path, *self.path.parents) if place.exists()), None)
        if nearest is not None and not nearest.is_dir():
            raise RunError(f"{self.path}: cannot be made: {nearest} is a file")

    def make(self) -> Path:
        """Make the directory where it is missing, and return it.

        Raises
        ------
        RunError
            If it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made: {error.strerror or error}") from error
        return self.path

    @property
    def occupied(self) -> bool:
        """Whether the directory holds a run already."""
        return self.path.is_dir() and ((self.path / RUN_JSON).exists() or bool(epochs_in(self.path)))

    def clear(self) -> None:
        """Delete the run that is there: its snapshots, metrics, identity and state; other files stay."""
        if not self.path.is_dir():
            return
        try:
            for path in self.path.iterdir():
                if is_run_file(path.name) and not path.is_dir():
                    path.unlink()
        except OSError as error:
            raise RunError(f"{self.path}: cannot be cleared: {error.strerror or error}") from error

    def describe(self, info: Mapping[str, Any]) -> None:
        """Write ``run.json``: what is known about the run, under ``config`` its configuration.

        Raises
        ------
        RunError
            If `info` is no JSON or the file cannot be written.
        """
        write_identity(self.make() / RUN_JSON, info)

    def snapshot(self, content: SnapshotContent | StreamedContent) -> Path:
        """Write the snapshot of one epoch and return its path.

        Raises
        ------
        SnapshotError
            If the file cannot be written.
        """
        path = self.make() / snapshot_name(content.epoch)
        write_snapshot(path, content)
        return path

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl`` by one line a record; a number that is not finite becomes null.

        Raises
        ------
        RunError
            If a record is no JSON or the file cannot be written.
        """
        write_metrics(self.make() / METRICS, records)
