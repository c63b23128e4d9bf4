"""What the dynamics of a run come to: the result of `emergence`."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

from masktools.frames import ToFrame
from masktools.nulls.trial import Trial
from masktools.structure.dynamics.curve import CurvePoint, emergence_epoch
from masktools.structure.dynamics.early_bird import EarlyBird
from masktools.structure.dynamics.hubs import HubCurve
from masktools.structure.dynamics.spells import SpellTable, total_spells
from masktools.structure.dynamics.turnover import Turnover

__all__ = ["Emergence", "LayerEmergence"]


@dataclasses.dataclass(frozen=True)
class LayerEmergence:
    """When one layer found its final mask, and how it moved until then.

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
    kappa_beyond_initial
        The same given the first mask.
    emergence_epoch_beyond_initial
        The emergence epoch on that curve; None where it is not defined.
    early_bird_epoch
        First epoch whose mask agrees with each of those before it in the window; None if there is none.
    turnover
        What changed in the layer, at each snapshot.
    spells
        How long its weights stayed active.
    """

    name: str
    emergence_epoch: int | None
    undefined: str | None
    size: int
    final_active: int
    kappa: tuple[float | None, ...]
    kappa_beyond_initial: tuple[float | None, ...]
    emergence_epoch_beyond_initial: int | None
    early_bird_epoch: int | None
    turnover: tuple[Turnover, ...]
    spells: SpellTable

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values; what has a value at each snapshot is a list."""
        rows = [turnover.to_dict() for turnover in self.turnover]
        return {
            "name": self.name,
            "emergence_epoch": self.emergence_epoch,
            "undefined": self.undefined,
            "size": self.size,
            "final_active": self.final_active,
            "kappa": list(self.kappa),
            "kappa_beyond_initial": list(self.kappa_beyond_initial),
            "emergence_epoch_beyond_initial": self.emergence_epoch_beyond_initial,
            "early_bird_epoch": self.early_bird_epoch,
            **{key: [row[key] for row in rows] for key in (rows[0] if rows else ())},
            "survival": self.spells.to_dict(),
        }


@dataclasses.dataclass(frozen=True)
class Emergence(ToFrame):
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
    early_bird
        When the mask settled, told without the final mask.
    hubs
        Persistence of the hubs by fan-out and by fan-in.
    trials
        The agreement at each snapshot beside random masks, if they were drawn
        (`masktools.structure.dynamics.beside_null.approach_trials`).
    """

    run: str
    threshold: float
    emergence_epoch: int | None
    layers: tuple[LayerEmergence, ...]
    curve: tuple[CurvePoint, ...]
    early_bird: EarlyBird
    hubs: Mapping[str, HubCurve]
    trials: tuple[Trial, ...] = ()

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epoch of each snapshot."""
        return tuple(point.epoch for point in self.curve)

    @property
    def initial_share(self) -> float | None:
        """Share of the final mask that was active in the first snapshot; 1 for a run that starts dense."""
        return self.curve[0].intersection_share

    @property
    def expected_initial_share(self) -> float | None:
        """Chance level of `initial_share`."""
        return self.curve[0].expected_share

    @property
    def emergence_epoch_beyond_initial(self) -> int | None:
        """The emergence epoch of what the first mask does not explain; None if it explains all there is."""
        return emergence_epoch(self.epochs, [point.kappa_beyond_initial for point in self.curve], self.threshold)

    @functools.cached_property
    def spells(self) -> SpellTable:
        """How long weights stayed active, all layers together."""
        return total_spells(layer.spells for layer in self.layers)

    @property
    def lr_decay(self) -> tuple[float, float] | None:
        """Largest learning rate up to the emergence epoch, and the one at it; None where that is not recorded."""
        if self.emergence_epoch is None:
            return None
        rates = [point.lr for point in self.curve if point.epoch <= self.emergence_epoch]
        known = [rate for rate in rates if rate is not None]
        return (max(known), rates[-1]) if rates[-1] is not None else None

    def hub_emergence_epoch(self, side: str) -> int | None:
        """Return the first epoch from which on the kappa of the hubs stays at the threshold or above.

        Parameters
        ----------
        side
            ``fan_out`` or ``fan_in``.
        """
        return emergence_epoch(self.epochs, self.hubs[side].kappa, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        spells = self.spells
        return {
            "run": self.run,
            "threshold": self.threshold,
            "emergence_epoch": self.emergence_epoch,
            "emergence_epoch_beyond_initial": self.emergence_epoch_beyond_initial,
            "initial_share": self.initial_share,
            "expected_initial_share": self.expected_initial_share,
            "layers": [layer.to_dict() for layer in self.layers],
            "curve": [
                {**point.to_dict(), "null": trial.to_dict() if trial else None}
                for point, trial in itertools.zip_longest(self.curve, self.trials)
            ],
            "null": self.trials[0].plan.to_dict() if self.trials else None,
            "survival": {
                **spells.to_dict(),
                "cohorts": spells.cohorts_to_dict(),
                "cells": spells.cells_to_list(),
            },
            "early_bird": self.early_bird.to_dict(),
            "hubs": {
                side: {"emergence_epoch": self.hub_emergence_epoch(side), **curve.to_dict()}
                for side, curve in self.hubs.items()
            },
        }
