"""Hubs: the units with most active weights, and whether they are the same ones in the end."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_kappa, stratified_z
from masktools.structure.degrees import degrees

__all__ = ["HUB_SHARE", "SIDES", "HubCounter", "HubCurve", "LayerHubs", "hub_set"]

HUB_SHARE = 0.1
"""Share of a layer's units that count as hubs, before ties."""

SIDES = ("fan_out", "fan_in")
"""Active weights of an input unit, and of an output unit."""


@dataclasses.dataclass(frozen=True)
class LayerHubs:
    """The hubs of one layer against its final hubs.

    Parameters
    ----------
    name
        Name of the layer.
    units
        Number of units.
    hubs
        Number of hubs at each snapshot; ties at the cut are all taken, so it varies.
    kappa
        Agreement with the final hubs above chance, at each snapshot; None where both times all units are hubs, or none.
    z
        Common hubs above chance, in standard deviations; None where chance leaves no freedom.
    """

    name: str
    units: int
    hubs: tuple[int, ...]
    kappa: tuple[float | None, ...]
    z: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class HubCurve:
    """Persistence of the hubs of one side, snapshot by snapshot.

    Parameters
    ----------
    side
        ``fan_out`` or ``fan_in``.
    share
        Share of the units that count as hubs, before ties.
    layers
        Each layer whose units are known.
    kappa, z
        All layers together, chance summed over layers.
    """

    side: str
    share: float
    layers: tuple[LayerHubs, ...]
    kappa: tuple[float | None, ...]
    z: tuple[float | None, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        layers = [
            {key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(row).items()}
            for row in self.layers
        ]
        return {"share": self.share, "kappa": list(self.kappa), "z": list(self.z), "layers": layers}


def hub_set(degrees: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which units are hubs: the top tenth by degree, rounded up, and all that tie with the last of them.

    A unit without active weights is none. Of equal units none is preferred, so that the set does not depend on the
    order of units: with ties it is larger than a tenth, and is all units where all have the same degree.

    Parameters
    ----------
    degrees
        Active weights of each unit, shape (units,).

    Returns
    -------
    ndarray
        Boolean, shape (units,).

    Examples
    --------
    >>> hub_set(np.array([5, 3, 5, 0])).tolist()
    [True, False, True, False]
    """
    if not degrees.size:
        return np.zeros(0, dtype=np.bool_)
    top = math.ceil(round(HUB_SHARE * degrees.size, 9))
    cut = np.partition(degrees, degrees.size - top)[degrees.size - top]
    return degrees >= max(int(cut), 1)


class HubCounter:
    """Compares hubs with the final ones while masks go by, one snapshot after the other.

    Parameters
    ----------
    final
        The final masks.
    groups
        For each layer whose axes are outputs, inputs, kernel: its number of groups. Other layers are left out.

    Raises
    ------
    StructureError
        If the outputs of a layer do not split into its groups; the message names the layer.

    Notes
    -----
    Two sets of K1 and K2 of n units that are independent share K1 K2 / n on average (hypergeometric); kappa and z are
    those of masks, over units instead of weights. This chance level takes any unit for a hub: masks that share
    weights share hubs as well, so a hub kappa says more than that only where it is above the masks' own kappa.
    """

    def __init__(self, final: Mapping[str, PackedMask], groups: Mapping[str, int]) -> None:
        self._groups = dict(groups)
        self._final = {name: self._hubs(name, final[name]) for name in groups}
        self._pairs: list[dict[str, tuple[tuple[Chance, int], ...]]] = []

    def _hubs(self, name: str, mask: PackedMask) -> tuple[NDArray[np.bool_], ...]:
        try:
            return tuple(hub_set(side) for side in degrees(mask.to_bool(), self._groups[name]))
        except StructureError as error:
            raise StructureError(f"layer {name!r}: {error}") from None

    def add(self, masks: Mapping[str, PackedMask]) -> None:
        """Take the masks of the next snapshot."""
        self._pairs.append(
            {name: tuple(map(_pair, self._hubs(name, masks[name]), final)) for name, final in self._final.items()}
        )

    def result(self) -> dict[str, HubCurve]:
        """Return the persistence of either side's hubs, by the names of `SIDES`."""
        return {side: self._curve(side, place) for place, side in enumerate(SIDES)}

    def _curve(self, side: str, place: int) -> HubCurve:
        layers = []
        for name, final in self._final.items():
            pairs = [epoch[name][place] for epoch in self._pairs]
            layers.append(
                LayerHubs(
                    name,
                    len(final[place]),
                    tuple(chance.active_a for chance, _ in pairs),
                    tuple(chance.kappa(shared) for chance, shared in pairs),
                    tuple(chance.z(shared) for chance, shared in pairs),
                )
            )
        epochs: Sequence[list[tuple[Chance, int]]] = [[row[place] for row in epoch.values()] for epoch in self._pairs]
        return HubCurve(
            side,
            HUB_SHARE,
            tuple(layers),
            tuple(map(stratified_kappa, epochs)),
            tuple(map(stratified_z, epochs)),
        )


def _pair(hubs: NDArray[np.bool_], final: NDArray[np.bool_]) -> tuple[Chance, int]:
    chance = Chance(len(final), int(np.count_nonzero(hubs)), int(np.count_nonzero(final)))
    return chance, int(np.count_nonzero(hubs & final))
