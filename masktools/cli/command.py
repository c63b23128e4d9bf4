"""What a command is, and how its help is laid out."""

import dataclasses
from collections.abc import Callable

import typer

__all__ = ["Command"]

_VERBATIM = "\b"
"""Alone on a line, it keeps the help's paragraph below it from being wrapped."""


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of the program.

    Parameters
    ----------
    name
        How it is called.
    run
        The function that does it; its annotated parameters are the arguments and options.
    summary
        One sentence, shown in the list of commands.
    examples
        Command lines as one would type them; they lead the help, and a test parses each.
    details
        Further paragraphs of the help.
    """

    name: str
    run: Callable[..., None]
    summary: str
    examples: tuple[str, ...]
    details: str = ""

    @property
    def help(self) -> str:
        """Summary, examples, details."""
        return help_text(self.summary, self.examples, self.details)

    def register(self, app: typer.Typer) -> None:
        """Add the command to a program."""
        app.command(self.name, help=self.help, short_help=self.summary, no_args_is_help=False)(self.run)


_WIDTH = 76
"""Columns of an example that keep the help within 80."""


def _folded(example: str) -> list[str]:
    """Return the lines of a command line, which a shell takes for one, folded before an option if that can be."""
    cut = max(example.rfind(" -", 0, _WIDTH - 1), 0) or example.rfind(" ", 0, _WIDTH - 1)
    if len(example) <= _WIDTH or cut <= 0:
        return [example]
    return [f"{example[:cut]} \\", *(f"    {line}" for line in _folded(example[cut + 1 :]))]


def help_text(summary: str, examples: tuple[str, ...], details: str = "") -> str:
    """Return a help text that leads with examples."""
    lines = "\n".join(f"  {line}" for example in examples for line in _folded(example))
    return "\n\n".join(part for part in (summary, f"{_VERBATIM}\nExamples:\n{lines}", details) if part)
