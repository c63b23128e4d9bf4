"""``masktools connectivity``: what of a mask is connected from input to output."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from masktools.cli.command import Command
from masktools.cli.options import JobsOption, NullOption, NullSeedOption, PlotOption, RunArgument, epoch_number
from masktools.cli.output import FormatOption, OutputOption, emit

if TYPE_CHECKING:
    from masktools.structure.connectivity_curve import ConnectivityCurve
    from masktools.structure.connectivity_result import Connectivity

__all__ = ["COMMAND", "MEASURES", "connectivity"]

MEASURES = ("degrees", "tails", "cycles", "cores", "spectrum", "persistence", "throughput", "bottlenecks", "symmetries")
"""Families of measures, listed here so that the help need not load what measures them; a test holds the lists equal."""


def connectivity(
    run: RunArgument,
    epoch: Annotated[
        str | None,
        typer.Option(
            "--epoch",
            metavar="N|all",
            help="Take the snapshot of this epoch; negative numbers count from the end. With 'all' every epoch, as a "
            "curve. Default: the last.",
            show_default=False,
        ),
    ] = None,
    measures: Annotated[
        str,
        typer.Option(
            "--measures",
            "-m",
            metavar="NAME,…",
            help=f"Further measures of each layer: {', '.join(MEASURES)}; or all.",
            show_default=False,
        ),
    ] = "",
    of: Annotated[
        Literal["mask", "effective"],
        typer.Option("--of", help="Take the further measures of the mask, or of its effective weights only."),
    ] = "mask",
    null: NullOption = "layer",
    draws: Annotated[
        int, typer.Option("--draws", metavar="N", min=0, help="Random masks to compare with; 0 for none.")
    ] = 20,
    seed: NullSeedOption = 0,
    jobs: JobsOption = 1,
    plot: PlotOption = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show what of a mask is connected; parameters as on the command line."""
    names = [name.strip() for name in measures.split(",") if name.strip()]
    unknown = [name for name in names if name not in (*MEASURES, "all")]
    if unknown:
        raise typer.BadParameter(
            f"{unknown[0]!r} is no measure; there are {', '.join(MEASURES)}, and all", param_hint="'--measures'"
        )
    if epoch == "all":
        from masktools.render.connectivity_curve import curve_document
        from masktools.structure.connectivity_curve import connectivity_curve

        curve = connectivity_curve(run, measures=names, of=of, null=null, draws=draws, seed=seed, jobs=jobs)
        emit(curve_document(curve), format, output, runs=[run])
        _draw(curve, plot)
        return
    from masktools.render.connectivity import connectivity_document
    from masktools.structure.connectivity import connectivity as measure

    result = measure(run, epoch_number(epoch), measures=names, of=of, null=null, draws=draws, seed=seed, jobs=jobs)
    emit(connectivity_document(result), format, output, runs=[run], epoch=epoch_number(epoch))
    _draw(result, plot)


def _draw(result: "Connectivity | ConnectivityCurve", plot: Path | None) -> None:
    if plot is not None:
        from masktools.plots import plot_layers, save_plot

        save_plot(plot_layers(result), plot)


COMMAND = Command(
    name="connectivity",
    run=connectivity,
    summary="Show what of a mask lies on a path from input to output, and how its layers are wired.",
    examples=(
        "masktools connectivity runs/dnw-s0",
        "masktools connectivity runs/dnw-s0 --epoch 0 --null degree --draws 199",
        "masktools connectivity runs/dnw-s0 --measures degrees,spectrum --draws 199 --jobs 2",
        "masktools connectivity runs/dnw-s0 --epoch all --measures all --format csv",
        "masktools connectivity runs/dnw-s0 --plot layers.svg",
    ),
    details="The random masks keep of the measured one what --null says: see the ladder in docs/overlap.md. What the "
    "numbers mean is in docs/connectivity.md.",
)
