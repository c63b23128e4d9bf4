"""The connectivity of a run at every epoch."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from masktools.frames import ToFrame
from masktools.nulls.trial import DrawPlan
from masktools.runs import Run
from masktools.structure.connectivity import connectivity_at
from masktools.structure.connectivity_result import Connectivity
from masktools.structure.source import Recorded, as_run

__all__ = ["ConnectivityCurve", "connectivity_curve"]


@dataclasses.dataclass(frozen=True)
class ConnectivityCurve(ToFrame):
    """The connectivity of a run over its epochs.

    Parameters
    ----------
    run
        Path of the run.
    epochs
        Connectivity at each recorded epoch, in order.
    """

    run: str
    epochs: tuple[Connectivity, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        return {"run": self.run, "epochs": [result.epoch for result in self.epochs], "curve": self._curve()}

    def _curve(self) -> list[dict[str, Any]]:
        return [{key: value for key, value in result.to_dict().items() if key != "run"} for result in self.epochs]


def connectivity_curve(
    run: Run | str | os.PathLike[str],
    *,
    measures: Sequence[str] = (),
    of: str = "mask",
    null: str = "layer",
    draws: int = 20,
    seed: int = 0,
    jobs: int = 1,
) -> ConnectivityCurve:
    """Return the connectivity of a run at every epoch.

    Parameters
    ----------
    run
        A run, or its path.
    measures, of, null, draws, seed, jobs
        As for `masktools.connectivity`; every epoch has random masks of its own, because its densities may be its own.

    Returns
    -------
    ConnectivityCurve
        One `Connectivity` an epoch, by rising epoch.

    Raises
    ------
    RunError, SnapshotError, StructureError
        As for `masktools.connectivity`.
    """
    opened = as_run(run)
    plan = DrawPlan(null, draws, seed, jobs) if draws else None
    moments = (Recorded(opened.path, snapshot, opened.config) for snapshot in opened)
    return ConnectivityCurve(str(opened.path), tuple(connectivity_at(at, plan, measures, of) for at in moments))
