"""Early structure: train runs again with their masks fixed at an early epoch."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.errors import RecipeError, RunError
from masktools.runs import Run, open_run
from masktools.structure.configuration import flatten
from masktools.structure.freezing import FreezePoint, FreezeResult
from masktools_train.devices import pick_device
from masktools_train.parts import run_parts
from masktools_train.progress import Observer
from masktools_train.recipe import resolve_recipe
from masktools_train.reevaluate.restored import Restored
from masktools_train.sweeps import Training, train_part

__all__ = ["freeze", "freezings"]


def freezings(
    runs: Sequence[str | Path | Run], at: Sequence[int], out: str | Path | None = None, device: str = "auto"
) -> list[Training]:
    """Return the parts of which `freeze` consists, checked but not begun.

    Parameters
    ----------
    runs, at, out, device
        As for `freeze`.

    Returns
    -------
    list of Training
        Run by run, each by rising epoch.

    Raises
    ------
    RecipeError, RunError
        As `freeze` does.
    """
    if not runs:
        raise RecipeError("freeze needs at least one run")
    if not at or len(set(at)) != len(at):
        raise RecipeError(f"at: at least one epoch is needed, and none twice, got {list(at)}")
    parts = []
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    folders: dict[Path, Run] = {}
    for run in opened:
        source = Restored(run, run.final, pick_device(device))
        if source.foreign:  # importing it with a recipe, as that of others would say, makes a run of a fixed mask
            raise RunError(
                f"{run.path}: records no training recipe that can be run again, and freeze needs the algorithm that "
                "made the masks; give runs of masktools train"
            )
        recipe = source.recipe
        spec = recipe.algorithm
        if recipe.origin is not None or spec.freeze_epoch is not None or spec.freeze_when is not None:
            raise RecipeError(f"{run.path}: its mask is fixed already, freezing it earlier compares with nothing")
        folder = run.path.resolve().with_name(f"{run.name}-frozen") if out is None else Path(out).resolve() / run.name
        if folder in folders:
            other = folders[folder].path
            raise RecipeError(f"{run.path}: has the folder of {other}; give no run twice, and none of the same name")
        folders[folder] = run
        for epoch in sorted(at):
            try:
                frozen = resolve_recipe(recipe.to_dict(), {"algorithm.freeze_epoch": epoch})
            except RecipeError as error:
                raise RecipeError(f"{run.path}: {error}") from error
            parts.append(Training({"run": str(run.path), "epoch": epoch}, frozen, folder / f"e{epoch}"))
        _must_be_finished(run, recipe.epochs)
    return parts


def _must_be_finished(run: Run, epochs: int) -> None:
    """Raise unless a run was trained to its end and says what it ended with."""
    last = (run.metrics or [{}])[-1]
    if last.get("epoch") != epochs or run.final.epoch != epochs:
        raise RunError(
            f"{run.path}: is not finished, or its metrics are missing: epoch {run.final.epoch} of {epochs}; "
            "`masktools train --resume` goes on with a training that was stopped"
        )
    missing = next((key for key in ("test_accuracy", "dense_gradient_steps", "step") if last.get(key) is None), None)
    if missing is not None:
        raise RunError(f"{run.path}: its metrics lack {missing}")


def _must_be_seeds(runs: Sequence[Run], device: str) -> None:
    """Raise unless runs differ in their seeds and in nothing else: means over others would be means of nothing."""
    configs = [flatten(Restored(run, run.final, pick_device(device)).recipe.to_dict()) for run in runs]
    for place, (run, config) in enumerate(zip(runs, configs, strict=True)):
        different = [key for key in config | configs[0] if config.get(key) != configs[0].get(key)]
        other = next((key for key in sorted(different) if key not in ("seed", "name")), None)
        if other is not None:
            raise RecipeError(f"{run.path}: {other} is not that of {runs[0].path}; give runs that differ in the seed")
        if config["seed"] in [each["seed"] for each in configs[:place]]:
            raise RecipeError(f"{run.path}: is another run with seed {config['seed']}; give a seed each")


def freeze(
    runs: Sequence[str | Path | Run],
    at: Sequence[int] = (1, 2, 5),
    *,
    device: str = "auto",
    out: str | Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    observer: Observer | None = None,
    finished: Callable[[str, Mapping[str, Any]], None] | None = None,
) -> FreezeResult:
    """Train runs again, same seed and recipe, their masks fixed at an early epoch; compare accuracy and cost.

    Up to that epoch the trainings are those of the runs themselves; from there on no gradient of an inactive weight is
    needed.

    Parameters
    ----------
    runs
        Finished runs of an algorithm whose mask changes while it trains, a seed each.
    at
        Epochs whose masks to keep.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    out
        Directory in which each run gets a folder (``RUN/eEPOCH``); None writes ``RUN-frozen/eEPOCH`` beside each run.
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
    FreezeResult
        One point an epoch, by rising epoch, beside the runs themselves.

    Raises
    ------
    RecipeError
        If the mask of a run does not change while it trains, or is fixed already, an epoch is after the last, or the
        runs differ in more than their seeds.
    RunError
        If a run cannot be read, records no recipe or is not finished.
    TaskError
        If a training failed; all others are finished first.
    """
    opened = [run if isinstance(run, Run) else open_run(run) for run in runs]
    parts = freezings(opened, at, out, device)
    _must_be_seeds(opened, device)
    names = {part.out: os.path.relpath(part.out) for part in parts}
    named = [(names[part.out], (part, device)) for part in parts]
    done = run_parts(train_part, named, jobs=jobs, scheduler=scheduler, observer=observer, finished=finished)
    own = [run.metrics[-1] for run in opened]
    accuracies = tuple(float(record["test_accuracy"]) for record in own)
    points = []
    for epoch in sorted(at):
        found = [done[names[part.out]] for part in parts if part.settings["epoch"] == epoch]
        flops = [
            (each["training_flops"], record.get("training_flops")) for each, record in zip(found, own, strict=True)
        ]
        points.append(
            FreezePoint.of(
                epoch,
                accuracies,
                tuple(float(each["test_accuracy"]) for each in found),
                tuple(int(each["dense_gradient_steps"]) for each in found),
                tuple(int(each["steps"]) for each in found),
                tuple(mine / theirs for mine, theirs in flops) if all(a and b for a, b in flops) else None,
            )
        )
    share = sum(record["dense_gradient_steps"] / record["step"] for record in own) / len(own)
    return FreezeResult(tuple(str(run.path) for run in opened), accuracies, share, tuple(points))
