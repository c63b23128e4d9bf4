"""``masktools info``: what a run is."""

from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "info"]


def info(
    run: RunArgument,
    epoch: EpochOption = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=0, help="How many of the last log records to show.")
    ] = 5,
    graph: Annotated[bool, typer.Option("--graph", help="Draw the operator graph instead: what feeds what.")] = False,
    config: Annotated[
        bool, typer.Option("--config", help="Show the configuration with a line a key, the unset ones too.")
    ] = False,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show what a run is; parameters as on the command line."""
    if graph:
        from masktools.render.graph_text import graph_document
        from masktools.structure.source import recorded
        from masktools.topology.drawing import drawing

        moment = recorded(run, epoch)
        drawn = drawing(moment.topology, moment.masks)
        emit(graph_document(str(moment.path), moment.epoch, drawn), format, output)
        return
    from masktools.render.run_info import run_document
    from masktools.runs import open_run
    from masktools.structure.summary import summarize

    summary = summarize(run, epoch, last)
    emit(run_document(summary, open_run(run).metrics, config), format, output, runs=[run])


COMMAND = Command(
    name="info",
    run=info,
    summary="Show what a run is: layers and their densities, configuration, log.",
    examples=(
        "masktools info runs/dnw-s0",
        "masktools info runs/dnw-s0 --epoch 0 --last 10",
        "masktools info runs/dnw-s0/epoch-0030.h5 --format json",
        "masktools info runs/dnw-s0 --config",
        "masktools info runs/dnw-s0 --graph",
    ),
)
