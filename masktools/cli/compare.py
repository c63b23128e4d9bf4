"""``masktools compare``: what the masks of two or more runs have in common."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.errors import MasktoolsError, StructureError

__all__ = ["COMMAND", "compare"]

BELOW_GATE = 1
"""Exit status when the gate that the user asked for is not met."""


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory, or one .h5 snapshot.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="What to compare it with.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="Further runs: each is compared with each.")
    ] = None,
    epoch: EpochOption = None,
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            metavar="KAPPA",
            help="Exit with status 1 if kappa over all layers is below this for any pair.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Compare runs; parameters as on the command line.

    Raises
    ------
    typer.Exit
        With status 1 if a pair misses the gate.
    MasktoolsError
        If a run cannot be read, layers differ, or the gate is no kappa or cannot be decided.
    """
    from masktools.render.comparison import comparison_document, comparisons_document
    from masktools.structure.comparison import compare_many

    if fail_below is not None and not -1 <= fail_below <= 1:
        raise MasktoolsError(f"--fail-below: a kappa lies between -1 and 1, got {fail_below}")
    result = compare_many([run_a, run_b, *(more or [])], epoch)
    emit(comparisons_document(result) if more else comparison_document(result.pairs[0]), format, output)
    if fail_below is None:
        return
    for pair in result.pairs:
        if pair.total.kappa is None:
            raise StructureError(
                f"--fail-below: kappa of {pair.runs[0]} and {pair.runs[1]} is undefined, "
                "because every layer is dense in both or empty in both"
            )
    if min(pair.total.kappa for pair in result.pairs if pair.total.kappa is not None) < fail_below:
        raise typer.Exit(BELOW_GATE)


COMMAND = Command(
    name="compare",
    run=compare,
    summary="Measure what the masks of two or more runs have in common, against chance.",
    examples=(
        "masktools compare runs/dnw-s0 runs/dnw-s1",
        "masktools compare runs/dnw-s0 runs/rigl-s0 --epoch 10 --format json",
        "masktools compare runs/dnw-s0/epoch-0000.h5 runs/dnw-s0/epoch-0030.h5",
        "masktools compare runs/dnw-s0 runs/dnw-s1 runs/dnw-s2 -o pairs.csv",
        "masktools compare runs/old runs/new --fail-below 0.9",
    ),
    details=(
        "kappa is 0 where masks share no more than independent masks with the same number of active weights in "
        "every layer, and 1 where they are equal. With more than two runs every pair is compared."
    ),
)
