"""Write docs/commands.md: every command with its arguments and options, from the program.

Run it with ``make api``; a test holds the committed page equal to what this writes.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from masktools.cli.app import COMMANDS, app
from masktools.cli.command import Command

__all__ = ["main", "page"]

PAGE = Path(__file__).with_name("commands.md")

HEAD = """# Commands

Every command of the program, with its arguments and options: what `masktools COMMAND --help` says. Results go to
standard output and everything else to standard error. Exit status 0 is success, 1 a gate that you asked for, 2 bad
usage or unreadable input, 130 an interruption. `--debug` with any command shows where an error arose, `masktools
--version` the versions for a bug report, and `masktools --install-completion` lets the shell complete what you type.

This page is written by `make api`.
"""

GUIDES = {
    "train": "training",
    "sweep": "sweeps",
    "info": "runs",
    "compare": "overlap",
    "explain": "overlap",
    "emergence": "emergence",
    "connectivity": "connectivity",
    "criteria": "criteria",
    "reinit": "reinit",
    "freeze": "sweeps",
    "prune": "prune",
    "compact": "compact",
    "report": "report",
    "import": "import",
    "export": "export",
    "verify": "runs",
}
"""The page that shows how a command is used and read, and links to its options."""

_REMARK = re.compile(r"^(.*?)\s*\[([^\[\]]*)\]$", re.DOTALL)
"""What an argument does, and what stands behind it in brackets: default, bounds, required."""


def page() -> str:
    """Return the page."""
    commands: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009  # Typer's own Click
    index = [f"- [{command.name}](#{command.name}): {command.summary}" for command in COMMANDS]
    lines = [HEAD, *index]
    for command in COMMANDS:
        lines += ["", *_entry(command, commands[command.name])]
    return "\n".join(lines) + "\n"


def _entry(command: Command, parser: Any) -> Iterator[str]:
    """Yield the lines of one command."""
    context = typer.Context(parser, info_name=f"masktools {command.name}")
    guide = f"{GUIDES[command.name]}.md"
    yield from (f"## {command.name}", "", f"{_text(command.summary)} How it is used and read: [{guide}]({guide}).")
    usage = " ".join(parser.collect_usage_pieces(context))
    yield from ("", "```text", f"masktools {command.name} {usage}", "```")
    if command.details:
        yield from ("", _text(command.details))
    yield from ("", "Examples:", "", "```bash", *command.examples, "```")
    for title, kind in (("Arguments", "argument"), ("Options", "option")):
        found = [parameter for parameter in parser.params if parameter.param_type_name == kind]
        records = [record for parameter in found if (record := parameter.get_help_record(context)) is not None]
        if records:
            yield from ("", f"{title}:", "", *(_item(*record) for record in records))


def _item(names: str, says: str) -> str:
    """Return a line of a list: how a parameter is written, what it does, its default and bounds."""
    match = _REMARK.match(says)
    says, remark = (match[1], match[2]) if match else (says, "")
    remark = remark[:1].upper() + remark[1:].replace(">=", " ≥ ").replace("<=", " ≤ ")
    return f"- `{re.sub(' <(str|path)>', '', names)}`: {_text(says)}" + (f" *{remark}.*" if remark else "")


def _text(plain: str) -> str:
    """Return plain text as Markdown that shows it; names of files and options become code."""
    escaped = re.sub(r"([<*\[\]\\]|(?<!\w)_|_(?!\w))", r"\\\1", plain)
    marked = re.sub(r"(?<![\w-])(--[a-z][a-z-]*)", r"`\1`", escaped)
    return re.sub(r"docs/(\w+\.md)", r"[\1](\1)", marked)


def main() -> int:
    """Write the page and return the exit status."""
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
