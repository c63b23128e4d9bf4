"""Reading safetensors files piece by piece: one file, or shards with an index.

The format is eight bytes with the length of a header, the header in JSON, and the bytes of the arrays.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import CheckpointError
from masktools.snapshot.streamed import PIECE, StreamedArray

__all__ = ["INDEX", "read_safetensors", "shards"]

INDEX = ".safetensors.index.json"
"""How the name of an index ends."""

_LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the format's own library."""

_TYPES = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "BOOL": "|b1",
    "I8": "|i1",
    "U8": "|u1",
    "I16": "<i2",
    "U16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "I64": "<i8",
    "U64": "<u8",
    "BF16": "<u2",
}


def shards(path: Path) -> tuple[Path, ...]:
    """Return the files that hold the arrays: of an index its shards, else the file itself.

    Raises
    ------
    CheckpointError
        If the index is none, or names a file elsewhere.
    """
    if not path.name.endswith(INDEX):
        return (path,)
    try:
        names = json.loads(path.read_bytes())["weight_map"].values()
        files = sorted({str(name) for name in names})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no index of safetensors files: {error}") from error
    for name in files:
        if Path(name).name != name or not (path.parent / name).is_file():
            raise CheckpointError(f"{path}: names {name!r}, which is no file beside it")
    return tuple(path.parent / name for name in files)


def read_safetensors(path: Path) -> dict[str, StreamedArray]:
    """Return the arrays of a file, or of all shards of an index; only headers are read now.

    Parameters
    ----------
    path
        ``NAME.safetensors`` or ``NAME.safetensors.index.json``.

    Returns
    -------
    dict
        By name, in the order of the bytes. bfloat16, which NumPy lacks, comes as float32.

    Raises
    ------
    CheckpointError
        If a file is damaged, two hold an array of the same name, or an index names one that is nowhere.
    """
    found: dict[str, StreamedArray] = {}
    for file in shards(path):
        for name, array in _read(file).items():
            if name in found:
                raise CheckpointError(f"{file}: array {name!r} is in another shard too")
            found[name] = array
    if path.name.endswith(INDEX):
        missing = sorted(set(json.loads(path.read_bytes())["weight_map"]) - set(found))
        if missing:
            raise CheckpointError(f"{path}: array {missing[0]!r} is in none of its files")
    return found


def _read(path: Path) -> dict[str, StreamedArray]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
                raise CheckpointError(f"{path}: is no safetensors file, or it is damaged: a header of {length} bytes")
            header = json.loads(file.read(length), object_pairs_hook=_once)
        if not isinstance(header, dict):
            raise CheckpointError(f"{path}: the header is no JSON object")
        entries = {str(name): _entry(path, name, value) for name, value in header.items() if name != "__metadata__"}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no safetensors file, or it is damaged: {error}") from error
    end = 0
    for name, (_, _, begin, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise CheckpointError(f"{path}: {name}: its bytes do not follow those of the array before")
        end = stop
    if end != size - 8 - length:
        raise CheckpointError(f"{path}: holds {size - 8 - length} bytes of arrays, its header tells of {end}")
    in_order = sorted(entries.items(), key=lambda item: item[1][2])
    return {name: _array(path, name, entry, 8 + length) for name, entry in in_order}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


_Entry = tuple[str, tuple[int, ...], int, int]


def _entry(path: Path, name: str, value: Any) -> _Entry:
    """Return element type, shape and place of an array, whose sizes fit each other."""
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{path}: {name}: the header does not describe it")
    kind: Any = value.get("dtype")
    shape: Any = value.get("shape")
    place: Any = value.get("data_offsets")
    numbers = [*shape, *place] if isinstance(shape, list) and isinstance(place, list) else [-1]
    if any(isinstance(number, bool) or not isinstance(number, int) or number < 0 for number in numbers):
        raise CheckpointError(f"{path}: {name}: the header does not give its shape and place as numbers")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise CheckpointError(
            f"{path}: {name}: elements of type {kind!r} are not read; convert it to bfloat16 or float32"
        )
    if len(place) != 2 or place[1] - place[0] != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise CheckpointError(f"{path}: {name}: {place} is no place for {kind} of shape {shape}")
    return kind, tuple(shape), place[0], place[1]


def _array(path: Path, name: str, entry: _Entry, base: int) -> StreamedArray:
    kind, shape, begin, end = entry
    stored = np.dtype(_TYPES[kind])
    widen: Callable[[NDArray[Any]], NDArray[Any]] | None = _from_bfloat16 if kind == "BF16" else None

    def pieces() -> Iterator[NDArray[Any]]:
        try:
            # Read rather than mapped: what is mapped stays in memory as long as nothing else wants it.
            with path.open("rb") as file:
                file.seek(base + begin)
                left = end - begin
                while left:
                    data = file.read(min(left, PIECE * stored.itemsize))
                    if not data or len(data) % stored.itemsize:
                        raise CheckpointError(f"{path}: {name}: the file ends within it")
                    left -= len(data)
                    piece = np.frombuffer(data, dtype=stored)
                    yield piece if widen is None else widen(piece)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error

    return StreamedArray(shape, stored if widen is None else np.dtype(np.float32), pieces)


def _from_bfloat16(piece: NDArray[Any]) -> NDArray[Any]:
    """Return float32: a bfloat16 is its upper half."""
    return (piece.astype(np.uint32) << 16).view(np.float32)
