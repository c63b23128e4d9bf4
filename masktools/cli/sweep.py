"""``masktools sweep``: train a recipe over algorithms, densities and seeds, in several processes or on a cluster."""

from pathlib import Path
from typing import Annotated, Any

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, JobsOption, QuietOption, SchedulerOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.cli.settings import SetOption, numbers, overrides_of, parse_seeds, setting_of, values_of, words
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "sweep"]


def sweep(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A packaged recipe (train --list shows them) or a TOML file.")
    ] = "digits",
    algorithms: Annotated[
        str | None,
        typer.Option("--algorithms", metavar="LIST", help="Algorithms, with commas: dnw,rigl.", show_default=False),
    ] = None,
    densities: Annotated[
        str | None,
        typer.Option("--densities", metavar="LIST", help="Densities, with commas: 0.1,0.02.", show_default=False),
    ] = None,
    freeze_epochs: Annotated[
        str | None,
        typer.Option(
            "--freeze-epochs",
            metavar="LIST",
            help="Epochs whose mask is kept, with commas; never is one too: never,1,5.",
            show_default=False,
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="KEY=LIST",
            help="Any other key of the recipe and its values, with commas: optimizer.lr=0.1,0.05. Repeatable.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="LIST", help="Seeds of each combination: 0-4 or 0,2,7.")
    ] = "0-4",
    settings: SetOption = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Directory of the runs; what is finished there is not done again. Default: runs/RECIPE-sweep.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = 1,
    scheduler: SchedulerOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained; train nothing.")] = False,
    quiet: QuietOption = False,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Sweep; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If the recipe or an option cannot be used, or a part fails; all others are finished first.
    """
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools.render.sweep import sweep_document, sweep_plan_document
    from masktools_train.sweeps import sweep as sweep_over
    from masktools_train.sweeps import trainings

    grid = _grid(algorithms, densities, freeze_epochs, vary or [])
    chosen = parse_seeds(seeds)
    overrides = overrides_of({}, settings)
    folder = out or Path("runs") / f"{Path(recipe).stem}-sweep"
    parts = trainings(recipe, grid, seeds=chosen, overrides=overrides, out=folder)
    if dry_run:
        rows = [
            {
                "run": part.key,
                "algorithm": part.recipe.algorithm.name,
                "density": part.recipe.algorithm.density,
                "epochs": part.recipe.epochs,
                "seed": part.recipe.seed,
            }
            for part in parts
        ]
        emit(sweep_plan_document(str(folder), rows), format, output)
        return
    done = 0
    with ending_on_sigterm(), TrainingProgress(quiet, lines=1) as progress:
        progress.say(f"{len(parts)} trainings into {folder}")

        def finished(name: str, result: "Any") -> None:
            nonlocal done
            done += 1
            progress.say(f"{done}/{len(parts)} {name}: accuracy {result['test_accuracy']:.4f}")

        result = sweep_over(
            recipe,
            grid,
            seeds=chosen,
            overrides=overrides,
            out=folder,
            device=device,
            jobs=jobs,
            scheduler=scheduler,
            observer=progress,
            finished=finished,
        )
    emit(sweep_document(result), format, output)


def _grid(
    algorithms: str | None, densities: str | None, freeze_epochs: str | None, vary: list[str]
) -> dict[str, list[Any]]:
    """Return the values of each key that is varied."""
    grid: dict[str, list[Any]] = {}
    if algorithms is not None:
        grid["algorithm.name"] = list(words(algorithms, "--algorithms"))
    if densities is not None:
        grid["algorithm.density"] = list(numbers(densities, "--densities"))
    if freeze_epochs is not None:
        parts = words(freeze_epochs, "--freeze-epochs")
        wrong = [part for part in parts if part != "never" and not part.isdecimal()]
        if wrong:
            raise MasktoolsError(f"--freeze-epochs: {wrong[0]!r} is no epoch; write never,1,5")
        grid["algorithm.freeze_epoch"] = [None if part == "never" else int(part) for part in parts]
    for text in vary:
        key, values = setting_of(text, "--vary")
        if key in grid:
            raise MasktoolsError(f"--vary: {key} is varied already")
        grid[key] = values_of(values, "--vary")
    return grid


COMMAND = Command(
    name="sweep",
    run=sweep,
    summary="Train a recipe over algorithms, densities and seeds; accuracy with intervals over seeds.",
    examples=(
        "masktools sweep digits --algorithms dnw,rigl,static,dense --seeds 0-4 --jobs 2",
        "masktools sweep fashion-mnist --algorithms dnw,rigl --densities 0.1,0.05,0.02 --out runs/densities",
        "masktools sweep digits --algorithms dnw --freeze-epochs never,1,5,10",
        "masktools sweep digits --vary optimizer.lr=0.1,0.05 --set epochs=20 --dry-run",
        "masktools sweep digits --algorithms dnw,rigl --scheduler tcp://10.0.0.1:8786",
    ),
    details="Stopped and started again, it goes on where it was: no finished part is done twice.",
)
