"""Which random masks to draw, and what of the observed ones they can change."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from masktools.errors import StructureError
from masktools.nulls.ladder import find_null
from masktools.nulls.shuffles import Masks

__all__ = ["DrawPlan"]


@dataclasses.dataclass(frozen=True)
class DrawPlan:
    """Which random masks to draw.

    Parameters
    ----------
    null
        Name of a rung of the ladder (`masktools.nulls.ladder.LADDER`).
    draws
        How many, at least 1; 199 for a p-value.
    seed
        What all randomness follows from. Draw i is the same however many there are, and in however many processes.
    jobs
        Number of processes.

    Raises
    ------
    StructureError
        If the null is unknown or a number is too small.
    """

    null: str = "layer"
    draws: int = 199
    seed: int = 0
    jobs: int = 1

    def __post_init__(self) -> None:
        find_null(self.null)
        for name, least in (("draws", 1), ("seed", 0), ("jobs", 1)):
            if getattr(self, name) < least:
                raise StructureError(f"{name} of a null must be at least {least}, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return what the random masks follow from; in how many processes they were drawn makes no difference."""
        return {"name": self.null, "draws": self.draws, "seed": self.seed}

    def rng(self, place: int) -> np.random.Generator:
        """Return the source of randomness of a draw; place -1 belongs to what all draws share."""
        return np.random.default_rng([self.seed, place + 1])

    def free(self, masks: Masks, groups: Mapping[str, int] | None = None, fixed: Iterable[str] = ()) -> frozenset[str]:
        """Return the names of the layers that a draw can change.

        Parameters
        ----------
        masks, groups, fixed
            As for `run_trial`.
        """
        kept = frozenset(fixed)
        drawn = {name: mask for name, mask in masks.items() if name not in kept}
        return find_null(self.null).moves(drawn, groups or {})
