"""One writer a run directory."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from masktools.errors import RunError

__all__ = ["LOCK", "is_locked", "locked"]

LOCK = ".lock"
"""The file that a writer holds; it stays, because removing it would let two writers each lock a file of that name."""

_TRIES, _PAUSE = 10, 0.01
"""How often a lock is asked for, and seconds in between: whoever asks in `is_locked` holds it for an instant."""


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
            _take(descriptor)
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


def _take(descriptor: int) -> None:
    """Lock a file against everybody else; what readers hold for an instant is waited for."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(_PAUSE)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(directory: Path) -> bool:
    """Say whether another process, or this one, holds a run directory for writing at this moment.

    Parameters
    ----------
    directory
        The run directory. Where there is no lock, or locks do not work, nobody does.
    """
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that several readers that ask at the same time do not take one another for a writer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
