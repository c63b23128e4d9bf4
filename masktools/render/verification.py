"""Verifications as documents."""

import dataclasses
from collections.abc import Sequence

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.numbers import count
from masktools.verification import FileCheck, FolderVerification, Verification

__all__ = ["folder_document", "verification_document"]

_COLUMNS = (Column("file"), Column("epoch", kind="count"), Column("digest", shown=False), Column("problem"))


def verification_document(result: Verification) -> Document:
    """Return what is wrong with a run, a row a file; CSV and JSON list the sound files too."""
    rows = _rows(result)
    everything = Table(result.run, _COLUMNS, rows, _reading(result.files))
    wrong = tuple(row for row, check in zip(rows, result.files, strict=True) if check.problem)
    shown = dataclasses.replace(everything, rows=wrong)
    return Document("verify", result.to_dict(), (shown,), records=everything)


def folder_document(result: FolderVerification) -> Document:
    """Return what is wrong in a directory of runs: a row a run, then a row a file that is not sound.

    CSV has a row a file, sound ones included.
    """
    files = [check for run in result.runs for check in run.files]
    names = [run.run.removeprefix(f"{result.folder.rstrip('/')}/") for run in result.runs]
    columns = (
        Column("run", whole=True),
        Column("files", kind="count"),
        Column("snapshots", kind="count"),
        Column("not sound", kind="count"),
    )
    overview = tuple(
        (name, len(run.files), _snapshots(run.files), len(run.problems))
        for name, run in zip(names, result.runs, strict=True)
    )
    runs = f"{count(len(names))} run{'s' if len(names) > 1 else ''}"
    tables = [Table(f"{result.folder}: {runs}", columns, overview, _reading(files))]
    by_file = (Column("run", whole=True), *_COLUMNS)
    rows = tuple((name, *row) for name, run in zip(names, result.runs, strict=True) for row in _rows(run))
    everything = Table(result.folder, by_file, rows, "")
    wrong = tuple(row for row, check in zip(rows, files, strict=True) if check.problem)
    if wrong:
        tables.append(Table("Files that are not sound", by_file, wrong, ""))
    return Document("verify", result.to_dict(), tuple(tables), records=everything)


def _rows(result: Verification) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (check.file.removeprefix(f"{result.run}/"), check.epoch, check.digest, check.problem or "sound")
        for check in result.files
    )


def _snapshots(files: Sequence[FileCheck]) -> int:
    return sum(check.epoch is not None for check in files)


def _reading(files: Sequence[FileCheck]) -> str:
    """Return in a sentence how many files are sound."""
    total, wrong, snapshots = len(files), sum(check.problem is not None for check in files), _snapshots(files)
    if wrong:
        return f"{count(wrong)} of {_files(total)} cannot be trusted."
    if total == 1:
        return "The file is sound, and a snapshot." if snapshots else "The file is sound."
    among = "1 snapshot" if snapshots == 1 else f"{count(snapshots)} snapshots"
    return f"All {_files(total)} are sound, {among} among them."


def _files(number: int) -> str:
    return f"{count(number)} file{'s' if number != 1 else ''}"
