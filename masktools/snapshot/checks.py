"""Defence against damaged and hostile files: nothing is followed, and nothing is allocated, unchecked."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.errors import SnapshotError
from masktools.snapshot import attributes, chunks, layout
from masktools.snapshot.versions import version_problem

__all__ = ["dataset", "datasets", "has", "members", "opened", "reason", "values"]

_INFLATE = 1100
"""No deflate stream grows by more than 1032 times; what claims more was not written by anyone honest."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a snapshot for reading; whatever is wrong with its bytes becomes a `SnapshotError`."""
    try:
        _check_path(path)
        with h5py.File(path, "r") as file:
            _check_version(path, file)
            yield file
    except SnapshotError:
        raise
    except Exception as error:  # h5py has no base class of its own for "these bytes make no sense"
        raise SnapshotError(f"{path}: not a readable snapshot: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Return what to tell of an error of the HDF5 library, with a way out where there is one."""
    if "unable to lock file" in str(error):
        return "the file is locked; close its writer, or on a network file system set HDF5_USE_FILE_LOCKING=FALSE"
    return str(error)


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise SnapshotError(f"{path}: is a directory, not a snapshot file")
    if not path.is_file():
        raise SnapshotError(f"{path}: no such snapshot file")


def _check_version(path: Path, file: h5py.File) -> None:
    kind = attributes.text(path, file, "encoding-type")
    if kind != layout.ENCODING_TYPE:
        raise SnapshotError(f"{path}: encoding-type is {kind!r}, not {layout.ENCODING_TYPE!r}")
    problem = version_problem(attributes.text(path, file, "encoding-version"), layout.ENCODING_VERSION)
    if problem:
        raise SnapshotError(f"{path}: encoding-version {problem}")


def has(file: h5py.File, name: str) -> bool:
    """Say whether the root group has a member of this name, without following where it leads."""
    return bool(file.id.links.exists(name.encode()))


def members(path: Path, file: h5py.File, group: str) -> tuple[str, ...]:
    """Return the names in a top-level group, which must be reached by a plain (hard) link."""
    names = tuple(_child(path, file, group, h5py.Group))
    for name in names:
        if not isinstance(name, str) or not layout.named(name):  # what is no UTF-8 comes as bytes
            raise SnapshotError(f"{path}: /{group}: {name!r} cannot name a parameter")
    return names


def dataset(path: Path, file: h5py.File, group: str, name: str = "") -> h5py.Dataset:
    """Return a dataset that lies inside this file, is numeric, and is no larger than its bytes allow."""
    found = _child(path, _child(path, file, group, h5py.Group) if name else file, name or group, h5py.Dataset)
    if found.dtype.str not in layout.ELEMENTS:
        raise SnapshotError(f"{path}: {found.name}: holds {found.dtype.str}, not {', '.join(layout.ELEMENTS)}")
    plist = found.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL or plist.get_external_count() or found.shape is None:
        raise SnapshotError(f"{path}: {found.name}: its values are not in this file")
    if plist.get_nfilters():
        filters = tuple(plist.get_filter(index)[0] for index in range(plist.get_nfilters()))
        if filters not in chunks.PIPELINES:
            raise SnapshotError(f"{path}: {found.name}: goes through filters other than shuffle and gzip")
    claimed, stored = math.prod(found.shape) * found.dtype.itemsize, found.id.get_storage_size()
    if claimed > _INFLATE * stored or stored > path.stat().st_size:
        raise SnapshotError(f"{path}: {found.name}: claims {claimed} bytes but {stored} are stored")
    if found.chunks and claimed and any(c > s for c, s in zip(found.chunks, found.shape, strict=True)):
        raise SnapshotError(f"{path}: {found.name}: chunks {found.chunks} do not fit its shape {found.shape}")
    return found


def datasets(path: Path, file: h5py.File, group: str, names: Iterable[str]) -> dict[str, h5py.Dataset]:
    """Return several datasets of a group, which may not share their bytes: a small file stays a small file."""
    found = {name: dataset(path, file, group, name) for name in names}
    if sum(item.id.get_storage_size() for item in found.values()) > path.stat().st_size:
        raise SnapshotError(f"{path}: /{group}: its members claim more bytes than the file has")
    return found


def _child(path: Path, parent: h5py.Group, name: str, kind: type[Any]) -> Any:
    where = f"{parent.name.rstrip('/')}/{name}"
    links = parent.id.links
    if not layout.named(name) or not links.exists(name.encode()):
        raise SnapshotError(f"{path}: {where} is missing")
    if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise SnapshotError(f"{path}: {where} is a soft or external link; links are not followed")
    found = parent[name]
    if not isinstance(found, kind):
        raise SnapshotError(f"{path}: {where} is not a {kind.__name__.lower()}")
    return found


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

    Returns
    -------
    NDArray
        The values, in the byte order of this machine.
    """
    if expected is not None and item.shape != expected:
        raise SnapshotError(f"{path}: {item.name}: has shape {item.shape}, its layer needs {expected}")
    recorded = attributes.text(path, item, layout.DIGEST)
    try:
        filtered = bool(item.id.get_create_plist().get_nfilters()) and math.prod(item.shape) > 0
        result: NDArray[Any] = chunks.read_chunks(item) if filtered else np.asarray(item[()])
    except (ValueError, OSError, RuntimeError) as error:
        raise SnapshotError(f"{path}: {item.name}: cannot be read: {reason(error)}") from error
    if layout.array_digest(result) != recorded:
        raise SnapshotError(f"{path}: {item.name}: its values do not match their digest; the file is damaged")
    return result.astype(result.dtype.newbyteorder("="), copy=False)
