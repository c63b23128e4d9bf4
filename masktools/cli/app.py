"""The program ``masktools``: its commands, and what happens when one fails."""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from masktools.cli import (
    compact,
    compare,
    connectivity,
    criteria,
    emergence,
    explain,
    export,
    freeze,
    import_run,
    info,
    prune,
    reinit,
    report,
    sweep,
    train,
    verify,
)
from masktools.cli.command import Command, help_text
from masktools.cli.typed import remembering
from masktools.errors import MasktoolsError

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: Final[tuple[Command, ...]] = (
    train.COMMAND,
    sweep.COMMAND,
    info.COMMAND,
    compare.COMMAND,
    explain.COMMAND,
    emergence.COMMAND,
    connectivity.COMMAND,
    criteria.COMMAND,
    reinit.COMMAND,
    freeze.COMMAND,
    prune.COMMAND,
    compact.COMMAND,
    report.COMMAND,
    import_run.COMMAND,
    export.COMMAND,
    verify.COMMAND,
)
"""Every command, in the order of the help."""

FAILED: Final = 2
"""Exit status of bad usage, unreadable input and of our own bugs; 1 is kept for gates that a user asked for."""

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as a shell reports it: 128 + SIGINT."""

_DEBUG: Final = "--debug"

# The base class of Typer's usage errors: `typer.TyperException` in new versions, without a public name in 0.26.
_UsageError: Final[type[Exception]] = next(
    base
    for base in reversed(typer.BadParameter.__mro__)
    if issubclass(base, Exception) and hasattr(base, "format_message")
)

app = typer.Typer(name="masktools", rich_markup_mode=None, pretty_exceptions_enable=False)


def _version(asked: bool) -> None:
    if asked:
        from masktools.cli.versions import versions

        typer.echo(versions())
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    help=help_text(
        "Look at the structure of sparse neural networks.",
        (
            "masktools train digits --algorithm rigl --out runs/rigl-s0",
            "masktools compare runs/dnw-s0 runs/rigl-s0",
            "masktools emergence runs/dnw-s0 --format json",
        ),
    ),
)
def _program(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  # its callback does it
        bool,
        typer.Option(
            "--version", help="Show the versions for a bug report and exit.", callback=_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[  # noqa: ARG001  # `main` sees to it
        bool, typer.Option(_DEBUG, help="Show where an error arose, with any command.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(FAILED)


for _command in COMMANDS:
    _command.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status.

    Parameters
    ----------
    arguments
        What follows the program's name; None takes it from the command line.

    Returns
    -------
    int
        0 success; 1 a gate that the user asked for was not met; 2 bad usage, unreadable input or a bug;
        130 interrupted.
    """
    typed = sys.argv[1:] if arguments is None else arguments
    arguments, debug = _debug_first(typed)
    try:
        with remembering(typed):
            status = app(arguments, prog_name="masktools", standalone_mode=False)
    except (MasktoolsError, OSError, _UsageError) as error:
        if debug:
            traceback.print_exc()
        _complain(_sentence(error))
        return FAILED
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        _complain(f"this is a bug in masktools: {type(error).__name__}: {error}")
        return FAILED
    if status == INTERRUPTED:
        _complain("interrupted")
    return status if isinstance(status, int) else 0


def _debug_first(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Move ``--debug`` to the front: it belongs to the program, but is typed where one happens to be."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != _DEBUG]
    debug = len(options) < end
    return [*([_DEBUG] if debug else []), *options, *arguments[end:]], debug


def _sentence(error: BaseException) -> str:
    if isinstance(error, _UsageError):
        message: str = getattr(error, "format_message")()  # noqa: B009  # the class has no public type in 0.26
        text = " ".join(message.replace("Value error, ", "").split())
        context = getattr(error, "ctx", None)
        return f"{text.rstrip('.')}; see {context.command_path} --help" if context is not None else text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _complain(sentence: str) -> None:
    from masktools.render.numbers import printable

    print(f"masktools: error: {printable(sentence)}", file=sys.stderr)  # noqa: T201
