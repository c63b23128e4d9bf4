"""Run tasks on the workers of a Dask cluster."""

import collections
import contextlib
import logging
import queue
import socket
import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from masktools.errors import TaskError
from masktools.executor.dask_part import run_part
from masktools.executor.payload import note
from masktools.executor.tasks import Ledger, Task

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["run_on_cluster"]

_REACH: Final = 10
"""Seconds in which a scheduler has to answer, and a cluster to have a first worker."""

_GREETING: Final = 2**16
"""More bytes than the first message of a scheduler has."""

_GRACE: Final = 3
"""Seconds that a scheduler has to take its leave."""

_PATIENCE: Final = 300.0
"""Seconds for which all workers may be gone later on: those of a batch system come back."""


def run_on_cluster(tasks: Sequence[Task], scheduler: str, ledger: Ledger) -> None:
    """Run tasks on the workers of a cluster, one at a time on each; none goes on when this function has ended.

    Parameters
    ----------
    tasks
        The tasks; Dask tries one again whose worker dies.
    scheduler
        Address of the scheduler, ``tcp://host:port``.
    ledger
        What comes of the tasks is noted here.

    Raises
    ------
    TaskError
        If the scheduler cannot be reached or is lost, has no workers, or Dask is not installed.
    """
    with _quiet(), _connected(scheduler) as client:
        _Cluster(client, scheduler, tasks, ledger).run()


class _Cluster:
    def __init__(self, client: "Client", scheduler: str, tasks: Sequence[Task], ledger: Ledger) -> None:
        self._client, self._scheduler, self._ledger = client, scheduler, ledger
        self._waiting = collections.deque(tasks)
        self._running: dict[str, tuple[Task, Future[bytes]]] = {}
        self._ended: queue.SimpleQueue[Future[bytes]] = queue.SimpleQueue()
        # Other programs may give the scheduler tasks of the same names.
        self._prefix = f"masktools-{uuid.uuid4().hex}"

    def run(self) -> None:
        since = time.monotonic()
        while self._waiting or self._running:
            workers = self._workers()
            if workers:
                since = time.monotonic()
            elif time.monotonic() - since > _PATIENCE:
                raise TaskError(f"scheduler {self._scheduler}: all its workers have been gone for {_PATIENCE:.0f} s")
            # Dask blames the death of a worker on all tasks that it was given, begun or not: none waits behind another.
            while self._waiting and len(self._running) < workers:
                self._submit(self._waiting.popleft())
            with contextlib.suppress(queue.Empty):
                self._note(self._ended.get(timeout=1))

    def _workers(self) -> int:
        try:
            return len(self._client.nthreads())
        except Exception as error:
            raise self._lost() from error

    def _submit(self, task: Task) -> None:
        import cloudpickle

        try:
            # Unlike pickle it sends functions of the program itself, which a worker cannot import.
            payload: bytes = cloudpickle.dumps((task.function, task.arguments))
        except Exception as error:
            self._ledger.failed(task, error)
            return
        key = f"{self._prefix}-{task.key}"
        future = self._client.submit(run_part, key, payload, key=key, pure=False)
        self._running[key] = task, future
        future.add_done_callback(self._ended.put)

    def _note(self, future: "Future[bytes]") -> None:
        from distributed import KilledWorker

        task, _ = self._running[str(future.key)]
        try:
            outcome = future.result()
        except KilledWorker as error:
            died = TaskError(f"its process died {error.allowed_failures + 1} times")
            died.__cause__ = error
            self._ledger.failed(task, died)
        except Exception as error:
            # Nobody but Dask cancels anything here, when its scheduler is gone.
            if future.status == "cancelled":
                raise self._lost() from error
            self._ledger.failed(task, error)
        else:
            note(task, outcome, self._ledger)
        del self._running[str(future.key)]

    def _lost(self) -> TaskError:
        left = len(self._waiting) + len(self._running)
        return TaskError(f"scheduler {self._scheduler}: lost while {left} parts were still to be finished")


@contextlib.contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    try:
        from distributed import Client
    except ImportError as error:
        raise TaskError("running parts on a cluster needs Dask: pip install masktools[dask]") from error
    host, port = _host_and_port(scheduler)
    try:
        # An encrypted connection is silent at first.
        if scheduler.startswith("tcp:"):
            _call(host, port)
        client = Client(scheduler, timeout=_REACH, set_as_default=False)
    # The address is the user's, and what is wrong with it comes as many an error.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TaskError(f"scheduler {scheduler}: cannot be reached: {reason}") from error
    try:
        try:
            client.wait_for_workers(1, timeout=_REACH)
        except TimeoutError:
            raise TaskError(
                f"scheduler {scheduler}: it has no workers; start some with: dask worker {scheduler} --nthreads 1"
            ) from None
        yield client
    finally:
        # The scheduler then cancels what still runs, as it does when this process is killed; `dask_part` does the rest.
        client.close(timeout=_GRACE)


def _call(host: str, port: int) -> None:
    """Wait until what is at that address greets as schedulers do; Dask would wait for ever for one that is silent."""
    end = time.monotonic() + _REACH
    while True:
        try:
            with socket.create_connection((host, port), timeout=max(0.1, end - time.monotonic())) as connection:
                # What comes first is the length of a greeting.
                if 0 < int.from_bytes(connection.recv(8), "little") < _GREETING:
                    return
                raise ConnectionError("what answers there is not a Dask scheduler")
        except OSError:
            # It may be about to start.
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _host_and_port(scheduler: str) -> tuple[str, int]:
    with contextlib.suppress(ValueError):
        address = urllib.parse.urlsplit(scheduler)
        if address.scheme in ("tcp", "tls") and address.hostname and address.port:
            return address.hostname, address.port
    raise TaskError(f"scheduler {scheduler!r}: is not an address like tcp://host:8786")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Dask tells its developers off standard error; what concerns the user is raised."""
    with contextlib.suppress(ImportError):
        import distributed  # noqa: F401  # it sets the levels of its loggers when it is imported
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client", "tornado.application")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
