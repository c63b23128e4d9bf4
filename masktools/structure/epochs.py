"""Two runs, every epoch of one against every epoch of the other: who was where, and when."""

import dataclasses
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.runs import Run
from masktools.stacks import MaskStack
from masktools.structure.source import as_run, stack_of

__all__ = ["EpochMatrix", "LayerMatrix", "compare_epochs", "epoch_matrix"]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerMatrix:
    """Overlap of one layer, or of all layers together, at every pair of epochs.

    All matrices have shape (epochs of A, epochs of B); NaN is a value that is not defined.

    Parameters
    ----------
    name
        Name of the layer; ``total`` for all layers together.
    size
        Number of weights.
    active_a, active_b
        Numbers of active weights at each epoch of either run.
    intersection
        Number of weights that are active in both.
    expected
        The same for independent masks with these counts in every layer.
    variance
        Variance of the intersection of independent masks.
    room
        K1 + K2 - 2 expected, summed over layers: the denominator of kappa.
    """

    name: str
    size: int
    active_a: NDArray[np.int64]
    active_b: NDArray[np.int64]
    intersection: NDArray[np.int64]
    expected: NDArray[np.float64]
    variance: NDArray[np.float64]
    room: NDArray[np.float64]

    @property
    def kappa(self) -> NDArray[np.float64]:
        """Agreement above chance: 0 at chance, 1 for equal masks; NaN where both are dense or both are empty."""
        return _ratio(2 * (self.intersection - self.expected), self.room)

    @property
    def z(self) -> NDArray[np.float64]:
        """Intersection above its expectation in standard deviations; NaN where chance leaves no freedom."""
        return _ratio(self.intersection - self.expected, np.sqrt(self.variance))

    @property
    def jaccard(self) -> NDArray[np.float64]:
        """Intersection over union; NaN where both masks are empty."""
        union = self.active_a[:, None] + self.active_b[None, :] - self.intersection
        return _ratio(self.intersection.astype(float), union.astype(float))

    @property
    def expected_jaccard(self) -> NDArray[np.float64]:
        """Jaccard index at the expected intersection: its chance level."""
        return _ratio(self.expected, self.active_a[:, None] + self.active_b[None, :] - self.expected)

    def to_dict(self) -> dict[str, Any]:
        """Return counts and matrices by name, as nested lists; None where a number is not defined."""
        return {
            "name": self.name,
            "size": self.size,
            "active_a": _listed(self.active_a),
            "active_b": _listed(self.active_b),
            "intersection": _listed(self.intersection),
            "expected_intersection": _listed(self.expected),
            "kappa": _listed(self.kappa),
        }


@dataclasses.dataclass(frozen=True, eq=False)
class EpochMatrix(ToFrame):
    """Two runs compared at every pair of epochs.

    Parameters
    ----------
    runs
        Paths of A and B; the same twice for a run beside itself.
    epochs_a, epochs_b
        Epochs of either.
    layers
        One entry a layer, in network order.
    total
        All layers together, chance summed over layers.
    """

    runs: tuple[str, str]
    epochs_a: tuple[int, ...]
    epochs_b: tuple[int, ...]
    layers: tuple[LayerMatrix, ...]
    total: LayerMatrix

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; matrices are nested lists, None where a number is not defined."""
        total = self.total
        return {
            "runs": list(self.runs),
            "epochs": [list(self.epochs_a), list(self.epochs_b)],
            "layers": [layer.to_dict() for layer in self.layers],
            "total": {
                **total.to_dict(),
                "jaccard": _listed(total.jaccard),
                "expected_jaccard": _listed(total.expected_jaccard),
                "z": _listed(total.z),
            },
        }


def compare_epochs(run_a: Run | str | os.PathLike[str], run_b: Run | str | os.PathLike[str]) -> EpochMatrix:
    """Compare every epoch of one run with every epoch of another, or of itself.

    Parameters
    ----------
    run_a, run_b
        Run directories or opened runs.

    Returns
    -------
    EpochMatrix
        Overlap and kappa at every pair of epochs, shape (epochs of A, epochs of B) each.

    Raises
    ------
    StructureError
        If layers differ; the message names the runs and the first layer that does not match.
    RunError, SnapshotError
        If a run cannot be read.
    """
    a, b = as_run(run_a), as_run(run_b)
    first = stack_of(a)
    second = None if a.path.resolve() == b.path.resolve() else stack_of(b)
    try:
        layers, total = epoch_matrix(first, second)
    except StructureError as error:
        raise StructureError(f"{a.path} and {b.path}: {error}") from None
    return EpochMatrix((str(a.path), str(b.path)), a.epochs, b.epochs, layers, total)


def epoch_matrix(first: MaskStack, second: MaskStack | None = None) -> tuple[tuple[LayerMatrix, ...], LayerMatrix]:
    """Return the overlap of every moment of one stack with every moment of another.

    Parameters
    ----------
    first, second
        Masks of the same layers; without a second stack the first is compared with itself.

    Returns
    -------
    layers, total
        Each layer, and all of them together.

    Raises
    ------
    StructureError
        If the layers differ.

    Notes
    -----
    As `masktools.structure.overlap.overlap_of`, for many pairs at once: hypergeometric chance layer by layer, means,
    variances and denominators summed over layers.
    """
    shared = first.intersections(second)
    rows = first.active
    columns = rows if second is None else second.active
    layers = tuple(
        _layer(name, math.prod(shape), rows[name], columns[name], shared[name]) for name, shape in first.shapes.items()
    )
    total = LayerMatrix(
        "total",
        sum(layer.size for layer in layers),
        *(np.sum([getattr(layer, field) for layer in layers], axis=0) for field in _SUMMED),
    )
    return layers, total


_SUMMED = ("active_a", "active_b", "intersection", "expected", "variance", "room")


def _layer(
    name: str, size: int, active_a: NDArray[np.int64], active_b: NDArray[np.int64], shared: NDArray[np.int64]
) -> LayerMatrix:
    # Floats: the product of two counts of a large layer does not fit 64-bit integers.
    n, a, b = float(size), active_a[:, None].astype(float), active_b[None, :].astype(float)
    expected = a * b / max(n, 1.0)
    variance = expected * (n - a) * (n - b) / max(n * (n - 1), 1.0)
    room = a * (n - b) / max(n, 1.0) + b * (n - a) / max(n, 1.0)
    return LayerMatrix(name, size, active_a, active_b, shared, expected, variance, room)


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def _listed(numbers: NDArray[Any]) -> list[Any]:
    """Return an array as nested lists, with None for what JSON has no number for."""
    cells = numbers.astype(object)
    cells[~np.isfinite(numbers)] = None
    listed: list[Any] = cells.tolist()
    return listed
