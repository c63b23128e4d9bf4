"""Run tasks in several processes of this machine, of which any may die without the others."""

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Final

from masktools.errors import TaskError
from masktools.executor.payload import note, packed
from masktools.executor.tasks import Ledger, Task
from masktools.executor.worker import serve

__all__ = ["ATTEMPTS", "run_in_processes"]

ATTEMPTS: Final = 3
"""How many processes may die of a task before it counts as failed."""

_GRACE: Final = 5.0
"""Seconds that a process has to end when it is asked to."""


@dataclasses.dataclass(eq=False)
class _Worker:
    """A process and what it does; only one that `started` has said that it is there and has got its task."""

    process: SpawnProcess
    connection: Connection
    task: Task
    payload: bytes
    started: bool = False


def run_in_processes(tasks: Sequence[Task], jobs: int, ledger: Ledger) -> None:
    """Run tasks in processes of their own; they end with this function, however it ends.

    Parameters
    ----------
    tasks
        The tasks; one whose process dies is tried again, `ATTEMPTS` times in all.
    jobs
        Number of processes.
    ledger
        What comes of the tasks is noted here.
    """
    pool = _Pool(tasks, min(jobs, len(tasks)), ledger)
    try:
        pool.run()
    finally:
        pool.end()


class _Pool:
    # Not a ProcessPoolExecutor: when a process of it dies, all its tasks fail, and which one was to blame is not said.

    def __init__(self, tasks: Sequence[Task], jobs: int, ledger: Ledger) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._waiting = collections.deque(tasks)
        self._jobs, self._ledger = jobs, ledger
        self._workers: dict[Connection, _Worker] = {}
        self._processes: list[SpawnProcess] = []
        self._deaths: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        while self._fill():
            heard = wait(list(self._workers), timeout=1)
            for worker in list(self._workers.values()):
                if worker.connection in heard:
                    self._hear(worker)
                # A process of its own that it left behind may hold its end of the connection open.
                elif not worker.process.is_alive() and not worker.connection.poll():
                    self._bury(worker)

    def end(self) -> None:
        """Let processes end, those at work too, and wait until they have."""
        try:
            for connection, worker in self._workers.items():
                # One that has not begun has nothing to close.
                (worker.process.terminate if worker.started else worker.process.kill)()
                connection.close()
            end = time.monotonic() + _GRACE
            for process in self._processes:
                process.join(max(0.0, end - time.monotonic()))
        finally:
            # Also when a second Ctrl-C has cut the waiting short.
            for process in self._processes:
                process.kill()
                process.join()

    def _fill(self) -> bool:
        while len(self._workers) < self._jobs and (found := self._next()):
            self._start(*found)
        return bool(self._workers)

    def _next(self) -> tuple[Task, bytes] | None:
        while self._waiting:
            task = self._waiting.popleft()
            try:
                return task, packed(task)
            except TaskError as error:
                self._ledger.failed(task, error)
        return None

    def _start(self, task: Task, payload: bytes) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs,), name=f"masktools {task.key}")
        with theirs, _inherited(self._jobs):
            process.start()
            self._processes.append(process)
            self._workers[ours] = _Worker(process, ours, task, payload)

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if worker.started:
            note(worker.task, message, self._ledger)
            following = self._next()
            if following is None:
                # What the process has in memory is better used by those that still have something to do.
                del self._workers[worker.connection]
                worker.connection.close()
                return
            worker.task, worker.payload = following
        worker.started = True
        # If it has died meanwhile, that is heard next.
        with contextlib.suppress(OSError):
            worker.connection.send_bytes(worker.payload)
        worker.payload = b""

    def _bury(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.connection.close()
        worker.process.join(1)
        worker.process.kill()
        worker.process.join()
        self._processes.remove(worker.process)
        task = worker.task
        self._deaths[task.key] += 1
        if self._deaths[task.key] < ATTEMPTS:
            # After the others: where memory was short there may be more of it by then.
            self._waiting.append(task)
        else:
            self._ledger.failed(task, TaskError(_obituary(worker)))


def _obituary(worker: _Worker) -> str:
    code = worker.process.exitcode or 0
    how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
    if not worker.started:
        return (
            f"its process died {ATTEMPTS} times before it began ({how}), perhaps because the program that was started "
            "has no if __name__ == '__main__'"
        )
    return f"its process died {ATTEMPTS} times ({how}{', perhaps for want of memory' if how == 'SIGKILL' else ''})"


@contextlib.contextmanager
def _inherited(jobs: int) -> Iterator[None]:
    """Give a process that is started inside the block its number of threads, and no signal before it is ready."""
    # Starting a process starts the tracker first, which in old Pythons lets go of the signals that are blocked here.
    resource_tracker.ensure_running()
    # The variable has to be there before the first import: the process may import the user's program to begin with.
    threads = "OMP_NUM_THREADS" not in os.environ
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        if threads:
            os.environ["OMP_NUM_THREADS"] = str(max(1, _cores() // jobs))
        yield
    finally:
        if threads:
            os.environ.pop("OMP_NUM_THREADS", None)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
