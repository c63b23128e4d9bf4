"""Files that appear whole or not at all, even when the process is killed while writing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing", "write_text"]


def _sync(path: Path) -> None:
    """Flush `path` (a file or a directory) to the storage device."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    The temporary file lies in the same directory, because a rename is atomic only within a file system.
    File and directory are synced, so that the new name never points at unwritten data. When the block
    raises, the temporary file is removed and `path` stays as it was.

    Parameters
    ----------
    path
        The file to create or replace.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` by `text` (UTF-8), atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
