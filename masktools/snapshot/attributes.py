"""Attributes of snapshot files: text of a fixed length and integers, their type checked before they are read.

Text of variable length lives in HDF5's global heap, which has no checksum: a single flipped bit there can send
the library into an endless loop. Such text is therefore neither written nor read.
"""

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from masktools.errors import SnapshotError
from masktools.snapshot import layout

__all__ = ["integer", "json_object", "put", "shape", "text"]

_MAX_RANK = 8


def put(item: h5py.HLObject, key: str, value: str | int | tuple[int, ...]) -> None:
    """Write an attribute: text as UTF-8 of fixed length, an integer or a list of them as 64 bits."""
    if isinstance(value, str):
        encoded = value.encode()
        kind = h5py.string_dtype("utf-8", max(1, len(encoded)))
        item.attrs.create(key, np.array(encoded, dtype=kind), dtype=kind)
    else:
        item.attrs.create(key, np.asarray(value, dtype="<i8"))


def _opened(path: Path, item: h5py.HLObject, key: str) -> h5py.h5a.AttrID:
    name = key.encode()
    if not h5py.h5a.exists(item.id, name):
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is missing")
    return h5py.h5a.open(item.id, name)


def text(path: Path, item: h5py.HLObject, key: str) -> str:
    """Return an attribute that holds text."""
    found = _opened(path, item, key)
    kind = found.get_type()
    if not isinstance(kind, h5py.h5t.TypeStringID) or kind.is_variable_str() or not _scalar(found):
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not text of a fixed length")
    size = kind.get_size()
    if size > layout.MAX_ATTRIBUTE:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} takes {size} bytes, {layout.MAX_ATTRIBUTE} may be")
    value = np.empty((), dtype=f"S{size}")
    found.read(value, mtype=kind)
    encoded = bytes(value[()])
    try:
        content = encoded.decode()
    except UnicodeDecodeError:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not UTF-8") from None
    if "\0" in content:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} goes on after its end")
    return content


def integer(path: Path, item: h5py.HLObject, key: str) -> int:
    """Return an attribute that counts something: an integer of at least 0."""
    found = _opened(path, item, key)
    if not isinstance(found.get_type(), h5py.h5t.TypeIntegerID) or not _scalar(found):
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not an integer")
    value = np.empty((), dtype=np.int64)
    found.read(value)
    if value < 0:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is negative")
    return int(value)


def shape(path: Path, item: h5py.HLObject, key: str) -> tuple[int, ...]:
    """Return an attribute that holds a shape: at most eight integers of at least 0."""
    found = _opened(path, item, key)
    extents = found.shape
    if not isinstance(found.get_type(), h5py.h5t.TypeIntegerID) or len(extents) != 1 or extents[0] > _MAX_RANK:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not a list of at most {_MAX_RANK} integers")
    value = np.empty(extents, dtype=np.int64)
    if value.size:
        found.read(value)
    result = tuple(int(extent) for extent in value)
    if any(extent < 0 for extent in result) or math.prod(result) > layout.MAX_WEIGHTS:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is no credible shape: {result}")
    return result


def json_object(path: Path, item: h5py.HLObject, key: str) -> dict[str, Any]:
    """Return an attribute that holds a JSON object."""
    content = text(path, item, key)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not a JSON object")
    return value


def _scalar(found: h5py.h5a.AttrID) -> bool:
    return bool(found.get_space().get_simple_extent_type() == h5py.h5s.SCALAR)
