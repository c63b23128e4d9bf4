"""Code blocks of pages, and what each of their languages promises.

Tests run the code of every page, so that a page says what the program does. A fence says which kind of block it is.
"""

import dataclasses
import re
from pathlib import Path

__all__ = ["LANGUAGES", "Block", "blocks", "command_lines", "pages"]

ROOT = Path(__file__).resolve().parents[1]

LANGUAGES = {
    "bash": "commands that are run; what they print is not compared",
    "console": "commands after `$` with exactly what they print, of the archived runs",
    "python": "code that is run, the blocks of a page one after the other; with `>>>` its output is compared",
    "toml": "a recipe that the program accepts",
    "json": "a sample of a result: valid JSON",
    "text": "a sample, or a form that is no code",
}

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block.

    Parameters
    ----------
    page
        Path of the page from the root of the repository.
    line
        Line of its fence.
    language
        What the fence says; empty where it says nothing.
    code
        What it holds.
    """

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return the pages with code that is held true: of the repository, and the documentation."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page."""
    text = page.read_text("utf-8")
    return [
        Block(
            str(page.relative_to(ROOT)),
            text.count("\n", 0, match.start()) + 1,
            match["language"].strip(),
            match["code"],
        )
        for match in _FENCE.finditer(text)
    ]


def command_lines(code: str) -> list[str]:
    """Return the commands of a block of a shell: lines, those continued put together."""
    lines = re.sub(r"\\\n\s*", "", code).split("\n")
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
