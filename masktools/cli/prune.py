"""``masktools prune``: prune trained networks further."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, EpochOption, JobsOption, PlotOption, QuietOption, SchedulerOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.cli.settings import numbers
from masktools.errors import MasktoolsError

if TYPE_CHECKING:
    from masktools_train.reevaluate.pruned_network import Left

__all__ = ["COMMAND", "CriterionName", "ScopeName", "prune"]

CriterionName: TypeAlias = Literal["magnitude", "random", "movement", "saliency"]
"""Names of the criteria; a test holds them equal to the registry of the training package."""

ScopeName: TypeAlias = Literal["global", "layer"]
"""Names of the scopes; a test holds them equal to the registry of the training package."""


def prune(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run directories, trained from a recipe.", show_default=False)
    ],
    criterion: Annotated[
        CriterionName,
        typer.Option(
            "--criterion",
            help="What is kept: the largest values, any at random, what training moved farthest, or what the loss "
            "depends on most.",
        ),
    ] = "magnitude",
    scope: Annotated[
        ScopeName, typer.Option("--scope", help="Whether layers compete, or each gives the same share.")
    ] = "global",
    shares: Annotated[
        str | None,
        typer.Option(
            "--shares",
            metavar="LIST",
            help="Shares of the active weights to keep, with commas. Default: 1 down to 0.02.",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=1, help="Orders, for a random criterion.")] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of random orders.")] = 0,
    examples: Annotated[
        int, typer.Option("--examples", metavar="N", min=1, help="Training examples that saliency looks at.")
    ] = 1024,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Also measure with batch-norm statistics estimated anew.")
    ] = False,
    recalibration_examples: Annotated[
        int,
        typer.Option(
            "--recalibration-examples", metavar="N", min=2, help="Training examples that they are estimated on."
        ),
    ] = 2048,
    finetune_epochs: Annotated[
        int | None,
        typer.Option(
            "--finetune-epochs",
            metavar="N",
            min=1,
            help="Also train each pruned network on for so long, its mask fixed.",
            show_default=False,
        ),
    ] = None,
    finetune_lr: Annotated[
        float | None,
        typer.Option(
            "--finetune-lr",
            metavar="LR",
            help="Constant learning rate of that. Default: a tenth of the recipe's.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write each pruned network as a run: DIR/CRITERION-SCOPE-SHARE, of several runs DIR/RUN/... What is "
            "there already is not trained again.",
            show_default=False,
        ),
    ] = None,
    epoch: EpochOption = None,
    device: DeviceOption = "auto",
    jobs: JobsOption = 1,
    scheduler: SchedulerOption = None,
    quiet: QuietOption = False,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Prune trained networks further; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If a run cannot be pruned as asked, or a training fails; all others of its run are finished first.
    """
    if finetune_lr is not None and finetune_epochs is None:
        raise MasktoolsError("--finetune-lr goes with --finetune-epochs, which is not given")
    kept = None if shares is None else numbers(shares, "--shares")
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools.render.robustness import prune_document
    from masktools.render.robustness_groups import robustness_document
    from masktools.runs import open_run
    from masktools.structure.robustness_groups import robustness_groups
    from masktools_train.reevaluate.prune import SHARES
    from masktools_train.reevaluate.prune import prune as prune_further

    opened = [open_run(run) for run in runs]
    several = len(opened) > 1

    def said(name: str, left: "Left") -> None:
        progress.say(f"{name}: accuracy {left.accuracy:.4f}, trained on {left.finetuned:.4f}")

    with ending_on_sigterm(), TrainingProgress(quiet, lines=1) as progress:
        results = [
            prune_further(
                run,
                criterion=criterion,
                scope=scope,
                shares=SHARES if kept is None else kept,
                epoch=epoch,
                draws=draws,
                seed=seed,
                examples=examples,
                recalibrate=recalibrate,
                recalibration_examples=recalibration_examples,
                finetune_epochs=finetune_epochs,
                finetune_lr=finetune_lr,
                out=out / run.name if several and out is not None else out,
                device=device,
                jobs=jobs,
                scheduler=scheduler,
                observer=progress,
                finished=None if finetune_epochs is None else said,
            )
            for run in opened
        ]
    groups = robustness_groups(results)
    document = robustness_document(results, groups) if several else prune_document(results[0])
    emit(document, format, output, runs=opened, epoch=epoch)
    if plot is not None:
        from masktools.plots import plot_prune, save_plot

        chances = sorted({result.chance_accuracy for result in results})
        save_plot(plot_prune(groups if several else results, chances=chances), plot)


COMMAND = Command(
    name="prune",
    run=prune,
    summary="Structural robustness: prune trained networks further, with or without fine-tuning.",
    examples=(
        "masktools prune runs/dnw-s0",
        "masktools prune runs/dnw-s0 --criterion random --draws 20",
        "masktools prune runs/dnw-s0 --criterion saliency --scope layer --shares 1,0.5,0.25 --format csv",
        "masktools prune runs/dnw-s0 runs/dnw-s1 runs/rigl-s0 runs/rigl-s1 --shares 1,0.5,0.2,0.1",
        "masktools prune runs/resnet20-s0 --recalibrate",
        "masktools prune runs/dnw-s0 --finetune-epochs 2 --jobs 2 --out runs/dnw-s0-pruned",
    ),
    details=(
        "Several runs are summarised by algorithm and density, with intervals over runs. Beside the accuracy: how much "
        "of what is left lies on a path from input to output."
    ),
)
