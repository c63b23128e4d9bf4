"""Live progress of an import on a terminal; nothing elsewhere. Always on standard error."""

import contextlib
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["ImportProgress"]


class ImportProgress(contextlib.AbstractContextManager["ImportProgress"]):
    """Watches an import: a bar a checkpoint, which counts its layers.

    Parameters
    ----------
    quiet
        Show nothing but warnings.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=quiet or not self._console.is_interactive,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, visible=False)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, name: str, done: int, total: int) -> None:
        """Show how far a checkpoint is.

        Parameters
        ----------
        name
            What it is called.
        done, total
            Layers.
        """
        self._bar.update(self._task, description=name, completed=done, total=total, visible=True)

    def warned(self, message: str) -> None:
        """Show a warning."""
        self._console.print(f"masktools: warning: {message}", soft_wrap=True, markup=False)
