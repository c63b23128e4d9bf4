"""Weights as snapshots store them, and which of them have a value that they were trained to."""

import functools
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.runs import Run
from masktools.snapshot.read import Snapshot

__all__ = ["Moment", "check_layers", "has_dense_weights", "has_weights", "initial_weights", "left_behind", "read_layer"]


class Moment:
    """A snapshot of a run that holds weights, layer by layer.

    Parameters
    ----------
    run
        The run.
    snapshot
        One of its snapshots.
    """

    def __init__(self, run: Run, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._run = run

    @functools.cached_property
    def trains_behind(self) -> bool:
        """Whether inactive weights that are not 0 are taken for trained.

        Values that a program leaves where it masked them look like trained ones. They give themselves away by
        standing still while active weights move, since the dense snapshot before (at the latest the initial one).
        Where there is none the question cannot be decided, and they are taken for trained.
        """
        if not has_dense_weights(self.snapshot):
            return False
        earlier = (s for s in reversed(self._run) if s.epoch < self.snapshot.epoch and has_dense_weights(s))
        before = next(earlier, None)
        if before is None:
            return True
        check_layers(self._run, self.snapshot, before)
        names = self.snapshot.layers
        return not left_behind((*read_layer(before, name), *read_layer(self.snapshot, name)) for name in names)

    def layer(self, name: str) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Return the weights of a layer, flat, and which of them have a value that they were trained to.

        Those are the active ones, and inactive ones whose value is not exactly 0: where a mask is enforced in
        training, it leaves 0 behind.

        Raises
        ------
        StructureError
            If a weight is not finite.
        SnapshotError
            If the file cannot be read or holds no weights.
        """
        mask, weight = read_layer(self.snapshot, name)
        behind = ~mask & (weight != 0)
        return weight, mask | behind if behind.any() and self.trains_behind else mask

    def tells(self, masks: Mapping[str, NDArray[np.bool_]], whole: bool) -> bool:
        """Return whether the weights of this moment can tell what masks keep from what they leave out.

        Parameters
        ----------
        masks
            Flat masks by layer name, of any moment.
        whole
            Whether all weights that the masks keep must have a trained value; else one is enough, beside one that
            they leave out in the same layer.
        """
        found = False
        for name, mask in masks.items():
            if mask.all() or not mask.any():
                continue
            # The mask of the moment is cheaper to read than its weights, and decides most cases.
            known = self.snapshot.mask(name).reshape(-1)
            if has_dense_weights(self.snapshot) and ((mask & ~known).any() or not (known & ~mask).any()):
                known = self.layer(name)[1]
            if whole and (mask & ~known).any():
                return False
            found = found or bool((known & mask).any() and (known & ~mask).any())
        return found


def read_layer(snapshot: Snapshot, name: str) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    """Return mask and weights of a layer, flat; inactive weights are 0 where the file does not hold them.

    Half precision becomes single, which holds the same values and their differences.

    Raises
    ------
    StructureError
        If a weight is not finite; the message names file and layer.
    SnapshotError
        If the file cannot be read or holds no weights.
    """
    weight = snapshot.weight(name).reshape(-1)
    if not np.isfinite(weight).all():
        raise StructureError(f"{snapshot.path}: layer {name!r} holds a weight that is not finite")
    return snapshot.mask(name).reshape(-1), weight.astype(np.result_type(weight.dtype, np.float32), copy=False)


def has_weights(snapshot: Snapshot) -> bool:
    """Return whether a snapshot holds values of every layer, if only of its active weights."""
    return all(layer.weights != "none" for layer in snapshot.layers.values())


def has_dense_weights(snapshot: Snapshot) -> bool:
    """Return whether a snapshot holds the values of all weights, active or not."""
    return all(
        layer.weights == "dense" or (layer.weights == "active" and layer.active == layer.size)
        for layer in snapshot.layers.values()
    )


def initial_weights(run: Run) -> Snapshot | None:
    """Return the snapshot of epoch 0 where it holds the values of all weights, else None."""
    return run[0] if run[0].epoch == 0 and has_dense_weights(run[0]) else None


def check_layers(run: Run, *snapshots: Snapshot) -> None:
    """Raise unless snapshots of a run have the same layers of the same shapes and axes.

    Raises
    ------
    StructureError
        Naming the run and the first layer that does not match.
    """
    first, *rest = snapshots
    for other in rest:
        for name in {**first.layers, **other.layers}:
            here, there = first.layers.get(name), other.layers.get(name)
            if here is None or there is None or (here.shape, here.axes) != (there.shape, there.axes):
                raise StructureError(
                    f"{run.path}: layer {name!r} is not the same in epochs {first.epoch} and {other.epoch}"
                )


def left_behind(
    layers: Iterable[tuple[NDArray[np.bool_], NDArray[np.floating], NDArray[np.bool_], NDArray[np.floating]]],
) -> bool:
    """Return whether, over all layers, active weights moved and of the values behind both masks not one did.

    Parameters
    ----------
    layers
        For each layer mask and weights of an earlier moment, then mask and weights of a later one.
    """
    there = moved = False
    for mask_a, a, mask_b, b in layers:
        behind = ~(mask_a | mask_b) & (b != 0)
        change = a != b
        if (change & behind).any():
            return False
        there = there or bool(behind.any())
        moved = moved or bool((change & mask_a & mask_b).any())
    return there and moved
