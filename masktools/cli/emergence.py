"""``masktools emergence``: when runs find their final masks, and how they move until then."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import (
    JobsOption,
    OptionalDrawsOption,
    OptionalNullOption,
    OptionalNullSeedOption,
    PlotOption,
)
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "emergence"]


def emergence(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.", show_default=False)],
    threshold: Annotated[
        float, typer.Option("--threshold", metavar="KAPPA", help="Kappa that counts as arrived, above 0, at most 1.")
    ] = 0.9,
    window: Annotated[
        int, typer.Option("--window", metavar="N", min=2, help="Masks that have to agree for an early bird.")
    ] = 5,
    null: OptionalNullOption = None,
    draws: OptionalDrawsOption = None,
    seed: OptionalNullSeedOption = None,
    jobs: JobsOption = 1,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show when runs find their final masks; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If a run cannot be read, or options of random masks are given where none are drawn.
    """
    if null is None:
        for name, value in (("--draws", draws), ("--seed", seed)):
            if value is not None:
                raise MasktoolsError(f"{name} is about random masks, and none are drawn without --null")
    from masktools.render.emergence import emergence_document
    from masktools.structure.dynamics.groups import emergence_many

    found = emergence_many(runs, threshold, window, null=null, draws=draws or 199, seed=seed or 0, jobs=jobs)
    emit(emergence_document(found.runs, found.groups), format, output, runs=runs)
    if plot is not None:
        from masktools.plots import plot_emergence, save_plot

        save_plot(plot_emergence(found), plot)


COMMAND = Command(
    name="emergence",
    run=emergence,
    summary="Show when a run finds its final mask: overlap with the end, epoch by epoch.",
    examples=(
        "masktools emergence runs/dnw-s0",
        "masktools emergence runs/dnw-s0 runs/rigl-s0 --threshold 0.95",
        "masktools emergence runs/dnw-s0 runs/dnw-s1 runs/dnw-s2 --window 3",
        "masktools emergence runs/dnw-s0 --null degree --draws 199",
        "masktools emergence runs/dnw-s0 -o curve.csv --plot curve.svg",
    ),
    details=(
        "The emergence epoch is the first one from which on kappa with the final mask stays at the threshold or "
        "above. A decaying learning rate freezes masks by itself: compare with a run whose rate stays up. Beside it: "
        "how long weights stay active, how many come back, what was explored, whether hubs stay hubs, and when the "
        "mask settles. Runs that differ only in the seed are summarised together."
    ),
)
