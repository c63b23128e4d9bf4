"""The one place through which independent parts of a computation are run."""

from collections.abc import Callable, Sequence
from typing import Any

from masktools.errors import TaskError
from masktools.executor.tasks import Ledger, Task

__all__ = ["run_tasks"]


def run_tasks(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    finished: Callable[[Task, Any], None] | None = None,
) -> dict[str, Any]:
    """Run tasks that need nothing of one another; one that fails leaves the others alone.

    A task whose process dies is tried again, three times in all (on a cluster, as often as its scheduler allows). When
    this function is interrupted, by Ctrl-C or an exception of `finished`, so are the tasks.

    Parameters
    ----------
    tasks
        The tasks, in the order in which they begin.
    jobs
        Number of processes; 1 runs the tasks in this process. Several are started afresh (``spawn``), so a program
        needs ``if __name__ == "__main__"``, and share the cores: each has ``OMP_NUM_THREADS`` of its part of
        them, unless the variable is set already.
    scheduler
        Address of a Dask scheduler, ``tcp://host:port``: the tasks run on its workers instead.
    finished
        Called in this process with each task that succeeds, and what it returned, as soon as it ends.

    Returns
    -------
    dict
        What each task returned, by its key, in the order of the tasks.

    Raises
    ------
    TaskError
        If tasks failed, after all others have ended; its cause is the error of the first. Also if keys are not
        unique, `jobs` and `scheduler` are both given, or the scheduler cannot be reached.
    """
    if jobs < 1:
        raise TaskError(f"jobs must be 1 or more, not {jobs}")
    if scheduler is not None and jobs > 1:
        raise TaskError(f"jobs ({jobs}) are processes of this machine and a scheduler has its own: give one of them")
    ledger = Ledger(tasks, finished)
    if not tasks:
        return {}
    # Each way is imported where it is taken: a command that runs one part pays for neither.
    if scheduler is not None:
        from masktools.executor.dask_client import run_on_cluster

        run_on_cluster(tasks, scheduler, ledger)
    elif jobs > 1:
        from masktools.executor.local import run_in_processes

        run_in_processes(tasks, jobs, ledger)
    else:
        _run_here(tasks, ledger)
    return ledger.results()


def _run_here(tasks: Sequence[Task], ledger: Ledger) -> None:
    for task in tasks:
        try:
            value = task.function(*task.arguments)
        except Exception as error:
            ledger.failed(task, error)
        else:
            ledger.done(task, value)
