"""A process that runs one task after the other for the process that started it."""

import contextlib
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from types import FrameType

from masktools.executor.payload import Stopped, unpacked

__all__ = ["serve"]


def serve(connection: Connection) -> None:
    """Say that this process is there, then run what is sent, until the other end is closed.

    Parameters
    ----------
    connection
        To the process that started this one. What it sends is a packed task; what it gets is first an empty
        message, then what came of each task.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, _stop)
    # This process was started with both blocked. SIGINT stays so: Ctrl-C reaches every process of a terminal, and it is
    # for the one that started this to say what happens.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(b"")
        while True:
            connection.send_bytes(unpacked(connection.recv_bytes())())


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    # Once is enough: a second would disturb what the first one unwinds.
    signal.signal(number, signal.SIG_IGN)
    raise Stopped(128 + number)


def _end_with_parent() -> None:
    # A task that nobody waits for may hold a lock that the next attempt needs.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
