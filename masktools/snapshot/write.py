"""Write a snapshot file."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.atomic import replacing
from masktools.errors import SnapshotError
from masktools.snapshot import layout
from masktools.snapshot.content import SnapshotContent

__all__ = ["write_snapshot"]

_COMPRESSED_FROM = 512
"""Bytes from which compression is worth a chunk index of its own."""


class _Writer:
    """Adds datasets to an open file and remembers what the content digest covers."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._objects: list[tuple[str, str, tuple[int, ...], dict[str, object]]] = []

    def add(
        self, group: str, name: str, values: NDArray[Any], shuffle: bool, **attributes: str | int | list[int]
    ) -> None:
        path = f"{group}/{name}" if name else group
        filters: dict[str, Any] = {}
        if values.nbytes >= _COMPRESSED_FROM:
            filters = {"compression": "gzip", "compression_opts": 1, "shuffle": shuffle, "chunks": _chunks(values)}
        little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        recorded: dict[str, object] = {**attributes, layout.DIGEST: layout.array_digest(little)}
        dataset = self._file.create_dataset(path, data=little, track_times=False, **filters)
        for key, value in recorded.items():
            dataset.attrs[key] = value
        self._objects.append((path, dataset.dtype.str, values.shape, recorded))

    def finish(self, root: dict[str, object]) -> None:
        for key, value in root.items():
            self._file.attrs[key] = value
        self._file.attrs[layout.CONTENT_DIGEST] = layout.content_digest(root, self._objects)


def _chunks(values: NDArray[Any]) -> tuple[int, ...]:
    """Return chunks of at most a MiB along the first axis: one small layer, one chunk."""
    row = max(1, values.nbytes // max(1, values.shape[0]))
    return (max(1, min(values.shape[0], 2**20 // row)), *values.shape[1:])


def write_snapshot(path: str | Path, content: SnapshotContent) -> None:
    """Write `content` to `path`: the file appears whole or not at all.

    Parameters
    ----------
    path
        The file, by convention ``epoch-NNNN.h5`` in a run directory. An existing file is replaced.
    content
        What to record.

    Raises
    ------
    SnapshotError
        If the file cannot be written, or the configuration does not fit.
    """
    path = Path(path)
    root: dict[str, object] = {
        "encoding-type": layout.ENCODING_TYPE,
        "encoding-version": layout.ENCODING_VERSION,
        "epoch": content.epoch,
        "step": content.step,
        "config": json.dumps(content.config, sort_keys=True),
        "layers": json.dumps([layer.name for layer in content.layers]),
        "extra": json.dumps(dict(content.extra), sort_keys=True),
    }
    for key, value in root.items():
        if isinstance(value, str) and len(value.encode()) > layout.MAX_ATTRIBUTE:
            raise SnapshotError(f"{path}: {key} takes {len(value)} bytes, at most {layout.MAX_ATTRIBUTE} fit")
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v108", "v108")) as file:
            writer = _Writer(file)
            for group in (layout.MASKS, layout.WEIGHTS, layout.TENSORS):
                file.create_group(group)
            for layer in content.layers:
                writer.add(
                    layout.MASKS,
                    layer.name,
                    layer.mask.bits,
                    shuffle=False,
                    shape=list(layer.mask.shape),
                    bitorder="big",
                    axes=layer.axes,
                    prunable=int(layer.prunable),
                    active=layer.mask.active,
                    weights=layer.kind,
                )
                if layer.values is not None:
                    writer.add(layout.WEIGHTS, layer.name, layer.values, shuffle=True)
            for name, tensor in content.tensors.items():
                writer.add(layout.TENSORS, name, tensor, shuffle=tensor.dtype.itemsize > 1)
            if content.topology is not None:
                text = np.frombuffer(content.topology.to_json().encode(), dtype=np.uint8)
                writer.add(layout.TOPOLOGY, "", text, shuffle=False)
            writer.finish(root)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be written: {error}") from error
