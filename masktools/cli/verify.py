"""``masktools verify``: whether a run can be trusted."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "verify"]

UNSOUND = 1
"""Exit status when a file is not what it was when it was written."""


def verify(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run directory, one .h5 snapshot, or a directory of runs.", show_default=False
        ),
    ],
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Check a run; parameters as on the command line.

    Raises
    ------
    typer.Exit
        With status 1 if a file is not sound.
    """
    from masktools.render.verification import folder_document, verification_document
    from masktools.run_places import holds_runs
    from masktools.verification import verify as check
    from masktools.verification import verify_folder

    if holds_runs(run):
        several = verify_folder(run)
        problems = several.problems
        emit(folder_document(several), format, output)
    else:
        result = check(run)
        problems = result.problems
        emit(verification_document(result), format, output)
    if problems:
        raise typer.Exit(UNSOUND)


COMMAND = Command(
    name="verify",
    run=verify,
    summary="Check every file of a run, or of a directory of runs: digests, counts; exit status 1 if one is not sound.",
    examples=("masktools verify runs/dnw-s0", "masktools verify runs", "masktools verify runs/dnw-s0 --format json"),
)
