"""Write the outputs of commands anew that pages show: blocks of the language ``console``.

A line that begins with ``$`` is a command, what follows it is what it prints; where that ends with ``...`` it is the
part before the first empty line. Commands are run on the archived runs of ``fixtures``, so every machine prints the
same. Run it with ``make api``; a test holds the pages equal to what this writes.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from code_blocks import ROOT, pages

from masktools.cli.app import main as masktools

__all__ = ["RUNS", "archived_runs", "main", "printed", "renewed"]

RUNS = {
    "dnw": "v1.1/dnw",
    "dnw-frozen": "v1/dnw-frozen",
    "ltr": "v1/ltr",
    "resnet20": "v1/no-values-resnet20",
    "rigl": "v1/rigl",
    "static": "v1/static",
    "vit": "v1.1/rigl-vit",
}
"""Names of runs in the examples, and the archived run that each is."""

_BLOCK = re.compile(r"^(```console\n)(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_MORE = "...\n"


@contextlib.contextmanager
def archived_runs() -> Iterator[Path]:
    """Go to a folder that has the archived runs in `runs`, and leave nothing of it behind."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        for run, source in RUNS.items():
            shutil.copytree(ROOT / "fixtures" / source, Path(name, "runs", run))
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def printed(line: str) -> str:
    """Return what a command prints, with the messages of one that fails.

    Parameters
    ----------
    line
        The command as one types it; one of `masktools`.
    """
    program, *words = shlex.split(line, comments=True)
    if program != "masktools":
        raise ValueError(f"{line}: only masktools is run here")
    output = io.StringIO()
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR", "TERM")}
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        masktools(words)
    return output.getvalue()


def renewed(text: str) -> str:
    """Return a page with what its commands print now, in a folder that has the archived runs."""

    def answer(match: re.Match[str]) -> str:
        found = printed(match[1])
        if match[2].endswith(_MORE):
            found = f"{found.partition(chr(10) * 2)[0]}\n{_MORE}"
        return f"$ {match[1]}\n{found}"

    return _BLOCK.sub(lambda match: f"{match[1]}{_COMMAND.sub(answer, match[2])}```", text)


def main() -> int:
    """Write the pages and return the exit status."""
    for page in pages():
        before = page.read_text("utf-8")
        if _BLOCK.search(before):
            with archived_runs():
                after = renewed(before)
            # Running commands takes seconds, in which somebody may have gone on writing.
            if after != before and page.read_text("utf-8") == before:
                page.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
