"""``masktools reinit``: the same mask with other weights."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, EpochOption, QuietOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "reinit"]


def reinit(
    run: RunArgument,
    variants: Annotated[
        str,
        typer.Option("--variants", metavar="LIST", help="original, new and shuffled, or some of them, with commas."),
    ] = "original,new,shuffled",
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="N|LIST", help="How many seeds, counted on from the run's own, or a list: 5-9 or 5,7."
        ),
    ] = "5",
    epoch: EpochOption = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", metavar="N", min=1, help="How long to train. Default: as long as the run.", show_default=False
        ),
    ] = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write each training as a run into DIR; what is there already is not done again.",
            show_default=False,
        ),
    ] = None,
    quiet: QuietOption = False,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Train the mask of a run again; parameters as on the command line."""
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools.cli.train import parse_seeds
    from masktools.render.reevaluation import reinit_document
    from masktools_train.reevaluate.reinit import reinit as train_again

    with ending_on_sigterm(), TrainingProgress(quiet, lines=1) as progress:
        result = train_again(
            run,
            variants=[name.strip() for name in variants.split(",")],
            seeds=int(seeds) if seeds.isdecimal() else parse_seeds(seeds),
            epoch=epoch,
            epochs=epochs,
            device=device,
            out=out,
            observer=progress,
        )
    emit(reinit_document(result), format, output)


COMMAND = Command(
    name="reinit",
    run=reinit,
    summary="Structure alone: train the mask of a run again from other weights.",
    examples=(
        "masktools reinit runs/dnw-s0",
        "masktools reinit runs/dnw-s0 --variants new,shuffled --seeds 10",
        "masktools reinit runs/dnw-s0 --epoch 1 --out runs/dnw-s0-reinit --format json",
    ),
    details=(
        "Variants: original (the weights that the run was initialised with), new (a new initialisation), shuffled "
        "(the mask shuffled within each layer, and a new initialisation)."
    ),
)
