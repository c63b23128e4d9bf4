"""What a run is: its epochs, configuration, densities and the last lines of its log."""

import dataclasses
import os
from typing import Any

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.runs import Run
from masktools.structure.flops import FlopSummary, flops_of
from masktools.structure.source import as_run

__all__ = ["LayerSummary", "RunSummary", "summarize"]


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One layer at one epoch.

    Parameters
    ----------
    name
        Name of the weight parameter.
    shape, axes
        Shape of the weight and the meaning of its axes.
    size, active
        Number of weights, and of those active.
    first_active
        Number active in the first snapshot; None if that one lacks the layer.
    prunable
        False for a layer that is kept dense by choice.
    """

    name: str
    shape: tuple[int, ...]
    axes: str
    size: int
    active: int
    first_active: int | None
    prunable: bool

    @property
    def density(self) -> float | None:
        """Share of active weights; None for a layer without weights."""
        return self.active / self.size if self.size else None

    @property
    def first_density(self) -> float | None:
        """Share of active weights in the first snapshot."""
        return self.first_active / self.size if self.size and self.first_active is not None else None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, densities included."""
        return {
            **dataclasses.asdict(self),
            "shape": list(self.shape),
            "density": self.density,
            "first_density": self.first_density,
        }


@dataclasses.dataclass(frozen=True)
class RunSummary(ToFrame):
    """What a run is.

    Parameters
    ----------
    run
        Path of the run.
    epoch
        The epoch that `layers` describe.
    epochs
        Epochs of which there is a snapshot.
    step
        Number of optimizer steps taken before that snapshot.
    config
        The configuration.
    info
        What else ``run.json`` says (versions, device, ...).
    layers
        In network order.
    tensors
        Names of the parameters and buffers that are no layers.
    topology
        Whether the operator graph is stored.
    metrics
        The last records of the log, oldest first.
    flops
        What the network costs, and training up to the epoch; None where the log does not say.
    """

    run: str
    epoch: int
    epochs: tuple[int, ...]
    step: int
    config: dict[str, Any]
    info: dict[str, Any]
    layers: tuple[LayerSummary, ...]
    tensors: tuple[str, ...]
    topology: bool
    metrics: tuple[dict[str, Any], ...]
    flops: FlopSummary | None = None

    @property
    def size(self) -> int:
        """Number of weights over all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def active(self) -> int:
        """Number of active weights over all layers."""
        return sum(layer.active for layer in self.layers)

    @property
    def density(self) -> float | None:
        """Share of active weights over all layers."""
        return self.active / self.size if self.size else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "epochs": list(self.epochs),
            "step": self.step,
            "config": self.config,
            "info": self.info,
            "layers": [layer.to_dict() for layer in self.layers],
            "total": {"size": self.size, "active": self.active, "density": self.density},
            "tensors": list(self.tensors),
            "topology": self.topology,
            "metrics": list(self.metrics),
            "flops": None if self.flops is None else self.flops.to_dict(),
        }


def summarize(run: Run | str | os.PathLike[str], epoch: int | None = None, last: int = 5) -> RunSummary:
    """Return what a run is, from headers alone: no mask is read.

    Parameters
    ----------
    run
        A run directory, a snapshot file, or an opened run.
    epoch
        Which snapshot's layers to describe; None is the last.
    last
        How many of the last records of the log to include.

    Returns
    -------
    RunSummary
        The layers at that epoch, and what the files of the run say of it.

    Raises
    ------
    StructureError
        If `last` is negative.
    RunError, SnapshotError
        If the run cannot be read or has no such epoch.
    """
    if last < 0:
        raise StructureError(f"the number of log records must be at least 0, got {last}")
    run = as_run(run)
    snapshot, first = run.at(epoch), run[0]
    layers = tuple(
        LayerSummary(
            name=layer.name,
            shape=layer.shape,
            axes=layer.axes,
            size=layer.size,
            active=layer.active,
            first_active=first.layers[layer.name].active if layer.name in first.layers else None,
            prunable=layer.prunable,
        )
        for layer in snapshot.layers.values()
    )
    return RunSummary(
        run=str(run.path),
        epoch=snapshot.epoch,
        epochs=run.epochs,
        step=snapshot.step,
        config=run.config,
        info={key: value for key, value in run.info.items() if key != "config"},
        layers=layers,
        tensors=snapshot.tensor_names,
        topology=snapshot.topology is not None,
        metrics=tuple(run.metrics[-last:] if last else ()),
        flops=flops_of(run.metrics, snapshot.epoch),
    )
