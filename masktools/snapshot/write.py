"""Write a snapshot file."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from masktools.atomic import replacing
from masktools.errors import SnapshotError
from masktools.snapshot import attributes, checks, chunks, layout
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.streamed import Pieces, StreamedArray, StreamedContent, StreamedLayer

__all__ = ["write_snapshot"]

_COMPRESSED_FROM = 512
"""Bytes from which compression is worth a chunk index of its own."""


class _Whole:
    """An array in memory, in portions."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._values, self._taken = layout.little(values).reshape(-1), 0

    def take(self, count: int) -> NDArray[Any]:
        self._taken += count
        return self._values[self._taken - count : self._taken]

    def digest(self) -> str:
        return layout.array_digest(self._values)


class _Streaming:
    """An array in pieces, in portions; its digest grows with them."""

    def __init__(self, values: StreamedArray) -> None:
        self._pieces = Pieces(values.pieces(), values.dtype)
        self._digest = hashlib.blake2b(digest_size=16)

    def take(self, count: int) -> NDArray[Any]:
        part = layout.little(self._pieces.take(count))
        self._digest.update(part.view(np.uint8).data)
        return part

    def digest(self) -> str:
        return self._digest.hexdigest()


class _Writer:
    """Adds datasets to an open file and remembers what the content digest covers."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._objects: list[tuple[str, str, tuple[int, ...], dict[str, object]]] = []

    def add(self, path: str, values: NDArray[Any] | StreamedArray, **described: str | int | tuple[int, ...]) -> None:
        little = values.dtype.newbyteorder("<")
        source = _Streaming(values) if isinstance(values, StreamedArray) else _Whole(values)
        if math.prod(values.shape) * little.itemsize >= _COMPRESSED_FROM:
            dataset = self._file.create_dataset(
                path,
                shape=values.shape,
                dtype=little,
                chunks=chunks.chunk_shape(values.shape, little.itemsize),
                compression="gzip",
                compression_opts=1,
                shuffle=little.itemsize > 1,  # shuffling single bytes does nothing
                track_times=False,
            )
            chunks.write_chunks(dataset, source.take)
        else:
            small = source.take(math.prod(values.shape)).reshape(values.shape)
            dataset = self._file.create_dataset(path, data=small, track_times=False)
        described[layout.DIGEST] = source.digest()
        for key, value in described.items():
            attributes.put(dataset, key, value)
        self._objects.append((path, little.str, values.shape, dict(described)))

    def finish(self, root: Mapping[str, str | int]) -> None:
        for key, value in root.items():
            attributes.put(self._file, key, value)
        attributes.put(self._file, layout.CONTENT_DIGEST, layout.content_digest(root, self._objects))


def write_snapshot(path: str | Path, content: SnapshotContent | StreamedContent) -> None:
    """Write `content` to `path`: the file appears whole or not at all.

    Equal contents give equal bytes.

    Parameters
    ----------
    path
        The file, by convention ``epoch-NNNN.h5`` in a run directory. An existing file is replaced.
    content
        What to record. Of what is streamed, no more is in memory than the mask of a layer and a few pieces; the bytes
        are those of the same content in memory.

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
            layers: Iterable[LayerContent | StreamedLayer] = content.layers
            if isinstance(content, StreamedContent):
                layers = content.distinct_layers()
            for position, layer in enumerate(layers):
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
            tensors: Mapping[str, NDArray[Any] | StreamedArray] = content.tensors
            for name in sorted(tensors):
                writer.add(f"{layout.TENSORS}/{name}", tensors[name])
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
