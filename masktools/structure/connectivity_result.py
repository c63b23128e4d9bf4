"""Results of a connectivity analysis: of each layer, and of the network as a whole."""

import dataclasses
import math
from typing import Any

from masktools.frames import ToFrame
from masktools.nulls.trial import TOTAL, Numbers, Trial
from masktools.statistics.monte_carlo import NullLevel

__all__ = ["Connectivity", "LayerConnectivity", "TotalConnectivity"]


@dataclasses.dataclass(frozen=True)
class LayerConnectivity:
    """Connectivity of one layer within the whole network.

    The units are the layer's own outputs, before anything is added to them: features, or channels of a map. Each is
    live, ghost or dead, so that ``live_out + ghost_out + dead_out == units_out``. Where several nodes share the
    weight, a unit counts as the best of them.

    Parameters
    ----------
    name
        Name of the weight.
    size
        Number of weights.
    active
        Number of active weights.
    effective
        Number of active weights on a path from a network input to a network output.
    units_in, used_in
        Number of units that the layer reads, and of those that an effective weight reads.
    units_out
        Number of units that the layer writes.
    live_out
        Units that an input reaches at a position from which an output is reached: those with an effective weight.
    ghost_out
        Units from which an output is reached, but that no input reaches at any such position. They emit a constant,
        through a bias or the offset of a batch norm, and can be folded into it.
    foldable_out
        Ghosts among these whose constant is the same at every position and can be put into the biases of what reads it,
        exactly (`masktools.topology.ghosts`).
    dead_out
        Units from which no output is reached.
    """

    name: str
    size: int
    active: int
    effective: int
    units_in: int
    used_in: int
    units_out: int
    live_out: int
    ghost_out: int
    foldable_out: int
    dead_out: int

    @property
    def density(self) -> float:
        """Share of active weights."""
        return self.active / self.size

    @property
    def effective_density(self) -> float:
        """Share of effective weights."""
        return self.effective / self.size

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, densities included."""
        return {
            **dataclasses.asdict(self),
            "density": self.density,
            "effective_density": self.effective_density,
        }


@dataclasses.dataclass(frozen=True)
class TotalConnectivity:
    """Connectivity of a whole network.

    Parameters
    ----------
    size, active, effective, live_out, ghost_out, foldable_out, dead_out
        Sums over the layers.
    inputs, inputs_used
        Number of values that the network is fed (each position of a channel by itself), and of those that an output
        depends on.
    log10_paths
        Logarithm to base 10 of the number of channel paths of effective weights from input to output
        (`masktools.topology.paths.log10_paths`): a convolution joins two channels once, however many of its taps
        are active; -inf without a path.
    log10_tap_paths
        The same with every tap of a convolution an edge of its own.
    units, components, isolated, giant_share
        Units of the neuron graph of all active weights, its weak components (isolated units included), isolated
        units, and the share of units in the largest component (`masktools.topology.units.weak_components`).
    """

    size: int
    active: int
    effective: int
    live_out: int
    ghost_out: int
    foldable_out: int
    dead_out: int
    inputs: int
    inputs_used: int
    log10_paths: float
    log10_tap_paths: float
    units: int
    components: int
    isolated: int
    giant_share: float

    @property
    def density(self) -> float:
        """Share of active weights."""
        return self.active / self.size if self.size else math.nan

    @property
    def effective_density(self) -> float:
        """Share of effective weights."""
        return self.effective / self.size if self.size else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, densities included; NaN and infinities are None."""
        values = dataclasses.asdict(self)
        values |= {"density": self.density, "effective_density": self.effective_density}
        return {key: _finite(value) for key, value in values.items()}


@dataclasses.dataclass(frozen=True)
class Connectivity(ToFrame):
    """Connectivity of a network: each layer, and all of it.

    Parameters
    ----------
    layers
        In network order.
    total
        Sums and measures of the whole.
    run
        Path of the run or snapshot, if the masks came from one.
    epoch
        Epoch of the snapshot.
    trial
        What random masks give, if they were drawn: ``effective``, ``live_out``, ``ghost_out`` and ``dead_out`` by layer
        and in total, ``log10_paths`` and ``components`` in total, and whatever is in `numbers`.
    by_density
        What random masks give that keep nothing but the density of every layer: the part of each number that is
        explained by density alone. `trial` itself if its null is that one.
    families, of, numbers
        Further measures that were asked for, whether they were taken of the ``mask`` or of its ``effective`` weights,
        and their values by name and layer (``total`` for the network).
    """

    layers: tuple[LayerConnectivity, ...]
    total: TotalConnectivity
    run: str | None = None
    epoch: int | None = None
    trial: Trial | None = None
    by_density: Trial | None = None
    families: tuple[str, ...] = ()
    of: str = "mask"
    numbers: Numbers = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "layers": [{**layer.to_dict(), **self._beside(layer.name)} for layer in self.layers],
            "total": {**self.total.to_dict(), **self._beside(TOTAL)},
            "measures": {"families": list(self.families), "of": self.of},
            "null": None if self.trial is None else self.trial.plan.to_dict(),
        }

    def level(self, metric: str, layer: str = TOTAL) -> NullLevel | None:
        """Return what a measure is under the null, None where no random masks were drawn or it is not defined."""
        return None if self.trial is None else self.trial.level(metric, layer)

    def density_level(self, metric: str, layer: str = TOTAL) -> NullLevel | None:
        """Return what a measure is in random masks of the same densities, None where none were drawn."""
        return None if self.by_density is None else self.by_density.level(metric, layer)

    def _beside(self, layer: str) -> dict[str, Any]:
        """Return further measures of a layer, and the null of all of them."""
        return {
            "measures": {metric: _finite(value) for (metric, name), value in self.numbers.items() if name == layer},
            "null": None if self.trial is None else self.trial.to_dict(layer),
            "by_density": None
            if self.by_density is None
            else {metric: level.mean for (metric, name), level in self.by_density.levels.items() if name == layer},
        }


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
