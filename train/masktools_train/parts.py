"""Parts that train: in this process, where somebody may watch, or in others."""

from collections.abc import Callable, Sequence
from typing import Any

from masktools.executor.run import run_tasks
from masktools.executor.tasks import Task
from masktools_train.progress import Observer

__all__ = ["run_parts"]


def run_parts(
    function: Callable[..., Any],
    parts: Sequence[tuple[str, tuple[Any, ...]]],
    *,
    jobs: int,
    scheduler: str | None,
    observer: Observer | None,
    finished: Callable[[str, Any], None] | None,
) -> dict[str, Any]:
    """Call a function that trains for each part, and return what came of them by their names.

    Parameters
    ----------
    function
        At the top of a module; its last argument is who watches.
    parts
        Name and further arguments of each part.
    jobs, scheduler
        As for `masktools.run_tasks`.
    observer
        Who watches each training, where they are done in this process.
    finished
        Called with the name and the result of each part that is done.

    Raises
    ------
    TaskError
        As `masktools.run_tasks` does.
    """
    watching = observer if jobs == 1 and scheduler is None else None
    return run_tasks(
        [Task(name, function, (*arguments, watching)) for name, arguments in parts],
        jobs=jobs,
        scheduler=scheduler,
        finished=None if finished is None else lambda task, result: finished(task.key, result),
    )
