"""``masktools compare``: what the masks of two or more runs have in common."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

import typer

from masktools.cli.command import Command
from masktools.cli.options import JobsOption, OptionalNullOption, OptionalNullSeedOption, PlotOption, epoch_number
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.errors import MasktoolsError, StructureError

if TYPE_CHECKING:
    from masktools.structure.comparison import Comparison
    from masktools.structure.comparisons import Comparisons
    from masktools.structure.epochs import EpochMatrix

__all__ = ["COMMAND", "compare"]

BELOW_GATE = 1
"""Exit status when the gate that the user asked for is not met."""


class Options(TypedDict):
    """What is passed on as it is."""

    null: str
    draws: int
    seed: int
    jobs: int
    align: Literal["masks", "weights"] | None


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="A run directory, or one .h5 snapshot.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="What to compare it with.")],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="Further runs: each is compared with each.")
    ] = None,
    epoch: Annotated[
        str | None,
        typer.Option(
            "--epoch",
            metavar="N|all",
            help="Take the snapshots of this epoch; negative numbers count from the end. With 'all' every epoch of "
            "RUN_A is compared with every epoch of RUN_B. Default: the last.",
            show_default=False,
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option(
            "--align", help="Also permute the hidden units of the second run to fit the first, and do so to the null."
        ),
    ] = False,
    align_by: Annotated[
        Literal["masks", "weights"] | None,
        typer.Option(
            "--align-by", help="What alignment brings to agree: masks (default), or masked weights.", show_default=False
        ),
    ] = None,
    nnstd: Annotated[
        bool | None,
        typer.Option(
            "--nnstd/--no-nnstd",
            help="Measure the distance after matching units greedily (NNSTD). Default: for two runs with layers of up "
            "to 1024 units.",
            show_default=False,
        ),
    ] = None,
    null: OptionalNullOption = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws",
            metavar="N",
            min=0,
            help="Random masks. Default: 199 with --null or --align, else 5 for two runs and none for more.",
            show_default=False,
        ),
    ] = None,
    seed: OptionalNullSeedOption = None,
    jobs: JobsOption = 1,
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below",
            metavar="KAPPA",
            help="Exit with status 1 if kappa over all layers is below this for any pair.",
            show_default=False,
        ),
    ] = None,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Compare runs; parameters as on the command line.

    Raises
    ------
    typer.Exit
        With status 1 if a pair misses the gate.
    MasktoolsError
        If a run cannot be read, layers differ, the gate is no kappa or cannot be decided, or options contradict each
        other.
    """
    if fail_below is not None and not -1 <= fail_below <= 1:
        raise MasktoolsError(f"--fail-below: a kappa lies between -1 and 1, got {fail_below}")
    asked = {
        "--align": align or align_by,
        "--nnstd": nnstd,
        "--null": null,
        "--draws": draws,
        "--seed": seed,
        "--fail-below": fail_below,
        "a third run": more,
    }
    if epoch == "all":
        wrong = [name for name, value in asked.items() if value is not None and value is not False]
        if wrong:
            raise MasktoolsError(f"--epoch all compares the epochs of two runs, and does not go with {wrong[0]}")
        from masktools.render.epochs import epochs_document
        from masktools.structure.epochs import compare_epochs

        matrix = compare_epochs(run_a, run_b)
        emit(epochs_document(matrix), format, output, runs=(run_a, run_b))
        _draw(matrix, plot)
        return
    from masktools.render.comparison import comparison_document, comparisons_document
    from masktools.structure.comparison import compare as compare_two
    from masktools.structure.comparisons import compare_many

    on = align_by or ("masks" if align else None)
    if draws is None:
        draws = 199 if null or on else 0 if more else 5
    if not draws and null:
        raise MasktoolsError(f"--null {null} asks for random masks, and --draws 0 for none: leave one of them out")
    if not draws and seed is not None:
        raise MasktoolsError("--seed is that of random masks, and none are drawn: ask for some with --null or --draws")
    if on and sys.stderr.isatty():
        files = 2 + len(more or ())
        pairs_of = f"{files * (files - 1) // 2} pairs" if more else "1 pair"
        typer.echo(f"aligning {pairs_of} with {draws} random masks each", err=True)
    options: Options = {"null": null or "layer", "draws": draws, "seed": seed or 0, "jobs": jobs, "align": on}
    pairs: tuple[Comparison, ...]
    if more:
        several = compare_many([run_a, run_b, *more], epoch_number(epoch), nnstd=bool(nnstd), **options)
        pairs = several.pairs
        emit(comparisons_document(several), format, output, runs=(run_a, run_b, *more), epoch=epoch_number(epoch))
        _draw(several, plot)
    else:
        pairs = (compare_two(run_a, run_b, epoch_number(epoch), nnstd=nnstd, **options),)
        emit(comparison_document(pairs[0]), format, output, runs=(run_a, run_b), epoch=epoch_number(epoch))
        _draw(pairs[0], plot)
    if fail_below is None:
        return
    for pair in pairs:
        if pair.total.kappa is None:
            raise StructureError(
                f"--fail-below: kappa of {pair.runs[0]} and {pair.runs[1]} is undefined, "
                "because every layer is dense in both or empty in both"
            )
    if min(pair.total.kappa for pair in pairs if pair.total.kappa is not None) < fail_below:
        raise typer.Exit(BELOW_GATE)


def _draw(result: "Comparison | Comparisons | EpochMatrix", plot: Path | None) -> None:
    if plot is not None:
        from masktools.plots import plot_overlap, save_plot

        save_plot(plot_overlap(result), plot)


COMMAND = Command(
    name="compare",
    run=compare,
    summary="Measure what the masks of two or more runs have in common, against chance.",
    examples=(
        "masktools compare runs/dnw-s0 runs/dnw-s1",
        "masktools compare runs/dnw-s0 runs/rigl-s0 --epoch 10 --format json",
        "masktools compare runs/dnw-s0/epoch-0000.h5 runs/dnw-s0/epoch-0030.h5",
        "masktools compare runs/dnw-s0 runs/dnw-s1 runs/dnw-s2 -o pairs.csv",
        "masktools compare runs/dnw-s0 runs/dnw-s1 --align --null degree --draws 199 --jobs 4",
        "masktools compare runs/dnw-s0 runs/rigl-s0 --epoch all --plot epochs.svg",
        "masktools compare runs/old runs/new --fail-below 0.9",
    ),
    details=(
        "kappa is 0 where masks share no more than independent masks with the same number of active weights in "
        "every layer, and 1 where they are equal. With more than two runs every pair is compared, and the mean has an "
        "interval over runs. Degrees, NNSTD and aligned overlaps have their chance level from random masks."
    ),
)
