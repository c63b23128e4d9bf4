"""``masktools connectivity``: what of a mask is connected from input to output."""

from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, JobsOption, NullOption, NullSeedOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "connectivity"]


def connectivity(
    run: RunArgument,
    epoch: EpochOption = None,
    null: NullOption = "layer",
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=0, help="Random masks to compare with; 0 for none.")
    ] = 20,
    seed: NullSeedOption = 0,
    jobs: JobsOption = 1,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show what of a mask is connected; parameters as on the command line."""
    from masktools.render.connectivity import connectivity_document
    from masktools.structure.connectivity import connectivity as measure

    emit(connectivity_document(measure(run, epoch, null=null, draws=draws, seed=seed, jobs=jobs)), format, output)


COMMAND = Command(
    name="connectivity",
    run=connectivity,
    summary="Show what of a mask lies on a path from input to output: effective weights, dead and ghost units.",
    examples=(
        "masktools connectivity runs/dnw-s0",
        "masktools connectivity runs/dnw-s0 --epoch 0 --null degree --draws 199",
        "masktools connectivity runs/dnw-s0 --format json",
    ),
    details="The random masks keep of the measured one what --null says: see the ladder in docs/overlap.md.",
)
