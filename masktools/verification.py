"""Whether a run can be trusted: every file read whole, every value held against its digest."""

import dataclasses
from pathlib import Path
from typing import Any

from masktools.errors import MasktoolsError, RunError
from masktools.frames import ToFrame
from masktools.run_files import METRICS, RUN_JSON, read_identity, read_metrics
from masktools.run_places import required_directories
from masktools.runs import open_run
from masktools.snapshot.read import Snapshot
from masktools.snapshot.verify import verify_snapshot

__all__ = ["FileCheck", "FolderVerification", "Verification", "verify", "verify_folder"]


@dataclasses.dataclass(frozen=True)
class FileCheck:
    """What was found about one file.

    Parameters
    ----------
    file
        Its path.
    epoch
        Epoch of a snapshot that is sound, else None.
    digest
        Digest of the content of a snapshot that is sound: equal digests, equal contents.
    problem
        What is wrong with it, or None.
    """

    file: str
    epoch: int | None
    digest: str | None
    problem: str | None


@dataclasses.dataclass(frozen=True)
class Verification(ToFrame):
    """What was found about a run.

    Parameters
    ----------
    run
        Its path.
    files
        One entry a file, snapshots first.
    """

    run: str
    files: tuple[FileCheck, ...]

    @property
    def problems(self) -> tuple[FileCheck, ...]:
        """The files that something is wrong with."""
        return tuple(check for check in self.files if check.problem is not None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        files = [dataclasses.asdict(check) for check in self.files]
        return {"run": self.run, "sound": not self.problems, "problems": len(self.problems), "files": files}


@dataclasses.dataclass(frozen=True)
class FolderVerification:
    """What was found about all runs in a directory.

    Parameters
    ----------
    folder
        Its path.
    runs
        One entry a run, sorted by name.
    """

    folder: str
    runs: tuple[Verification, ...]

    @property
    def problems(self) -> tuple[FileCheck, ...]:
        """The files of all runs that something is wrong with."""
        return tuple(check for run in self.runs for check in run.problems)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; a run has the keys of a single verification."""
        return {
            "folder": self.folder,
            "sound": not self.problems,
            "problems": len(self.problems),
            "runs": [run.to_dict() for run in self.runs],
        }


def verify(path: str | Path) -> Verification:
    """Read every file of a run and check all that can be checked.

    Every array is held against its digest, every mask against its recorded count, every snapshot against the
    digest of its content and its file name, and ``run.json`` and ``metrics.jsonl``, where they are, must be readable.

    Parameters
    ----------
    path
        A run directory, or a single snapshot file.

    Returns
    -------
    Verification
        What was found in each file, sound ones included.

    Raises
    ------
    RunError
        If there is no run at all. What is wrong within one is reported, not raised.
    """
    path = Path(path)
    if path.is_file():
        return Verification(str(path), (_snapshot(path, None),))
    run = open_run(path)
    checks = [_snapshot(run.at(epoch).path, epoch) for epoch in run.epochs]
    for name, read in ((RUN_JSON, read_identity), (METRICS, read_metrics)):
        if (path / name).exists():  # neither is a must
            checks.append(_readable(path / name, read))
    return Verification(str(path), tuple(checks))


def verify_folder(path: str | Path) -> FolderVerification:
    """Verify every run below a directory, at any depth: re-evaluations too.

    Parameters
    ----------
    path
        A directory that holds run directories, as for `masktools.open_runs`.

    Raises
    ------
    RunError
        If there is no run, or a directory cannot be looked into.
    """
    return FolderVerification(str(path), tuple(verify(place) for place in required_directories(Path(path))))


def _snapshot(path: Path, epoch: int | None) -> FileCheck:
    snapshot = Snapshot(path)
    try:
        digest, found = verify_snapshot(snapshot), snapshot.epoch
    except MasktoolsError as error:
        return FileCheck(str(path), None, None, str(error).removeprefix(f"{path}: "))
    if epoch is not None and found != epoch:
        return FileCheck(str(path), found, digest, f"is named after epoch {epoch} but holds epoch {found}")
    return FileCheck(str(path), found, digest, None)


def _readable(path: Path, read: Any) -> FileCheck:
    try:
        read(path)
    except RunError as error:
        return FileCheck(str(path), None, None, str(error).removeprefix(f"{path}: "))
    return FileCheck(str(path), None, None, None)
