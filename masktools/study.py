"""A directory of runs, and what was made of them again: the material of an analysis over many runs."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from masktools.errors import RunError
from masktools.run_collections import group_runs, open_runs
from masktools.runs import Run

__all__ = ["Study"]


class Study:
    """Runs that lie directly in a directory, with their re-evaluations below it.

    Parameters
    ----------
    folder
        The directory: runs as `masktools sweep` writes them, beside each the runs of ``masktools reinit``
        (``RUN-reinit``) and ``masktools freeze`` (``RUN-frozen``).

    Raises
    ------
    RunError
        If there is no run directly in the directory, or a run cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.own:
            raise RunError(f"{self.folder}: has no run of its own, only deeper ones; name the directory they are in")

    @functools.cached_property
    def _all(self) -> list[Run]:
        return open_runs(self.folder)

    @functools.cached_property
    def own(self) -> list[Run]:
        """Runs directly in the directory that are no re-evaluations."""
        return [
            run
            for run in self._all
            if run.path.resolve().parent == self.folder.resolve() and run.config.get("origin") is None
        ]

    @functools.cached_property
    def by_algorithm(self) -> dict[str, list[Run]]:
        """The runs of the directory, by algorithm and then by seed."""
        return {name: runs for (name,), runs in group_runs(self.own, "algorithm.name").items()}

    @functools.cached_property
    def _again(self) -> dict[tuple[Any, ...], list[Run]]:
        return group_runs(self._all, ("origin.run", "origin.variant", "origin.epoch"), reevaluations=True)

    def again(self, run: Run, variant: str, epoch: int | None = None) -> list[Run]:
        """Return the trainings of a run's mask from a start, one a seed.

        Parameters
        ----------
        run
            One of the runs.
        variant
            Name of the start, as for `masktools reinit`.
        epoch
            Epoch of the mask; None is the last.
        """
        return self._again.get((run.name, variant, run.final.epoch if epoch is None else epoch), [])

    def frozen(self, run: Run) -> dict[int, Run]:
        """Return the trainings of a run with its mask fixed early, by the epoch of the mask."""
        below = self.folder.resolve() / f"{run.name}-frozen"
        found = [each for each in self._all if each.path.resolve().parent == below]
        return dict(sorted((int(each.config["algorithm"]["freeze_epoch"]), each) for each in found))

    def accuracies(
        self, runs: Sequence[Run], variant: str | None = None, epoch: int | None = None
    ) -> list[float] | None:
        """Return one final test accuracy a run: of the runs themselves, or of the first training of each one's mask.

        Parameters
        ----------
        runs
            Some of the runs.
        variant, epoch
            As for `again`; without a variant the runs themselves.

        Returns
        -------
        list of float or None
            None unless every run has one: a mean over those that have would not be of the same runs.
        """
        if variant is None:
            return [_final(run) for run in runs]
        again = [self.again(run, variant, epoch) for run in runs]
        return [_final(members[0]) for members in again] if all(again) else None


def _final(run: Run) -> float:
    metrics = run.metrics
    if not metrics or "test_accuracy" not in metrics[-1]:
        raise RunError(f"{run.path}: records no test accuracy")
    return float(metrics[-1]["test_accuracy"])
