"""The safetensors format: a header in JSON, then the bytes of each array, without anything to execute."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.exporters.parameters import about, named_arrays
from masktools.snapshot.layout import little
from masktools.structure.source import Recorded

__all__ = ["write_safetensors"]

_TYPES = {
    "<f2": "F16",
    "<f4": "F32",
    "<f8": "F64",
    "|b1": "BOOL",
    "|i1": "I8",
    "|u1": "U8",
    "<i2": "I16",
    "<u2": "U16",
    "<i4": "I32",
    "<u4": "U32",
    "<i8": "I64",
    "<u8": "U64",
}
"""What the format calls each element type that a snapshot may hold."""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """An array that is to be written, and what reads it once its turn has come."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    read: Callable[[], NDArray[Any]]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_safetensors(moment: Recorded, path: Path, graph: str = "") -> None:  # noqa: ARG001
    """Write every array of a network under its name: weights with inactive ones 0, masks (BOOL), other tensors.

    The header comes first and says where every array lies, so each layer is read twice: for its element type, and to
    be written. One layer at a time is in memory. Wide elements come first, as in files of the format's own library,
    so that every array is aligned.

    Source: the format as its authors describe it, https://github.com/huggingface/safetensors (*Format*).

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
    entries = sorted(_entries(moment), key=lambda entry: -entry.dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": about(moment)}
    end = 0
    for entry in entries:
        begin, end = end, end + entry.bytes
        header[entry.name] = {
            "dtype": _TYPES[entry.dtype.newbyteorder("<").str],
            "shape": list(entry.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    # Blanks after the JSON are allowed for this: the first array begins at a multiple of 8.
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for entry in entries:
            file.write(little(entry.read()).reshape(-1).view(np.uint8).data)


def _entries(moment: Recorded) -> list[_Entry]:
    entries = []
    for array in named_arrays(moment):
        found = array.read()
        entries.append(_Entry(array.name, found.dtype, found.shape, array.read))
    return entries
