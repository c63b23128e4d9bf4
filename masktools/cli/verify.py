"""``masktools verify``: whether a run can be trusted."""

import typer

from masktools.cli.command import Command
from masktools.cli.options import RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "verify"]

UNSOUND = 1
"""Exit status when a file is not what it was when it was written."""


def verify(run: RunArgument, format: FormatOption = None, output: OutputOption = None) -> None:  # noqa: A002
    """Check a run; parameters as on the command line.

    Raises
    ------
    typer.Exit
        With status 1 if a file is not sound.
    """
    from masktools.render.verification import verification_document
    from masktools.verification import verify as check

    result = check(run)
    emit(verification_document(result), format, output)
    if result.problems:
        raise typer.Exit(UNSOUND)


COMMAND = Command(
    name="verify",
    run=verify,
    summary="Check every file of a run: digests, counts, what can be read; exit status 1 if one is not sound.",
    examples=("masktools verify runs/dnw-s0", "masktools verify runs/dnw-s0 --format json"),
)
