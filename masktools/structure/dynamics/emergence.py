"""When a run finds its final mask: overlap with the end, epoch by epoch."""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.runs import Run
from masktools.statistics.chance import Chance
from masktools.structure.dynamics.curve import CurvePoint, curve_point
from masktools.structure.overlap import check_same_layers
from masktools.structure.source import as_run

__all__ = ["Emergence", "LayerEmergence", "emergence", "emergence_epoch", "emergence_of"]


@dataclasses.dataclass(frozen=True)
class LayerEmergence:
    """When one layer found its final mask.

    Parameters
    ----------
    name
        Name of the layer.
    emergence_epoch
        First epoch from which on kappa stays at the threshold or above; None where it is not defined.
    undefined
        Why there is no emergence epoch: ``dense`` or ``empty`` final layer; None where there is one.
    size, final_active
        Number of weights, and of those active at the end.
    kappa
        Kappa with the final mask at each snapshot, in the order of the curve.
    """

    name: str
    emergence_epoch: int | None
    undefined: str | None
    size: int
    final_active: int
    kappa: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Emergence:
    """How a run approached its final mask.

    Parameters
    ----------
    run
        Path of the run.
    threshold
        Kappa that counts as having arrived.
    emergence_epoch
        First epoch from which on kappa over all layers stays at the threshold or above; None where every
        final layer is dense or empty.
    layers
        The same for each layer.
    curve
        One point a snapshot, in order of epochs.
    """

    run: str
    threshold: float
    emergence_epoch: int | None
    layers: tuple[LayerEmergence, ...]
    curve: tuple[CurvePoint, ...]

    @property
    def initial_share(self) -> float | None:
        """Share of the final mask that was active in the first snapshot; 1 for a run that starts dense."""
        return self.curve[0].intersection_share

    @property
    def expected_initial_share(self) -> float | None:
        """Chance level of `initial_share`."""
        return self.curve[0].expected_share

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "run": self.run,
            "threshold": self.threshold,
            "emergence_epoch": self.emergence_epoch,
            "initial_share": self.initial_share,
            "expected_initial_share": self.expected_initial_share,
            "layers": [{**dataclasses.asdict(layer), "kappa": list(layer.kappa)} for layer in self.layers],
            "curve": [dataclasses.asdict(point) for point in self.curve],
        }


def emergence(run: Run | str | os.PathLike[str], threshold: float = 0.9) -> Emergence:
    """Return when a run found its final mask.

    A decaying learning rate freezes masks by itself: weights that hardly move keep their ranks. An early
    emergence is a finding only against a run whose learning rate stays up.

    Parameters
    ----------
    run
        A run directory or an opened run, with at least two snapshots.
    threshold
        Kappa that counts as having arrived, above 0 and at most 1.

    Raises
    ------
    StructureError
        If there are fewer than two snapshots, the threshold lies outside (0, 1], or layers change.
    RunError, SnapshotError
        If the run cannot be read.
    """
    run = as_run(run)
    if len(run) < 2:
        raise StructureError(f"{run.path}: emergence needs at least two snapshots, there is {len(run)}")
    return emergence_of(
        ((snapshot.epoch, snapshot.masks()) for snapshot in run), run.final.masks(), threshold, str(run.path)
    )


def emergence_of(
    snapshots: Iterable[tuple[int, Mapping[str, PackedMask]]],
    final: Mapping[str, PackedMask],
    threshold: float = 0.9,
    label: str = "run",
) -> Emergence:
    """Return when a sequence of masks arrived at the final one.

    Parameters
    ----------
    snapshots
        Epoch and masks by layer name, in order of epochs; the last one holds the final masks. They are
        taken one by one, so only two need to be in memory.
    final
        The final masks.
    threshold
        As for `emergence`.
    label
        What the run is called.

    Raises
    ------
    StructureError
        If the threshold lies outside (0, 1], layers change, or there is no snapshot.

    Notes
    -----
    The emergence epoch is the smallest t with kappa(t', T) >= threshold for **all** t' >= t, T the last
    epoch: a curve that reaches the threshold and dips below again has not arrived. Since kappa(T, T) is 1,
    it is at most T; an emergence epoch of T says that no earlier snapshot had arrived.

    For a layer whose final mask is dense or empty it is not defined: kappa(T, T) is then undefined. For
    every other layer kappa is defined at each epoch, and 0 while the layer is dense or empty, as in the
    first levels of iterated pruning. The same holds for kappa over all layers, which is undefined at an
    epoch only if every layer is dense in both masks or empty in both.
    """
    if not 0 < threshold <= 1:
        raise StructureError(f"threshold must lie above 0 and at most 1, got {threshold}")
    epochs: list[int] = []
    curve: list[CurvePoint] = []
    kappas: dict[str, list[float | None]] = {name: [] for name in final}
    before: Mapping[str, PackedMask] | None = None
    for epoch, masks in snapshots:
        check_same_layers(masks, final, (f"{label} (epoch {epoch})", f"{label} (last epoch)"))
        pairs = {
            name: (Chance(last.size, masks[name].active, last.active), masks[name].intersection(last))
            for name, last in final.items()
        }
        for name, (chance, shared) in pairs.items():
            kappas[name].append(chance.kappa(shared))
        epochs.append(epoch)
        curve.append(curve_point(epoch, pairs.values(), masks, before))
        before = masks
    if not curve:
        raise StructureError(f"{label}: no snapshots")
    layers = tuple(
        LayerEmergence(
            name,
            emergence_epoch(epochs, kappas[name], threshold),
            "empty" if not mask.active else "dense" if mask.active == mask.size else None,
            mask.size,
            mask.active,
            tuple(kappas[name]),
        )
        for name, mask in final.items()
    )
    overall = emergence_epoch(epochs, [point.kappa for point in curve], threshold)
    return Emergence(label, threshold, overall, layers, tuple(curve))


def emergence_epoch(epochs: Sequence[int], kappas: Sequence[float | None], threshold: float) -> int | None:
    """Return the first epoch from which on kappa stays at the threshold or above.

    Parameters
    ----------
    epochs
        Ascending.
    kappas
        Kappa with the final mask at each epoch. An undefined kappa (None) has not arrived: it ends a
        stretch as a low value does, and at the last epoch it makes the result undefined.
    threshold
        Kappa that counts as having arrived.

    Returns
    -------
    int or None
        None if the last kappa is undefined or below the threshold.

    Examples
    --------
    >>> emergence_epoch([0, 1, 2, 3], [0.2, 0.95, 0.8, 1.0], 0.9)
    3
    """
    found: int | None = None
    for epoch, kappa in zip(reversed(epochs), reversed(kappas), strict=True):
        if kappa is None or kappa < threshold:
            break
        found = epoch
    return found
