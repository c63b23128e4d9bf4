"""Reading archives of NumPy piece by piece, compressed ones too."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import CheckpointError
from masktools.snapshot.streamed import PIECE, StreamedArray

__all__ = ["read_npz"]

_NPY = ".npy"
_INFLATE = 1100
"""No deflate stream grows by more than 1032 times; what claims more was not written by anyone honest."""


def read_npz(path: Path) -> dict[str, StreamedArray]:
    """Return the arrays of an archive; only what comes before their elements is read now.

    Parameters
    ----------
    path
        ``NAME.npz``.

    Raises
    ------
    CheckpointError
        If it is damaged, or an array holds objects, which could run code.
    """
    found: dict[str, StreamedArray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(_NPY):
                    continue
                name = member.filename.removesuffix(_NPY)
                with archive.open(member) as stream:
                    shape, fortran, dtype = _header(stream)
                if dtype.hasobject or dtype.names:
                    raise CheckpointError(f"{path}: {name}: holds objects or records, not numbers")
                claimed = math.prod(shape) * dtype.itemsize
                if claimed > member.file_size or member.file_size > _INFLATE * max(member.compress_size, 1):
                    raise CheckpointError(f"{path}: {name}: claims {claimed} bytes, which the archive does not hold")
                found[name] = _array(path, member.filename, shape, fortran, dtype)
    except _PROBLEMS as error:
        raise _damaged(path, error) from error
    return found


_PROBLEMS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: is no archive of NumPy, or it is damaged: {' '.join(str(error).split())}")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return tuple(map(int, shape)), bool(fortran), dtype


def _array(path: Path, member: str, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]) -> StreamedArray:
    def pieces() -> Iterator[NDArray[Any]]:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as stream:
                _header(stream)
                left = math.prod(shape)
                while left:
                    count = left if fortran else min(left, PIECE)
                    data = stream.read(count * dtype.itemsize)
                    if len(data) != count * dtype.itemsize:
                        raise CheckpointError(f"{path}: {member}: the archive ends within it")
                    left -= count
                    piece = np.frombuffer(data, dtype=dtype)
                    # An array whose first axis moves fastest is the exception, and read whole.
                    yield piece.reshape(shape, order="F").reshape(-1) if fortran else piece
        except _PROBLEMS as error:
            raise _damaged(path, error) from error

    return StreamedArray(shape, dtype, pieces)
