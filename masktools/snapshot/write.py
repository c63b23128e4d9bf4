"""Write a snapshot file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.atomic import replacing
from masktools.errors import SnapshotError
from masktools.snapshot import attributes, checks, chunks, layout
from masktools.snapshot.content import SnapshotContent

__all__ = ["write_snapshot"]

_COMPRESSED_FROM = 512
"""Bytes from which compression is worth a chunk index of its own."""


class _Writer:
    """Adds datasets to an open file and remembers what the content digest covers."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._objects: list[tuple[str, str, tuple[int, ...], dict[str, object]]] = []

    def add(self, path: str, values: NDArray[Any], **described: str | int | tuple[int, ...]) -> None:
        stored = layout.little(values)
        if stored.nbytes >= _COMPRESSED_FROM:
            dataset = self._file.create_dataset(
                path,
                shape=stored.shape,
                dtype=stored.dtype,
                chunks=chunks.chunk_shape(stored.shape, stored.dtype.itemsize),
                compression="gzip",
                compression_opts=1,
                shuffle=stored.dtype.itemsize > 1,  # shuffling single bytes does nothing
                track_times=False,
            )
            chunks.write_chunks(dataset, stored)
        else:
            dataset = self._file.create_dataset(path, data=stored, track_times=False)
        described[layout.DIGEST] = layout.array_digest(stored)
        for key, value in described.items():
            attributes.put(dataset, key, value)
        self._objects.append((path, stored.dtype.str, stored.shape, dict(described)))

    def finish(self, root: Mapping[str, str | int]) -> None:
        for key, value in root.items():
            attributes.put(self._file, key, value)
        attributes.put(self._file, layout.CONTENT_DIGEST, layout.content_digest(root, self._objects))


def write_snapshot(path: str | Path, content: SnapshotContent) -> None:
    """Write `content` to `path`: the file appears whole or not at all.

    Equal contents give equal bytes.

    Parameters
    ----------
    path
        The file, by convention ``epoch-NNNN.h5`` in a run directory. An existing file is replaced.
    content
        What to record.

    Raises
    ------
    SnapshotError
        If the file cannot be written, or the configuration is no JSON or does not fit.
    """
    path = Path(path)
    root: dict[str, str | int] = {
        "encoding-type": layout.ENCODING_TYPE,
        "encoding-version": layout.ENCODING_VERSION,
        "epoch": content.epoch,
        "step": content.step,
        "config": _json(path, "config", content.config),
        "extra": _json(path, "extra", content.extra),
    }
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
            writer = _Writer(file)
            for group in (layout.MASKS, layout.WEIGHTS, layout.TENSORS):
                file.create_group(group)
            for position, layer in enumerate(content.layers):
                writer.add(
                    f"{layout.MASKS}/{layer.name}",
                    layer.mask.bits,
                    position=position,
                    shape=tuple(layer.mask.shape),
                    axes=layer.axes,
                    bitorder=layout.BIT_ORDER,
                    active=layer.mask.active,
                    prunable=int(layer.prunable),
                    weights=layer.kind,
                )
                if layer.values is not None:
                    writer.add(f"{layout.WEIGHTS}/{layer.name}", layer.values)
            for name, tensor in sorted(content.tensors.items()):
                writer.add(f"{layout.TENSORS}/{name}", tensor)
            if content.topology is not None:
                writer.add(layout.TOPOLOGY, np.frombuffer(content.topology.to_json().encode(), dtype=np.uint8))
            writer.finish(root)
    except (OSError, RuntimeError) as error:  # h5py tells of a full disk with either
        raise SnapshotError(f"{path}: cannot be written: {checks.reason(error)}") from error


def _json(path: Path, key: str, value: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(dict(value), sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SnapshotError(f"{path}: {key} cannot be written as JSON: {error}") from error
    if len(text) > layout.MAX_ATTRIBUTE:  # ASCII: a character is a byte
        raise SnapshotError(f"{path}: {key} takes {len(text)} bytes as JSON, at most {layout.MAX_ATTRIBUTE} fit")
    return text
