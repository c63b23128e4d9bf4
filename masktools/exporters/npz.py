"""NumPy's archives of arrays, compressed, written array by array."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.exporters.parameters import named_arrays
from masktools.structure.source import Recorded

__all__ = ["write_npz"]

_LEVEL = 1
"""Of deflate: what compresses well here are the zeros, and the fastest level finds those."""


def write_npz(moment: Recorded, path: Path, graph: str = "") -> None:  # noqa: ARG001
    """Write every array of a network under its name: weights with inactive ones 0, masks, other tensors.

    `numpy.savez` wants all arrays at once; here one layer at a time is in memory. The same network makes the same
    bytes.

    Parameters
    ----------
    moment
        The network at one moment.
    path
        The file, which is replaced.
    graph
        Without effect; every format takes it.

    Raises
    ------
    StructureError
        If two arrays would have the same name.
    SnapshotError
        If the snapshot cannot be read.
    """
    arrays = named_arrays(moment)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for array in arrays:
            _add(archive, array.name, array.read())


def _add(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    # A `ZipInfo` of its own bears no time of writing.
    member = zipfile.ZipInfo(f"{name}.npy")
    member.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(member, "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)
