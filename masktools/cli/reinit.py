"""``masktools reinit``: the same mask with other weights."""

import os
from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, JobsOption, PlotOption, QuietOption, SchedulerOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.cli.settings import SetOption, overrides_of, parse_seeds
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "reinit"]


def reinit(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run directory, trained from a recipe.", show_default=False)
    ] = None,
    variants: Annotated[
        str,
        typer.Option("--variants", metavar="LIST", help="Ways of starting again, with commas; --list shows them."),
    ] = "original,new,layer-shuffled",
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="N|LIST", help="How many seeds, counted on from the run's own, or a list: 5-9 or 5,7."
        ),
    ] = "5",
    epoch: Annotated[
        int | None,
        typer.Option(
            "--from-epoch",
            "--epoch",
            metavar="N",
            help="Take the mask of this epoch: had it been fixed then. Default: the last.",
            show_default=False,
        ),
    ] = None,
    rewind_epoch: Annotated[
        int | None,
        typer.Option(
            "--rewind-epoch",
            metavar="N",
            min=0,
            help="Epoch of the weights of variant rewound. Default: where the run rewound to.",
            show_default=False,
        ),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option(
            "--other",
            metavar="RUN",
            help="Whose mask the variants other and other-aligned take.",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline", metavar="NAME", help="What variants are compared with. Default: new.", show_default=False
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="How long to train. Default: as long as the run.", show_default=False
        ),
    ] = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where each training is written as a run; what is there already is not done again. "
            "Default: RUN-reinit.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = 1,
    scheduler: SchedulerOption = None,
    list_variants: Annotated[bool, typer.Option("--list", help="List the variants and exit.")] = False,
    quiet: QuietOption = False,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Train the mask of a run again; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If the run or an option cannot be used, or a training fails; all others are finished first.
    """
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools.render.reevaluation import reinit_document, variants_document
    from masktools_train.reevaluate.reinit import reinit as train_again
    from masktools_train.reevaluate.variants.registry import VARIANTS

    if list_variants:
        emit(variants_document({variant.name: variant.summary for variant in VARIANTS.values()}), format, output)
        return
    if run is None:
        raise MasktoolsError("reinit needs a RUN; --list shows the variants")
    names = [name.strip() for name in variants.split(",")]
    if rewind_epoch is not None and "rewound" not in names:
        raise MasktoolsError("--rewind-epoch goes with variant rewound, which is not among --variants")
    if other is not None and not {"other", "other-aligned"} & set(names):
        raise MasktoolsError("--other goes with variants other and other-aligned, neither of which is among --variants")
    with ending_on_sigterm(), TrainingProgress(quiet, lines=1) as progress:
        result = train_again(
            run,
            variants=names,
            seeds=int(seeds) if seeds.isdecimal() else parse_seeds(seeds),
            epoch=epoch,
            overrides=overrides_of({"epochs": epochs}, settings),
            rewind_epoch=rewind_epoch,
            other=other,
            baseline=baseline,
            device=device,
            out=out or _beside(run),
            jobs=jobs,
            scheduler=scheduler,
            observer=progress,
            finished=lambda name, found: progress.say(f"{name}: accuracy {found.trained:.4f}"),
        )
    emit(reinit_document(result), format, output, runs=[run] if other is None else [run, other], epoch=epoch)
    if plot is not None:
        from masktools.plots import plot_reinit, save_plot

        save_plot(plot_reinit(result), plot)


def _beside(run: Path) -> Path:
    """Return where trainings go unless told otherwise: written as the run is, so that messages are."""
    folder = run.resolve().with_name(f"{run.resolve().name}-reinit")
    return folder if run.is_absolute() else Path(os.path.relpath(folder))


COMMAND = Command(
    name="reinit",
    run=reinit,
    summary="Structure alone: train the mask of a run again from other weights.",
    examples=(
        "masktools reinit runs/dnw-s0",
        "masktools reinit --list",
        "masktools reinit runs/dnw-s0 --variants new,sign-constant,degree-shuffled --seeds 10 --jobs 2",
        "masktools reinit runs/dnw-s0 --from-epoch 1 --variants new,layer-shuffled --format json",
        "masktools reinit runs/dnw-s0 --variants other,other-aligned --other runs/dnw-s1",
        "masktools reinit runs/ltr-s0 --variants rewound,new --set optimizer.lr=0.05",
    ),
    details=(
        "By default: original (the weights that the run was initialised with), new (a new initialisation), "
        "layer-shuffled (the mask shuffled within each layer, and a new initialisation). Every training is a run of "
        "its own; stopped and started again, it goes on where it was."
    ),
)
