"""End cleanly when the system asks for it."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["ending_on_sigterm"]


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    # As a shell reports it. An exception, so that everything on the way out is closed.
    sys.exit(128 + number)


@contextlib.contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the program inside the block, as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
