"""Verifications as documents."""

import dataclasses

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import count
from masktools.verification import Verification

__all__ = ["verification_document"]


def verification_document(result: Verification) -> Document:
    """Return what is wrong with a run, a row a file; CSV and JSON list the sound files too."""
    snapshots = sum(check.epoch is not None for check in result.files)
    if result.problems:
        reading = f"{count(len(result.problems))} of {count(len(result.files))} files cannot be trusted."
    else:
        reading = f"All {count(len(result.files))} files are sound, {count(snapshots)} snapshots among them."
    columns = (Column("file"), Column("epoch", kind="count"), Column("digest", shown=False), Column("problem"))
    rows = tuple(
        (check.file.removeprefix(f"{result.run}/"), check.epoch, check.digest, check.problem or "sound")
        for check in result.files
    )
    everything = Table(result.run, columns, rows, reading)
    wrong = tuple(row for row, check in zip(rows, result.files, strict=True) if check.problem)
    shown = dataclasses.replace(everything, rows=wrong)
    return Document("verify", result.to_dict(), (shown,), records=everything)
