"""What was imported, or would be."""

import dataclasses
import math
from typing import Any

from masktools.frames import ToFrame

__all__ = ["ImportResult", "ImportedEpoch", "ImportedLayer"]


@dataclasses.dataclass(frozen=True)
class ImportedLayer:
    """One layer of one checkpoint.

    Parameters
    ----------
    name, shape
        Name and shape of the weight.
    active
        Number of active weights.
    prunable
        False for a layer that is kept dense by choice.
    mask
        Where the mask is from: ``file``, ``scores``, ``largest``, ``zeros`` or ``dense``.
    """

    name: str
    shape: tuple[int, ...]
    active: int
    prunable: bool
    mask: str

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            **dataclasses.asdict(self),
            "shape": list(self.shape),
            "size": self.size,
            "density": self.active / self.size if self.size else None,
        }


@dataclasses.dataclass(frozen=True)
class ImportedEpoch:
    """One checkpoint.

    Parameters
    ----------
    epoch
        The epoch that it became.
    source
        Name of the file.
    format
        The format that it was read as.
    key
        Where in it the network was; empty at the top.
    stripped
        Prefixes that were taken off all names.
    layers
        Its layers.
    """

    epoch: int
    source: str
    format: str
    key: str
    stripped: tuple[str, ...]
    layers: tuple[ImportedLayer, ...]

    @property
    def active(self) -> int:
        """Number of active weights."""
        return sum(layer.active for layer in self.layers)

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(layer.size for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without the layers."""
        return {
            "epoch": self.epoch,
            "source": self.source,
            "format": self.format,
            "key": self.key,
            "stripped": list(self.stripped),
            "active": self.active,
            "size": self.size,
            "density": self.active / self.size if self.size else None,
        }


@dataclasses.dataclass(frozen=True)
class ImportResult(ToFrame):
    """What an import made.

    Parameters
    ----------
    run
        The run directory.
    written
        False where nothing was to be written.
    epochs
        In their order.
    epochs_from
        Where their numbers are from: ``given``, ``names`` or ``order``.
    tensors
        Names of what is no layer.
    graph
        ``model``, ``sequential`` or None.
    recipe
        Name of the recipe that the run records, or None.
    warnings
        Sentences about what is not as one might expect.
    """

    run: str
    written: bool
    epochs: tuple[ImportedEpoch, ...]
    epochs_from: str
    tensors: tuple[str, ...]
    graph: str | None
    recipe: str | None
    warnings: tuple[str, ...]

    @property
    def final(self) -> ImportedEpoch:
        """The last epoch."""
        return self.epochs[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the layers are those of the last epoch."""
        return {
            "run": self.run,
            "written": self.written,
            "format": self.final.format,
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "epochs_from": self.epochs_from,
            "layers": [layer.to_dict() for layer in self.final.layers],
            "tensors": list(self.tensors),
            "graph": self.graph,
            "recipe": self.recipe,
            "warnings": list(self.warnings),
        }
