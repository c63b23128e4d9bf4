"""What is said of runs whose last mask is not the final one, because training has not come to its end."""

import dataclasses
import os
from collections.abc import Iterable

from masktools.render.document import Document
from masktools.runs import Run, open_run

__all__ = ["unfinished_notes", "with_unfinished_notes"]


def unfinished_notes(runs: Iterable[Run | str | os.PathLike[str]], epoch: int | None = None) -> tuple[str, ...]:
    """Return a sentence about every run of which the last snapshot is taken for the final one and is not.

    Parameters
    ----------
    runs
        Runs, snapshots, or paths of either; what is given twice counts once. Of a single snapshot nothing is said, nor
        of a run that does not record which epoch will be its last: it is older than that, or another program's.
    epoch
        Which epoch of them is looked at. A number from 0 on is no last snapshot, and nothing is said.

    Raises
    ------
    RunError, SnapshotError
        If a run cannot be read.
    """
    if epoch is not None and epoch >= 0:
        return ()
    opened = [run if isinstance(run, Run) else open_run(os.fspath(run)) for run in runs]
    different = {run.path.resolve(): run for run in reversed(opened)}
    return tuple(_sentence(run) for run in reversed(different.values()) if run.is_complete is False)


def with_unfinished_notes(
    document: Document, runs: Iterable[Run | str | os.PathLike[str]], epoch: int | None = None
) -> Document:
    """Return a document that says first, of all its notes, which of its runs are not finished.

    Parameters
    ----------
    document
        The result of a command.
    runs, epoch
        As for `unfinished_notes`.
    """
    return dataclasses.replace(document, notes=(*unfinished_notes(runs, epoch), *document.notes))


def _sentence(run: Run) -> str:
    last, planned = run.epochs[-1], run.planned_epoch
    if run.is_being_written:
        now = f"now at epoch {last} of {planned}"
        return f"{run.path} is still being trained, {now}, and what is called final here is not."
    logged = [record["epoch"] for record in run.metrics if isinstance(record.get("epoch"), int)]
    if planned in logged:
        return (
            f"{run.path} was trained to epoch {planned}, but holds no snapshot after epoch {last}, and what is called "
            "final here is not."
        )
    return (
        f"{run.path} ends at epoch {last} of {planned}: its training was stopped, and what is called final here is "
        "not; `masktools train --resume` goes on."
    )
