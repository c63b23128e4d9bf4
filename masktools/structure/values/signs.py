"""Sign stability: how many weights keep the sign that they were initialised with."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.runs import Run
from masktools.statistics.proportion import Proportion
from masktools.structure.source import as_run
from masktools.structure.values.trained import Moment, check_layers, has_weights, initial_weights, read_layer

__all__ = ["GROUPS", "LayerSigns", "SignPoint", "SignShare", "SignStability", "sign_point", "sign_stability"]

GROUPS = ("active", "never_pruned", "regrown", "pruned")
"""Groups of weights whose signs are counted."""


@dataclasses.dataclass(frozen=True)
class SignShare:
    """How many weights of a group have their initial sign.

    Parameters
    ----------
    same
        Weights of the initial sign, among those that have a sign now and had one at first.
    unsigned
        Weights of the group that are exactly 0, or were; they are not counted.
    """

    same: Proportion
    unsigned: int

    def __add__(self, other: "SignShare") -> "SignShare":
        """Return both groups together."""
        return SignShare(self.same + other.same, self.unsigned + other.unsigned)

    def to_dict(self) -> dict[str, Any]:
        """Return the share with its interval, its z against one half, and the counts."""
        told = self.same.to_dict()
        return {
            **{key: told[key] for key in ("share", "low", "high", "z")},
            "same": self.same.hits,
            "counted": self.same.trials,
            "unsigned": self.unsigned,
        }


@dataclasses.dataclass(frozen=True)
class LayerSigns:
    """Signs of one layer, or of all layers together, against the initial ones.

    Parameters
    ----------
    name
        Name of the layer; ``total`` for all layers together.
    active
        Weights that are active.
    never_pruned
        Of these, weights that were active in every snapshot so far.
    regrown
        The other active ones. Their values may have begun again at 0 (RigL).
    pruned
        Inactive weights that keep training behind the mask; None where no value of theirs is known.
    """

    name: str
    active: SignShare
    never_pruned: SignShare
    regrown: SignShare
    pruned: SignShare | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        groups = {group: getattr(self, group) for group in GROUPS}
        return {"name": self.name, **{group: share and share.to_dict() for group, share in groups.items()}}


@dataclasses.dataclass(frozen=True)
class SignPoint:
    """Signs at one epoch against the initial ones.

    Parameters
    ----------
    epoch
        Number of finished epochs.
    layers
        One entry a layer.
    total
        All layers together. Shares may be pooled: chance is one half in every layer, whatever its density.
    """

    epoch: int
    layers: tuple[LayerSigns, ...]
    total: LayerSigns

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        total = {key: value for key, value in self.total.to_dict().items() if key != "name"}
        return {"epoch": self.epoch, **total, "layers": [layer.to_dict() for layer in self.layers]}


@dataclasses.dataclass(frozen=True)
class SignStability(ToFrame):
    """How many weights kept their initial sign, epoch by epoch.

    Parameters
    ----------
    run
        Path of the run.
    signs
        One entry for each snapshot after the first that holds weights.
    note
        Why there is none; empty where there is one.
    """

    run: str
    signs: tuple[SignPoint, ...]
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {"run": self.run, "signs": [point.to_dict() for point in self.signs], "note": self.note}


def sign_stability(run: Run | str | os.PathLike[str]) -> SignStability:
    """Return how many weights of a run have their initial sign, at each snapshot.

    Parameters
    ----------
    run
        A run directory or an opened run. Snapshots are taken one by one: in memory are the weights of one layer, and
        of all layers the initial signs and a mask.

    Returns
    -------
    SignStability
        One entry for each snapshot after the first that holds weights; where there is none, why.

    Raises
    ------
    StructureError
        If layers change or a weight is not finite.
    RunError, SnapshotError
        If the run cannot be read.

    Notes
    -----
    Sign stability is Zhou et al.'s observation (arXiv 1905.01067) that of the initial values the signs are what a
    mask needs. By chance one half keeps its sign; a weight that training hardly moves keeps it too, so the share
    among active weights is to be held against that among pruned ones where those train on.
    """
    run = as_run(run)
    initial = initial_weights(run)
    if initial is None:
        return SignStability(str(run.path), (), "the initial weights are not stored: epoch 0 holds no dense weights")
    check_layers(run, *run)
    signs: dict[str, NDArray[np.int8]] = {}
    always: dict[str, NDArray[np.bool_]] = {}
    for name in initial.layers:
        mask, weight = read_layer(initial, name)
        signs[name], always[name] = _signs(weight), mask.copy()
    points = []
    for snapshot in run[1:]:
        stored, moment = has_weights(snapshot), Moment(run, snapshot)
        layers = []
        for name, start in signs.items():
            mask = snapshot.mask(name).reshape(-1)
            always[name] &= mask
            if stored:
                weight, known = moment.layer(name)
                layers.append(sign_point(name, start, weight, mask, always[name], known))
        if stored:
            points.append(SignPoint(snapshot.epoch, tuple(layers), _total(layers)))
    return SignStability(str(run.path), tuple(points), "" if points else "no weights are stored after epoch 0")


def sign_point(
    name: str,
    initial: NDArray[Any],
    weight: NDArray[Any],
    mask: NDArray[np.bool_],
    always: NDArray[np.bool_],
    known: NDArray[np.bool_] | None = None,
) -> LayerSigns:
    """Return how many weights of a layer have their initial sign.

    Parameters
    ----------
    name
        Name of the layer.
    initial
        Initial weights, or their signs.
    weight, mask
        Weights and mask now.
    always
        Weights that were active all along, the present included.
    known
        Weights with a trained value, the active ones among them; None where only active ones have one.

    Raises
    ------
    StructureError
        If shapes differ, or a weight that is not active now is said to have been so all along.
    """
    arrays = (initial, weight, mask, always, *(() if known is None else (known,)))
    if len({array.shape for array in arrays}) > 1:
        raise StructureError(f"layer {name!r}: weights and masks have different shapes")
    if (always & ~mask).any():
        raise StructureError(f"layer {name!r}: an inactive weight cannot have been active all along")
    product = _signs(initial) * _signs(weight)
    never, regrown = _share(product, always), _share(product, mask & ~always)
    behind = None if known is None else known & ~mask
    pruned = None if behind is None or not behind.any() else _share(product, behind)
    return LayerSigns(name, never + regrown, never, regrown, pruned)


def _share(product: NDArray[np.int8], group: NDArray[np.bool_]) -> SignShare:
    of_group = product[group]
    same, signed = int(np.count_nonzero(of_group > 0)), int(np.count_nonzero(of_group))
    return SignShare(Proportion(same, signed), of_group.size - signed)


def _signs(values: NDArray[Any]) -> NDArray[np.int8]:
    signs: NDArray[np.int8] = np.sign(values).astype(np.int8, copy=False)
    return signs


def _total(layers: Iterable[LayerSigns]) -> LayerSigns:
    parts = list(layers)
    nothing = SignShare(Proportion(0, 0), 0)
    sums: Mapping[str, SignShare] = {
        group: sum((share for part in parts if (share := getattr(part, group)) is not None), nothing)
        for group in GROUPS
    }
    pruned = None if all(part.pruned is None for part in parts) else sums["pruned"]
    return LayerSigns("total", sums["active"], sums["never_pruned"], sums["regrown"], pruned)
