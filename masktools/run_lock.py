"""One writer a run directory."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from masktools.errors import RunError

__all__ = ["LOCK", "locked"]

LOCK = ".lock"
"""The file that a writer holds; it stays, because removing it would let two writers each lock a file of that name."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory for writing; the system lets go of it when the process ends, however it ends.

    Parameters
    ----------
    directory
        The run directory, which exists.

    Raises
    ------
    RunError
        If another process writes to it, or locks do not work there.
    """
    path = directory / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise RunError(f"{path}: cannot be opened: {error.strerror or error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            raise RunError(f"{directory}: another process ({holder or 'unknown'}) writes to this run") from None
        except OSError as error:
            raise RunError(f"{path}: cannot be locked on this file system: {error.strerror or error}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
