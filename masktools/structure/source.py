"""What an analysis is given: a run, a snapshot or the path of either, read at one epoch."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.runs import Run, open_run
from masktools.snapshot.content import AXES, axis_order
from masktools.snapshot.read import Snapshot
from masktools.stacks import MaskStack
from masktools.topology.graph import Topology

__all__ = ["Recorded", "Source", "as_run", "recorded", "stack_of"]

Source: TypeAlias = str | os.PathLike[str] | Run | Snapshot
"""A run directory, a snapshot file, or either of them opened."""


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A network at one recorded moment; masks and weights are read when they are asked for, once.

    Parameters
    ----------
    path
        Path of the run, or of the snapshot where that was given.
    snapshot
        The snapshot.
    config
        The configuration of the run.
    """

    path: Path
    snapshot: Snapshot
    config: Mapping[str, Any]

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return self.snapshot.epoch

    @property
    def file(self) -> Path:
        """Absolute path of the snapshot, links followed: the same for a run and for its snapshot by itself."""
        return self.snapshot.path.resolve()

    @property
    def label(self) -> str:
        """What the moment is called in messages."""
        return f"{self.path} (epoch {self.epoch})"

    @functools.cached_property
    def packed(self) -> dict[str, PackedMask]:
        """The masks as packed bits, axes in PyTorch's order."""
        packed = self.snapshot.masks()
        for name, mask in packed.items():
            order = self._order(name, len(mask.shape))
            if order is not None and order != sorted(order):
                packed[name] = PackedMask.from_bool(mask.to_bool().transpose(order))
        return packed

    @functools.cached_property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The masks as boolean arrays, axes in PyTorch's order: outputs, inputs, kernel.

        Raises
        ------
        StructureError
            If the axes of a layer are named otherwise; the message names file and layer.
        """
        packed = self.packed
        for name, mask in packed.items():
            if self._order(name, len(mask.shape)) is None:
                raise StructureError(
                    f"{self.snapshot.path}: layer {name}: axes {self.snapshot.layer(name).axes!r} are no order of "
                    f"{AXES.get(len(mask.shape), '')!r}"
                )
        return {name: mask.to_bool() for name, mask in packed.items()}

    @functools.cached_property
    def weights(self) -> dict[str, NDArray[Any]]:
        """The weights, axes in PyTorch's order; inactive ones are 0 unless the file is dense.

        Raises
        ------
        SnapshotError
            If the snapshot holds no weights of a layer.
        """
        weights = self.snapshot.weights()
        for name, weight in weights.items():
            order = self._order(name, weight.ndim)
            if order is not None:
                weights[name] = weight.transpose(order)
        return weights

    @property
    def topology(self) -> Topology:
        """The operator graph.

        Raises
        ------
        StructureError
            If the snapshot holds none; the message names the file.
        """
        topology = self.snapshot.topology
        if topology is None:
            raise StructureError(
                f"{self.snapshot.path}: holds no operator graph, so what its layers feed is unknown; record it with "
                "the model at hand, or give the graph when importing (--model, --graph sequential)"
            )
        return topology

    @property
    def fixed(self) -> frozenset[str]:
        """Names of the layers that are kept dense by choice."""
        return frozenset(name for name, layer in self.snapshot.layers.items() if not layer.prunable)

    def _order(self, name: str, rank: int) -> list[int] | None:
        """Return how to transpose a layer, or None where its axes are unknown."""
        return axis_order(self.snapshot.layer(name).axes, rank)


def recorded(source: Source, epoch: int | None = None) -> Recorded:
    """Return what a source holds at an epoch.

    Parameters
    ----------
    source
        Path, run or snapshot.
    epoch
        Negative numbers count from the end, None is the last. Of a snapshot it can only be its own.

    Raises
    ------
    StructureError
        If a snapshot is of another epoch.
    RunError, SnapshotError
        If the source cannot be read or has no such epoch.
    """
    if isinstance(source, Snapshot):
        if epoch not in (None, -1, source.epoch):
            raise StructureError(f"{source.path}: is a snapshot of epoch {source.epoch}, not {epoch}")
        return Recorded(source.path, source, source.config)
    run = as_run(source)
    return Recorded(run.path, run.at(epoch), run.config)


def as_run(source: Run | str | os.PathLike[str]) -> Run:
    """Return the run, opened if it is a path.

    Raises
    ------
    RunError, SnapshotError
        If the path holds no run.
    """
    return source if isinstance(source, Run) else open_run(os.fspath(source))


def stack_of(run: Run) -> MaskStack:
    """Return the masks of all epochs of a run.

    Raises
    ------
    StructureError
        If the layers change; the message names the run.
    RunError, SnapshotError
        If a snapshot cannot be read.
    """
    try:
        return MaskStack.of((Recorded(run.path, snapshot, {}).packed for snapshot in run), len(run))
    except StructureError as error:
        raise StructureError(f"{run.path}: {error}") from None
