"""Runs written with masks and weights that a test chooses, each layer a short list."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent


@dataclasses.dataclass(frozen=True)
class Values:
    """One snapshot: masks as text of 0 and 1, weights, and which of them to store (active, dense, none)."""

    masks: Mapping[str, str]
    weights: Mapping[str, Sequence[float]]
    kind: str = "dense"
    dtype: str = "float32"


def write_values(path: Path, epochs: Mapping[int, Values]) -> Path:
    """Write a run of layers of one row each, replacing one that is there, and return its path."""
    writer = RunWriter(path)
    writer.clear()
    for epoch, values in epochs.items():
        layers = tuple(
            LayerContent.from_dense(
                name,
                np.array([[letter == "1" for letter in text]]),
                np.array([values.weights[name]], dtype=values.dtype),
                values.kind,
            )
            for name, text in values.masks.items()
        )
        writer.snapshot(SnapshotContent(epoch, 10 * epoch, layers))
    return path
