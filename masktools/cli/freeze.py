"""``masktools freeze``: what fixing the mask early costs, and what it saves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, JobsOption, PlotOption, QuietOption, SchedulerOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.cli.settings import parse_seeds

__all__ = ["COMMAND", "freeze"]


def freeze(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Finished runs of one recipe, a seed each.", show_default=False),
    ],
    at: Annotated[str, typer.Option("--at", metavar="LIST", help="Epochs whose mask to keep: 1,2,5 or 0-3.")] = "1,2,5",
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where the trainings are written, a folder a run; what is finished there is not done again. "
            "Default: RUN-frozen beside each run.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = 1,
    scheduler: SchedulerOption = None,
    quiet: QuietOption = False,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Freeze; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If a run or an option cannot be used, or a training fails; all others are finished first.
    """
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools.render.sweep import freeze_document
    from masktools_train.reevaluate.freeze import freeze as freeze_at

    with ending_on_sigterm(), TrainingProgress(quiet, lines=1) as progress:

        def finished(name: str, result: Any) -> None:
            progress.say(f"{name}: accuracy {result['test_accuracy']:.4f}")

        result = freeze_at(
            runs,
            parse_seeds(at, "--at", "epoch"),
            device=device,
            out=out,
            jobs=jobs,
            scheduler=scheduler,
            observer=progress,
            finished=finished,
        )
    emit(freeze_document(result), format, output)
    if plot is not None:
        from masktools.plots import plot_freeze, save_plot

        save_plot(plot_freeze(result), plot)


COMMAND = Command(
    name="freeze",
    run=freeze,
    summary="Early structure: train again with the mask fixed at an early epoch; accuracy lost against work saved.",
    examples=(
        "masktools freeze runs/dnw-s0 --at 1,2,5,10",
        "masktools freeze runs/dnw-s0 runs/dnw-s1 runs/dnw-s2 --at 0-3 --jobs 2 --format json",
    ),
    details=(
        "Seed and recipe are those of each run, so that the trainings are the same up to the epoch; from there on no "
        "gradient of an inactive weight is needed. Stopped and started again, it goes on where it was."
    ),
)
