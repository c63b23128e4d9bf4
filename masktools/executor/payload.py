"""A task as bytes on its way to another process, and what came of it as bytes on the way back."""

import pickle
import traceback
from collections.abc import Callable
from typing import Any

from masktools.errors import TaskError
from masktools.executor.tasks import Ledger, Task

__all__ = ["Stopped", "attempt", "note", "packed", "unpacked"]


class Stopped(SystemExit):
    """Raised within a function that is not to go on, because nobody waits for it any more."""


def packed(task: Task) -> bytes:
    """Return the function of a task and its arguments as bytes.

    Raises
    ------
    TaskError
        If they cannot be pickled.
    """
    try:
        return pickle.dumps((task.function, task.arguments))
    except Exception as error:
        raise TaskError(f"it cannot be sent to another process: {error}") from error


def unpacked(payload: bytes) -> Callable[[], bytes]:
    """Return a function that calls what `packed` packed; all that it needs is imported by then."""
    try:
        function, arguments = pickle.loads(payload)  # noqa: S301  # from the process that started this one
    except Exception as error:
        # Within an `except` its error is gone as soon as the block ends.
        outcome = _failure(error)
        return lambda: outcome
    return lambda: attempt(function, arguments)


def attempt(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """Call a function and return what came of it, as bytes; only `Stopped` gets out."""
    try:
        return pickle.dumps((True, function(*arguments)))
    except Stopped:
        raise
    # A function that exits is one that failed: left alone it would end the process, and be tried again.
    except BaseException as error:
        return _failure(error)


def note(task: Task, outcome: bytes, ledger: Ledger) -> None:
    """Tell a ledger what came of a task.

    Parameters
    ----------
    task
        The task.
    outcome
        What `attempt` returned.
    ledger
        Where it is noted.
    """
    try:
        succeeded, value = pickle.loads(outcome)  # noqa: S301  # from a process that this one trusts with its work
    except Exception as error:
        failure = TaskError(f"what it returned cannot be read in this process: {type(error).__name__}: {error}")
        failure.__cause__ = error
        ledger.failed(task, failure)
        return
    if succeeded:
        ledger.done(task, value)
    else:
        ledger.failed(task, value)


def _failure(error: BaseException) -> bytes:
    # Where it arose is lost on the way; notes are not.
    error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        outcome = pickle.dumps((False, error))
        pickle.loads(outcome)  # noqa: S301  # many an exception is pickled, but not read again
    except Exception:
        return pickle.dumps((False, TaskError(f"{type(error).__name__}: {error}")))
    return outcome
