"""Train a recipe over a grid of settings and seeds, part by part, in as many processes as there are."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.errors import RecipeError
from masktools.structure.sweep import SweepPart, SweepResult
from masktools_train.parts import run_parts
from masktools_train.progress import Observer
from masktools_train.recipe import Recipe, load_recipe, resolve_recipe
from masktools_train.training import train

__all__ = ["Training", "sweep", "train_part", "trainings"]

_NOT_OF_DENSE = ("algorithm.density", "algorithm.distribution", "algorithm.freeze_epoch", "algorithm.freeze_when")
"""Keys that say nothing about dense training: of all their values it is trained once."""


@dataclasses.dataclass(frozen=True)
class Training:
    """One part of a sweep.

    Parameters
    ----------
    settings
        The recipe keys that the sweep varies, with the values of this part; the seed is not among them.
    recipe
        What to train.
    out
        The run directory.
    """

    settings: Mapping[str, Any]
    recipe: Recipe
    out: Path

    @property
    def key(self) -> str:
        """Name of the part in messages."""
        return self.out.name


def trainings(
    recipe: str | Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0,),
    overrides: Mapping[str, Any] | None = None,
    out: str | Path,
) -> list[Training]:
    """Return the parts of which `sweep` consists, checked but not begun.

    Parameters
    ----------
    recipe, grid, seeds, overrides, out
        As for `sweep`.

    Returns
    -------
    list of Training
        Combination by combination in the order of the grid, each by seed.

    Raises
    ------
    RecipeError
        If a key is unknown or a value out of range, or something is there twice.
    """
    raw = load_recipe(recipe) if isinstance(recipe, str) else recipe
    grid = {key: tuple(values) for key, values in grid.items()}
    if not seeds or len(set(seeds)) != len(seeds):
        raise RecipeError(f"seeds: at least one is needed, and none twice, got {list(seeds)}")
    for key, values in grid.items():
        if not values or any(value in values[:place] for place, value in enumerate(values)):
            raise RecipeError(f"{key}: at least one value is needed, and none twice, got {list(values)}")
    fixed, varied = dict(overrides or {}), set(grid)
    for key in [*fixed, *grid]:
        if key == "seed":
            raise RecipeError("seed: is set by the seeds of the sweep, and cannot be set or varied beside them")
        # A table that is set as a whole would take back what is set within it.
        if key in fixed and any(key == other or key.startswith(f"{other}.") for other in varied):
            raise RecipeError(f"{key}: cannot be set and varied")
        if any(key.startswith(f"{other}.") for other in varied):
            raise RecipeError(f"{key}: cannot be varied within a table that is varied")
    written = raw.get("algorithm")
    own = written.get("name") if isinstance(written, Mapping) else None
    parts: dict[Path, Training] = {}
    for combination in itertools.product(*grid.values()):
        settings = dict(zip(grid, combination, strict=True))
        given = {**fixed, **settings}
        if given.get("algorithm.name", own) == "dense":
            for key in _NOT_OF_DENSE:
                given.pop(key, None)
                settings.pop(key, None)
        for seed in seeds:
            resolved = resolve_recipe(raw, {**given, "seed": seed})
            path = Path(out).resolve() / _folder(resolved, settings)
            known = parts.setdefault(path, Training(settings, resolved, path))
            if known.recipe != resolved:
                raise RecipeError(f"{path}: two combinations would be written there; sweep over them one by one")
    return list(parts.values())


def _folder(recipe: Recipe, settings: Mapping[str, Any]) -> str:
    parts = [recipe.algorithm.name]
    for key, value in settings.items():
        if key != "algorithm.name" and value is not None:
            parts.append(f"{key.rpartition('.')[2]}={value}")
    return re.sub(r"[^\w.,=+-]", "_", "-".join([*parts, f"s{recipe.seed}"]))


def train_part(part: Training, device: str = "auto", observer: Observer | None = None) -> dict[str, Any]:
    """Train one part, or go on where that was left, and return what it ended with as plain values.

    Parameters
    ----------
    part
        What to train.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    observer
        Who watches.

    Returns
    -------
    dict
        What `TrainResult.to_dict` returns, without the configuration.

    Raises
    ------
    MasktoolsError
        As `train` does.
    """
    result = train(part.recipe, part.out, device=device, observer=observer, resume=True).to_dict()
    del result["config"]  # the run has it
    return result


def sweep(
    recipe: str | Mapping[str, Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int] = (0,),
    overrides: Mapping[str, Any] | None = None,
    out: str | Path,
    device: str = "auto",
    jobs: int = 1,
    scheduler: str | None = None,
    observer: Observer | None = None,
    finished: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> SweepResult:
    """Train a recipe with every combination of settings and every seed; what is finished is not done again.

    Parameters
    ----------
    recipe
        A packaged name, the path of a TOML file, or a recipe as written.
    grid
        Dotted keys of the recipe and the values of each, for example ``{"algorithm.name": ["dnw", "rigl"],
        "algorithm.density": [0.02, 0.05]}``. None is a value of keys that may have none: ``algorithm.freeze_epoch``.
        Dense training has no density, and is not repeated for each.
    seeds
        Seeds of each combination.
    overrides
        Dotted keys that are the same in all.
    out
        Directory of the runs: ``ALGORITHM-KEY=VALUE-sSEED`` each.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    jobs
        Number of processes.
    scheduler
        Address of a Dask scheduler instead.
    observer
        Who watches each training, where they are done in this process.
    finished
        Called with the name and the result of each part that is done.

    Returns
    -------
    SweepResult
        One part for each combination and seed, in the order of `trainings`.

    Raises
    ------
    RecipeError
        If a key is unknown or a value out of range; nothing is trained then.
    TaskError
        If a part failed; all others are finished first.
    """
    parts = trainings(recipe, grid, seeds=seeds, overrides=overrides, out=out)
    named = [(part.key, (part, device)) for part in parts]
    done = run_parts(train_part, named, jobs=jobs, scheduler=scheduler, observer=observer, finished=finished)
    return SweepResult(
        parts[0].recipe.name,
        tuple(SweepPart(part.settings, part.recipe.seed, done[part.key]) for part in parts),
    )
