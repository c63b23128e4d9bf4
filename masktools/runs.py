"""Run directories: a lazy sequence of snapshots, with what is known about how they came to be."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from masktools.atomic import write_text
from masktools.errors import RunError
from masktools.snapshot.content import SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.snapshot.write import write_snapshot

__all__ = ["METRICS", "RUN_JSON", "RUN_VERSION", "Run", "RunWriter", "open_run"]

RUN_JSON = "run.json"
METRICS = "metrics.jsonl"
RUN_VERSION = "1.0"
_SNAPSHOT = re.compile(r"epoch-(\d{4,9})\.h5")


def _snapshot_name(epoch: int) -> str:
    return f"epoch-{epoch:04d}.h5"


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
        If the path does not exist or holds no snapshot.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            found = {int(m[1]): p for p in self.path.iterdir() if (m := _SNAPSHOT.fullmatch(p.name))}
            if not found:
                raise RunError(f"{self.path}: no snapshots (epoch-NNNN.h5) in this directory")
            self._snapshots = {epoch: Snapshot(found[epoch]) for epoch in sorted(found)}
            self._directory: Path | None = self.path
        elif self.path.is_file():
            snapshot = Snapshot(self.path)
            self._snapshots = {snapshot.epoch: snapshot}
            self._directory = None
        else:
            raise RunError(f"{self.path}: no such run directory or snapshot file")

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
        """Snapshot of the last epoch."""
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
            raise RunError(f"{self.path}: no snapshot of epoch {epoch}; there are {_spans(self.epochs)}")
        return self._snapshots[epoch]

    @property
    def info(self) -> dict[str, Any]:
        """What ``run.json`` says: format version, configuration, versions, device; empty without that file.

        Raises
        ------
        RunError
            If the file is there but cannot be read.
        """
        path = self._directory / RUN_JSON if self._directory else None
        if path is None or not path.is_file():
            return {}
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path}: not readable: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{path}: is not a JSON object")
        return value

    @property
    def config(self) -> dict[str, Any]:
        """The configuration: of ``run.json``, else of the last snapshot."""
        config = self.info.get("config")
        return dict(config) if isinstance(config, Mapping) else self.final.config

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """One record an epoch from ``metrics.jsonl``; a last line that was cut off is left out.

        Raises
        ------
        RunError
            If another line is not a JSON object.
        """
        path = self._directory / METRICS if self._directory else None
        if path is None or not path.is_file():
            return []
        records: list[dict[str, Any]] = []
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line) if line.strip() else None
            except ValueError as error:
                if number == len(lines):
                    break
                raise RunError(f"{path}: line {number} is not JSON: {error}") from error
            if isinstance(value, dict):
                records.append(value)
        return records


def open_run(path: str | Path) -> Run:
    """Open a run directory, or a single snapshot file as a run of one epoch.

    Parameters
    ----------
    path
        For example ``runs/dnw-s0`` or ``runs/dnw-s0/epoch-0030.h5``.

    Raises
    ------
    RunError
        If the path does not exist or holds no snapshot.
    SnapshotError
        If a single file is no snapshot.
    """
    return Run(path)


class RunWriter:
    """Creates a run directory and adds to it; each file appears whole or not at all.

    Parameters
    ----------
    path
        The directory; made when missing.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be made: {error}") from error

    @property
    def occupied(self) -> bool:
        """Whether the directory holds a run already."""
        return (self.path / RUN_JSON).exists() or any(_SNAPSHOT.fullmatch(p.name) for p in self.path.iterdir())

    def describe(self, info: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        record = {"format": "masktools-run", "version": RUN_VERSION, **info}
        write_text(self.path / RUN_JSON, json.dumps(record, indent=2) + "\n")

    def snapshot(self, content: SnapshotContent) -> Path:
        """Write the snapshot of one epoch and return its path."""
        path = self.path / _snapshot_name(content.epoch)
        write_snapshot(path, content)
        return path

    def metrics(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl`` by one line a record."""
        write_text(self.path / METRICS, "".join(json.dumps(record) + "\n" for record in records))


def _spans(numbers: Sequence[int]) -> str:
    """Write ascending integers as spans: ``0-30, 40``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
