"""Live progress of training on a terminal; a few plain lines elsewhere. Always on standard error."""

import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from masktools_train.progress import EpochRecord

__all__ = ["TrainingProgress"]


class TrainingProgress(contextlib.AbstractContextManager["TrainingProgress"]):
    """Watches one training after another (an `Observer` of the training package).

    Parameters
    ----------
    quiet
        Show nothing but warnings.
    lines
        Lines that each training writes where there is no terminal.
    """

    def __init__(self, quiet: bool = False, lines: int = 10) -> None:
        self._lines = lines
        self._console = Console(stderr=True, highlight=False)
        self._live = self._console.is_interactive and not quiet
        self._quiet = quiet
        self._bar = _Bar(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None, state="", visible=False)
        self._title, self._epochs = "", 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def started(self, title: str, steps: int, epochs: int) -> None:
        """Begin a bar of `steps` steps."""
        self._title, self._epochs = title, epochs
        self._bar.reset(self._task, total=steps, description=title, state="", visible=True)

    def stepped(self, count: int) -> None:
        """Move the bar on."""
        self._bar.advance(self._task, count)

    def epoch_done(self, record: "EpochRecord") -> None:
        """Show the figures of an epoch."""
        self._bar.update(self._task, state=_figures(record))
        every = max(1, self._epochs // self._lines)
        due = record.epoch == self._epochs or (record.epoch and record.epoch % every == 0)
        if due and not self._live and not self._quiet:
            self._console.print(
                f"{self._title}: epoch {record.epoch}/{self._epochs}  {_figures(record)}", soft_wrap=True
            )

    def noted(self, message: str) -> None:
        """Show a sentence, unless quiet."""
        self.say(message)

    def warned(self, message: str) -> None:
        """Show a warning."""
        self._console.print(f"masktools: warning: {message}", soft_wrap=True, markup=False)

    def say(self, message: str) -> None:
        """Show a sentence, unless quiet."""
        if not self._quiet:
            self._console.print(message, soft_wrap=True, markup=False)


class _Bar(Progress):
    """A bar below a line of its own for what it is of: side by side they would be cut at 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the lines of a task, then its bar."""
        shown = [task for task in self.tasks if task.visible]
        for task in shown:
            yield Text(f"{task.description}  {task.fields['state']}".rstrip())
        yield self.make_tasks_table(shown)


def _figures(record: "EpochRecord") -> str:
    loss = record.test_loss if record.train_loss is None else record.train_loss
    return f"loss {loss:.3f}  accuracy {100 * record.test_accuracy:.1f} %  density {100 * record.density:.2f} %"
