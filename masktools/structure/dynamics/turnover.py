"""What changes from snapshot to snapshot: births, deaths, weights that come back, and what was ever tried."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from masktools.masks import PackedMask
from masktools.statistics.chance import Chance, stratified_z

__all__ = ["Turnover", "TurnoverCounter"]


@dataclasses.dataclass(frozen=True)
class Turnover:
    """What changed in one layer, or in all layers together, since the snapshot before.

    Everything that compares with the snapshot before is None for the first one.

    Parameters
    ----------
    size, active
        Number of weights, and of those active now.
    active_before
        Number active in the snapshot before.
    births, deaths
        Weights that became active, or inactive.
    expected_deaths
        Deaths if the new mask were independent of the one before, with the same number of active weights in every
        layer.
    regrowth
        Births of weights that were active in some earlier snapshot, then absent, and now return.
    expected_regrowth
        Regrowth if the births had fallen on uniformly random inactive weights, layer by layer.
    regrowth_z
        Regrowth above that, in standard deviations; None where chance leaves no freedom.
    explored
        Weights that were active in this or any earlier snapshot.
    expected_explored
        The same if all births so far had fallen on uniformly random inactive weights.
    """

    size: int
    active: int
    active_before: int | None
    births: int | None
    deaths: int | None
    expected_deaths: float | None
    regrowth: int | None
    expected_regrowth: float | None
    regrowth_z: float | None
    explored: int
    expected_explored: float

    @property
    def turnover(self) -> float | None:
        """Share of the mask before that is gone: deaths over active before; None if that mask was empty."""
        return _ratio(self.deaths, self.active_before)

    @property
    def expected_turnover(self) -> float | None:
        """Chance level of `turnover`."""
        return _ratio(self.expected_deaths, self.active_before)

    @property
    def regrowth_share(self) -> float | None:
        """Share of the births that come back; None without births."""
        return _ratio(self.regrowth, self.births)

    @property
    def expected_regrowth_share(self) -> float | None:
        """Chance level of `regrowth_share`."""
        return _ratio(self.expected_regrowth, self.births)

    @property
    def exploration(self) -> float | None:
        """Share of all weights that were ever active, R_s; None for a layer without weights."""
        return _ratio(self.explored, self.size)

    @property
    def expected_exploration(self) -> float | None:
        """Chance level of `exploration`."""
        return _ratio(self.expected_explored, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Return counts and shares that belong to a point of the curve, by name."""
        return {
            "active": self.active,
            "births": self.births,
            "deaths": self.deaths,
            "turnover": self.turnover,
            "expected_turnover": self.expected_turnover,
            "regrowth": self.regrowth,
            "expected_regrowth": self.expected_regrowth,
            "regrowth_share": self.regrowth_share,
            "expected_regrowth_share": self.expected_regrowth_share,
            "regrowth_z": self.regrowth_z,
            "exploration": self.exploration,
            "expected_exploration": self.expected_exploration,
        }


def _ratio(part: float | None, whole: int | None) -> float | None:
    return part / whole if part is not None and whole else None


class TurnoverCounter:
    """Counts births, deaths, regrowth and exploration while masks go by, one snapshot after the other.

    Parameters
    ----------
    names
        Names of the layers.

    Notes
    -----
    Births, deaths and regrowth are those between snapshots: a weight that dies and comes back between two of them
    is not seen. What happened before the first snapshot is not known, so in a run that begins later than epoch 0
    regrowth and exploration are lower bounds.

    Exploration is the in-time over-parameterisation rate R_s of Liu et al., arXiv 2102.02887. With b births in a
    layer of N weights of which K were active, and E ever active, b (N - E) / (N - K) of them are expected to be new:
    the chance level follows from that step by step, without draws.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._before: Mapping[str, PackedMask] | None = None
        self._ever: dict[str, PackedMask] = {}
        self._expected: dict[str, float] = {}

    def add(self, masks: Mapping[str, PackedMask]) -> tuple[dict[str, Turnover], Turnover]:
        """Take the masks of the next snapshot; return what changed in each layer, and in all together."""
        before, layers, returns = self._before, {}, []
        for name in self._names:
            now = masks[name]
            if before is None:
                self._ever[name], self._expected[name] = now, float(now.active)
                layers[name] = Turnover(
                    now.size, now.active, None, None, None, None, None, None, None, now.active, float(now.active)
                )
                continue
            layers[name], chance = self._layer(name, before[name], now)
            returns.append((chance, layers[name].regrowth or 0))
        self._before = masks
        return layers, _total(list(layers.values()), stratified_z(returns))

    def _layer(self, name: str, before: PackedMask, now: PackedMask) -> tuple[Turnover, Chance]:
        ever = self._ever[name]
        born = PackedMask(now.bits & ~before.bits, now.shape)
        births, room = born.active, now.size - before.active
        regrowth = born.intersection(ever)
        returning = Chance(room, births, ever.active - before.active)
        if births:
            self._ever[name] = PackedMask(ever.bits | now.bits, now.shape)
            self._expected[name] += births * (now.size - self._expected[name]) / room
        turnover = Turnover(
            size=now.size,
            active=now.active,
            active_before=before.active,
            births=births,
            deaths=before.active + births - now.active,
            expected_deaths=before.active - Chance(now.size, before.active, now.active).mean,
            regrowth=regrowth,
            expected_regrowth=returning.mean,
            regrowth_z=returning.z(regrowth),
            explored=self._ever[name].active,
            expected_explored=self._expected[name],
        )
        return turnover, returning


def _total(layers: list[Turnover], z: float | None) -> Turnover:
    """Add up layers; one of them without a number leaves the total without it."""

    def add(key: str) -> Any:
        values = [getattr(layer, key) for layer in layers]
        if any(value is None for value in values):
            return None
        return math.fsum(values) if any(isinstance(value, float) for value in values) else sum(values)

    names = [field.name for field in dataclasses.fields(Turnover) if field.name != "regrowth_z"]
    return Turnover(**{name: add(name) for name in names}, regrowth_z=z)
