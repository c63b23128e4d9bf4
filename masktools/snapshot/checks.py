"""Defence against damaged and hostile files: nothing is followed, and nothing is allocated, unchecked."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError, StructureError
from masktools.snapshot import layout

__all__ = ["attribute", "dataset", "integer", "integers", "json_attribute", "members", "opened", "values"]

T = TypeVar("T", str, int)

_INFLATE = 1100
"""No deflate stream grows by more than 1032 times; what claims more was not written by anyone honest."""

_SMALL = 4096
"""Arrays below this many bytes may claim any size: they cost nothing."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a snapshot for reading; whatever is wrong with its bytes becomes a `SnapshotError`."""
    if not path.is_file():
        raise SnapshotError(f"{path}: no such snapshot file")
    try:
        with h5py.File(path, "r") as file:
            _check_version(path, file)
            yield file
    except (SnapshotError, StructureError):
        raise
    except BlockingIOError as error:
        raise SnapshotError(
            f"{path}: the file is locked; close its writer, or set HDF5_USE_FILE_LOCKING=FALSE on a network file system"
        ) from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, UnicodeError, MemoryError) as error:
        raise SnapshotError(f"{path}: not a readable snapshot: {error}") from error


def _check_version(path: Path, file: h5py.File) -> None:
    kind = attribute(path, file, "encoding-type", str)
    if kind != layout.ENCODING_TYPE:
        raise SnapshotError(f"{path}: encoding-type is {kind!r}, not {layout.ENCODING_TYPE!r}")
    version = attribute(path, file, "encoding-version", str)
    try:
        major, minor = (int(part) for part in version.split("."))
    except ValueError:
        raise SnapshotError(f"{path}: encoding-version {version!r} is no version") from None
    if (major, minor) > tuple(int(part) for part in layout.ENCODING_VERSION.split(".")):
        raise SnapshotError(
            f"{path}: encoding-version {version} is too new, "
            f"this masktools reads up to {layout.ENCODING_VERSION}; upgrade"
        )
    if major != 1 or minor < 0:
        raise SnapshotError(f"{path}: encoding-version {version} is not known")


def attribute(path: Path, item: h5py.HLObject, key: str, kind: type[T]) -> T:
    """Return a scalar attribute, checked to be text or an integer before it is read."""
    if key not in item.attrs:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is missing")
    space = item.attrs.get_id(key)
    if space.shape != ():
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not a single value")
    value = item.attrs[key]
    if kind is int and isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_):
        return kind(value)
    if kind is str and isinstance(value, str):
        return kind(value)
    raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not {'an integer' if kind is int else 'text'}")


def integer(path: Path, item: h5py.HLObject, key: str) -> int:
    """Return an attribute that counts something: an integer of at least 0."""
    value = attribute(path, item, key, int)
    if value < 0:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is negative")
    return value


def integers(path: Path, item: h5py.HLObject, key: str) -> tuple[int, ...]:
    """Return an attribute that holds a shape: at most eight integers of at least 0."""
    if key not in item.attrs:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is missing")
    header = item.attrs.get_id(key)
    if len(header.shape) != 1 or header.shape[0] > 8 or header.dtype.kind not in "iu":
        if header.shape in ((0,), ()) and header.dtype.kind == "f":  # an empty list
            return ()
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not a list of integers")
    result = tuple(int(value) for value in item.attrs[key])
    if any(value < 0 for value in result) or math.prod(result) > 2**40:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is no credible shape: {result}")
    return result


def json_attribute(path: Path, item: h5py.HLObject, key: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """Return an attribute that holds JSON text of the given kind."""
    text = attribute(path, item, key, str)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not JSON: {error}") from None
    if not isinstance(value, kind):
        raise SnapshotError(f"{path}: {item.name}: attribute {key!r} is not a JSON {kind.__name__}")
    return value


def members(path: Path, file: h5py.File, group: str) -> tuple[str, ...]:
    """Return the names in a top-level group, which must be reached by a plain (hard) link."""
    return tuple(_child(path, file, group, h5py.Group))


def dataset(path: Path, file: h5py.File, group: str, name: str) -> h5py.Dataset:
    """Return a dataset that lies inside this file, is numeric, and is no larger than its bytes allow."""
    parent = file if not name else _child(path, file, group, h5py.Group)
    found = _child(path, parent, name or group, h5py.Dataset)
    if found.dtype.kind not in "biuf" or found.dtype.hasobject:
        raise SnapshotError(f"{path}: {found.name}: holds {found.dtype}, not numbers")
    plist = found.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count() or found.shape is None:
        raise SnapshotError(f"{path}: {found.name}: its values are not in this file")
    stored = found.id.get_storage_size()
    if found.nbytes > max(_SMALL, _INFLATE * stored) or stored > path.stat().st_size:
        raise SnapshotError(f"{path}: {found.name}: claims {found.nbytes} bytes but {stored} are stored")
    if found.chunks is not None and math.prod(found.chunks) * found.dtype.itemsize > max(2**24, 2 * found.nbytes):
        raise SnapshotError(f"{path}: {found.name}: chunks {found.chunks} do not fit its shape {found.shape}")
    return found


def _child(path: Path, parent: h5py.Group, name: str, kind: type[Any]) -> Any:
    if not name or "/" in name or name == ".":
        raise SnapshotError(f"{path}: {name!r} names nothing in a snapshot")
    link = parent.get(name, getlink=True)
    where = f"{parent.name.rstrip('/')}/{name}"
    if link is None:
        raise SnapshotError(f"{path}: {where} is missing")
    if not isinstance(link, h5py.HardLink):
        raise SnapshotError(f"{path}: {where} is a {type(link).__name__}; links are not followed")
    if parent.get(name, getclass=True) is not kind:
        raise SnapshotError(f"{path}: {where} is not a {kind.__name__.lower()}")
    return parent[name]


def values(path: Path, item: h5py.Dataset, expected: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Read a dataset and check it against its digest.

    Parameters
    ----------
    path
        The file, for the message.
    item
        What `dataset` returned.
    expected
        The shape that it must have, checked before anything is read.
    """
    if expected is not None and item.shape != expected:
        raise SnapshotError(f"{path}: {item.name}: has shape {item.shape}, its layer needs {expected}")
    result: NDArray[Any] = np.asarray(item[()])
    if layout.array_digest(result) != attribute(path, item, layout.DIGEST, str):
        raise SnapshotError(f"{path}: {item.name}: its values do not match their digest; the file is damaged")
    return result
