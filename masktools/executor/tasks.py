"""What is to be run, and what has come of it so far."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from masktools.errors import MasktoolsError, TaskError

__all__ = ["Ledger", "Task"]


@dataclasses.dataclass(frozen=True)
class Task:
    """One part of a computation that needs no other part.

    Parameters
    ----------
    key
        Names the part in messages and results, for example ``"dnw-s3"``; no two parts have the same.
    function
        A function of a module, so that another process finds it by its name.
    arguments
        What it is called with; they and what it returns are pickled where another process runs it.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


class Ledger:
    """Results and failures of a list of tasks, noted as the tasks end in whatever order.

    Parameters
    ----------
    tasks
        The tasks, in the order of the results.
    finished
        Called with each task that succeeds and what it returned.

    Raises
    ------
    TaskError
        If two tasks have the same key.
    """

    def __init__(self, tasks: Sequence[Task], finished: Callable[[Task, Any], None] | None = None) -> None:
        self._places = {task.key: place for place, task in enumerate(tasks)}
        if len(self._places) < len(tasks):
            twice = next(task.key for place, task in enumerate(tasks) if self._places[task.key] != place)
            raise TaskError(f"two parts are called {twice!r}")
        self._finished = finished
        self._results: dict[str, Any] = {}
        self._reasons: dict[str, str] = {}
        self._first: tuple[int, BaseException] | None = None

    def done(self, task: Task, value: Any) -> None:
        """Note what a task returned."""
        self._results[task.key] = value
        if self._finished is not None:
            self._finished(task, value)

    def failed(self, task: Task, error: BaseException) -> None:
        """Note why a task failed."""
        reason = " ".join(str(error).split())
        if not isinstance(error, MasktoolsError):
            reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        self._reasons[task.key] = reason
        place = self._places[task.key]
        # Only one error is kept: each holds on to all that its function had in memory.
        if self._first is None or place < self._first[0]:
            self._first = place, error

    def results(self) -> dict[str, Any]:
        """Return the results by key, in the order of the tasks.

        Raises
        ------
        TaskError
            If a task failed: how many did, and why the first of them.
        """
        if self._first is None:
            return {key: self._results[key] for key in self._places}
        reasons = {key: self._reasons[key] for key in self._places if key in self._reasons}
        key, reason = next(iter(reasons.items()))
        which = key if len(reasons) == 1 else f"the first of them {key}"
        raise TaskError(f"{len(reasons)} of {len(self._places)} parts failed, {which}: {reason}", reasons) from (
            self._first[1]
        )
