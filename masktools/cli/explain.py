"""``masktools explain``: what an overlap of two runs is due to."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import DrawsOption, EpochOption, JobsOption, NullSeedOption
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "explain"]


def explain(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory, or one .h5 snapshot.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="The one whose mask is drawn at random.")],
    epoch: EpochOption = None,
    draws: DrawsOption = 199,
    seed: NullSeedOption = 0,
    jobs: JobsOption = 1,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Take an overlap apart; parameters as on the command line."""
    from masktools.render.explanation import explanation_document
    from masktools.structure.explanation import explain as measure

    document = explanation_document(measure(run_a, run_b, epoch, draws=draws, seed=seed, jobs=jobs))
    emit(document, format, output, runs=(run_a, run_b), epoch=epoch)


COMMAND = Command(
    name="explain",
    run=explain,
    summary="Show how much of an overlap is due to layer budgets, to degrees, to the exact wiring.",
    examples=(
        "masktools explain runs/dnw-s0 runs/rigl-s0",
        "masktools explain runs/dnw-s0/epoch-0000.h5 runs/dnw-s0/epoch-0030.h5 --draws 999 --jobs 4",
        "masktools explain runs/dnw-s0 runs/dnw-s1 -o ladder.csv",
    ),
    details=(
        "One null after the other holds A and draws B at random, keeping more of B each time: its number of active "
        "weights, also of every layer, of every output unit, of every input unit, of every kernel. What such masks "
        "share with A needs no other explanation."
    ),
)
