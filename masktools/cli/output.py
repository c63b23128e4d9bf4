"""Where results go: the options that every command with a result shares, and what they do."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from masktools.atomic import write_text
from masktools.errors import MasktoolsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from masktools.render.document import Document
    from masktools.runs import Run

__all__ = ["FormatName", "FormatOption", "LongOutputOption", "OutputOption", "emit"]

FormatName: TypeAlias = Literal["table", "json", "csv"]
"""Names of the output formats; a test holds them equal to the registry `masktools.render.formats.FORMATS`."""

PLAIN_WIDTH = 80
"""Columns of a table that does not go to a terminal."""

BROKEN_PIPE = 141
"""Exit status when the reader went away, as a shell reports it: 128 + SIGPIPE."""


ENDINGS: Mapping[str, FormatName] = {"csv": "csv", "json": "json", "txt": "table"}
"""What the ending of a file says; one without an ending is a table."""


def _format_of(output: Path | None) -> FormatName:
    """Return what the ending of a file says.

    Raises
    ------
    MasktoolsError
        If it says nothing.
    """
    ending = output.suffix[1:].lower() if output else ""
    if ending and ending not in ENDINGS:
        known = ", ".join(f".{each}" for each in ENDINGS)
        raise MasktoolsError(
            f"{output}: the ending .{ending} says no format; there are {known}, and --format is for any other"
        )
    return ENDINGS.get(ending, "table")


def _known_ending(context: typer.Context, value: FormatName | None) -> FormatName | None:
    """Refuse an ending without a meaning before the work is done; whichever option comes last is looked at then."""
    if value is None and context.params.get("output"):
        _format_of(context.params["output"])
    return value


def _possible(context: typer.Context, value: Path | None) -> Path | None:
    """Refuse an output file that cannot be made before the work is done, not after."""
    if value is not None and value.is_dir():
        raise typer.BadParameter(f"{value} is a directory")
    if value is not None and not value.parent.is_dir():
        raise typer.BadParameter(f"{value.parent} is no directory")
    if "format" in context.params and context.params["format"] is None:
        _format_of(value)
    return value


FormatOption = Annotated[
    FormatName | None,
    typer.Option(
        "--format",
        help="How to write the result; what the ending of --output says (.csv, .json, .txt), else a table.",
        callback=_known_ending,
        show_default=False,
    ),
]
"""Annotation of a parameter ``format: FormatOption = None``."""

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write the result to this file instead of the standard output.",
        callback=_possible,
        show_default=False,
    ),
]
"""Annotation of a parameter ``output: OutputOption = None``."""

LongOutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the result to this file instead of the standard output.",
        callback=_possible,
        show_default=False,
    ),
]
"""The same for commands that make something else, which ``-o`` names."""


def emit(
    document: "Document",
    format: FormatName | None = None,  # noqa: A002
    output: Path | None = None,
    *,
    runs: "Iterable[Run | Path]" = (),
    epoch: int | None = None,
) -> None:
    """Write a result to standard output or to a file.

    Parameters
    ----------
    document
        The result.
    format
        Name of the format; None takes what the ending of `output` says, else ``table``.
    output
        File to write, whole or not at all; None is the standard output.
    runs
        What the result is about: it says so where the last mask of one is not final, because training was stopped.
    epoch
        Which epoch of them; with one that is counted from the beginning, nothing is said.

    Raises
    ------
    MasktoolsError
        If the file cannot be written, or no format is told and its ending says none.
    typer.Exit
        If the reader of the standard output has gone away.
    """
    from masktools.render.formats import FORMATS

    form = format or _format_of(output)
    write = FORMATS[form]
    if runs:
        from masktools.render.unfinished import with_unfinished_notes

        known = len(document.notes)
        document = with_unfinished_notes(document, runs, epoch)
        if form == "csv":  # has no place for a sentence
            for note in document.notes[: len(document.notes) - known]:
                typer.echo(f"masktools: note: {note}", err=True)
    if output is not None:
        try:
            write_text(output, write(document, PLAIN_WIDTH))
        except OSError as error:
            raise MasktoolsError(f"{output}: cannot be written: {error.strerror or error}") from error
        return
    terminal = sys.stdout.isatty()
    width = max(40, shutil.get_terminal_size().columns) if terminal else PLAIN_WIDTH
    styled = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    _to_stdout(write(document, width, styled, sys.stdout.encoding or "utf-8"))


def _to_stdout(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # What the encoding lacks (a name, in CSV) is written as an escape rather than ending in an error.
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not fail once more when the interpreter exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
