"""What a worker of a Dask cluster does with a task."""

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from masktools.executor.payload import Stopped, unpacked

if TYPE_CHECKING:
    from distributed import Worker

__all__ = ["run_part"]

_TICK: Final = 0.5
"""Seconds between two looks at whether anybody still waits for a task."""

_PAUSE: Final = 0.1
"""Seconds between two tasks: were a worker to die of the second at once, what the first one returned would be lost."""

_alone = threading.Lock()
"""Held by the one task that runs: seeds, numbers of threads and the like belong to the process."""


def run_part(key: str, payload: bytes) -> bytes:
    """Run a packed task and return what came of it.

    Parameters
    ----------
    key
        The name under which Dask runs it.
    payload
        Function and arguments.

    Returns
    -------
    bytes
        As `attempt` returns it; empty when it was stopped, because the program that asked for it has ended or was
        interrupted. Dask would let it go on, and hold what the same task needs when it is run again.
    """
    from distributed import get_worker

    with _alone:
        time.sleep(_PAUSE)
        # Not to be stopped while it imports: half a module cannot be imported again.
        call = unpacked(payload)
        with contextlib.suppress(Stopped), _watched(key, get_worker()):
            return call()
    return b""


@contextlib.contextmanager
def _watched(key: str, worker: "Worker") -> Iterator[None]:
    """Raise `Stopped` in the block as soon as Dask has cancelled the task."""
    thread = threading.get_ident()
    ended, deciding = threading.Event(), threading.Lock()

    def watch() -> None:
        while not ended.wait(_TICK):
            known = worker.state.tasks.get(key)
            if known is not None and known.state != "cancelled":
                continue
            with deciding:
                if not ended.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Stopped))
            return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        # From here on nothing is raised; what has been raised meanwhile arrives before the lock is taken.
        with deciding:
            ended.set()
