"""``masktools connectivity``: what of a mask is connected from input to output."""

from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "connectivity"]


def connectivity(
    run: RunArgument,
    epoch: EpochOption = None,
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=0, help="Random masks to compare with; 0 for none.")
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the random masks.")] = 0,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show what of a mask is connected; parameters as on the command line."""
    from masktools.render.connectivity import connectivity_document
    from masktools.structure.connectivity import connectivity as measure

    emit(connectivity_document(measure(run, epoch, draws=draws, seed=seed)), format, output)


COMMAND = Command(
    name="connectivity",
    run=connectivity,
    summary="Show what of a mask lies on a path from input to output: effective weights, dead and ghost units.",
    examples=(
        "masktools connectivity runs/dnw-s0",
        "masktools connectivity runs/dnw-s0 --epoch 0 --draws 199 --seed 1",
        "masktools connectivity runs/dnw-s0 --format json",
    ),
    details="The random masks have as many active weights in each layer as the measured one.",
)
