"""What a page is about: the runs, which of them differ only in the seed, and what is asked for."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

from masktools.errors import RunError
from masktools.plots.groups import group_names, seeds_together
from masktools.render.numbers import printable
from masktools.render.run_names import short_names
from masktools.report.again import Again, beside, chance_accuracies
from masktools.report.frozen import is_frozen
from masktools.report.pruned import LARGE
from masktools.run_collections import open_runs
from masktools.runs import Run, open_run
from masktools.structure.connectivity import connectivity
from masktools.structure.connectivity_result import Connectivity
from masktools.structure.dynamics.groups import Emergences, emergence_many

__all__ = ["Material", "gather"]

_DRAWS = 19
"""Random masks beside the connectivity of a small network: enough for a mean, too few for a verdict."""


@dataclasses.dataclass(frozen=True)
class Material:
    """The runs of a page.

    Parameters
    ----------
    runs
        The runs, each once.
    null
        Which random masks to draw; None for none.
    draws, seed, jobs
        As for `masktools.emergence`.
    """

    runs: tuple[Run, ...]
    null: str | None = None
    draws: int = 199
    seed: int = 0
    jobs: int = 1

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """What each run is called on the page, by its path."""
        paths = [str(run.path) for run in self.runs]
        if len(paths) == 1:
            return {paths[0]: printable(self.runs[0].name)}
        folder = short_names(paths)[0]
        cut = folder.rfind("/") + 1
        return {path: printable(path[cut:]) for path in paths}

    def name(self, run: Run) -> str:
        """Return what a run is called."""
        return self.names[str(run.path)]

    @functools.cached_property
    def groups(self) -> list[tuple[str, list[Run]]]:
        """The runs that differ only in the seed, together, and what each group is called."""
        groups = seeds_together(self.runs)
        titles = group_names([[str(run.path) for run in group] for group in groups])
        return [(title.replace(r"\$", "$").strip(), group) for title, group in zip(titles, groups, strict=True)]

    @property
    def moving(self) -> list[Run]:
        """The runs with two snapshots or more."""
        return [run for run in self.runs if len(run) > 1]

    @functools.cached_property
    def emergences(self) -> Emergences:
        """How those approach their final masks."""
        return emergence_many(self.moving, null=self.null, draws=self.draws, seed=self.seed, jobs=self.jobs)

    def connectivity(self, run: Run) -> Connectivity:
        """Return the connectivity of a run's last mask, measured once, beside that of random masks.

        Without a null a few masks with the same count in each layer are drawn for a small network, which takes
        milliseconds.

        Raises
        ------
        StructureError
            If no operator graph is recorded.
        """
        known = self._connected.get(str(run.path))
        if known is None:
            size = sum(layer.size for layer in run.final.layers.values())
            draws = self.draws if self.null else _DRAWS if size <= LARGE else 0
            known = connectivity(run, null=self.null or "layer", draws=draws, seed=self.seed, jobs=self.jobs)
            self._connected[str(run.path)] = known
        return known

    def beside(self, run: Run) -> list[Again]:
        """Return the re-evaluations that lie beside a run, read once.

        Raises
        ------
        RunError
            If one cannot be read.
        """
        known = self._beside.get(str(run.path))
        if known is None:
            known = self._beside[str(run.path)] = beside(run)
        return known

    def chances(self, runs: Iterable[Run]) -> list[float]:
        """Return the accuracies of guessing that runs, or what lies beside them, record; each once."""
        return chance_accuracies(each for run in runs for each in (run, *(again.run for again in self.beside(run))))

    @functools.cached_property
    def _connected(self) -> dict[str, Connectivity]:
        return {}

    @functools.cached_property
    def _beside(self) -> dict[str, list[Again]]:
        return {}


def gather(paths: Sequence[str | Path]) -> tuple[Run, ...]:
    """Return the runs at some paths; below a directory of runs those that are no re-evaluations of others.

    Parameters
    ----------
    paths
        Run directories, snapshots, or directories that hold runs.

    Raises
    ------
    RunError
        If there is no run.
    SnapshotError
        If a run cannot be read.
    """
    found: dict[Path, Run] = {}
    for path in map(Path, paths):
        runs = open_runs(path)
        if len(runs) > 1 or runs[0].path.resolve() != path.resolve():
            places = [run.path.resolve() for run in runs]
            own = [run for run in runs if run.config.get("origin") is None and not is_frozen(run, places)]
            runs = own or runs
        else:
            runs = [open_run(path)]
        for run in runs:
            found.setdefault(run.path.resolve(), run)
    if not found:
        raise RunError("a report needs at least one run")
    return tuple(found.values())
