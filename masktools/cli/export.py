"""``masktools export``: a network in the formats of other programs."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, RunArgument

__all__ = ["COMMAND", "ExportName", "GraphName", "export"]

ExportName: TypeAlias = Literal["graphml", "dot", "npz", "safetensors", "csv", "parquet", "prune", "plain"]
"""Names of the formats; a test holds them equal to the registries of `masktools.exporters` and `masktools_train`."""

GraphName: TypeAlias = Literal["operators", "neurons", "channels", "weights"]
"""What can be written of a graph; a test holds it equal to what the formats take."""


def export(
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="What to write; its ending says as what: .graphml, .dot, .npz, .safetensors, .csv, .parquet, .pt or "
            ".pth. A file that is there is replaced.",
        ),
    ],
    epoch: EpochOption = None,
    graph: Annotated[
        GraphName | None,
        typer.Option(
            "--graph",
            help="Of the graph: operators or neurons (units), with an edge for every pair of connected ones; channels "
            "or weights for lists of edges. Default: operators, or channels in .csv and .parquet.",
            show_default=False,
        ),
    ] = None,
    as_: Annotated[
        ExportName | None,
        typer.Option(
            "--as",
            help="The format, whatever the ending. Only so: plain, a state dict without masks. Default: by the ending; "
            ".pt and .pth mean prune.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a network for another program; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If the run cannot be read, the format is unknown, or the file cannot be written.
    """
    from masktools.exporters.registry import FORMATS, find_format, write_export
    from masktools.render.numbers import magnitude
    from masktools.render.unfinished import unfinished_notes
    from masktools.structure.source import recorded
    from masktools_train.exporting import STATE_FORMATS

    form = find_format(output, as_, {**FORMATS, **STATE_FORMATS})
    write_export(recorded(run, epoch), output, form, graph)
    typer.echo(f"{output}: {magnitude(output.stat().st_size, 'B')}", err=True)
    for note in unfinished_notes([run], epoch):
        typer.echo(f"masktools: note: {note}", err=True)


COMMAND = Command(
    name="export",
    run=export,
    summary="Write a network for other programs: graphs, edge lists, arrays, state dicts.",
    examples=(
        "masktools export runs/dnw-s0 -o network.graphml",
        "masktools export runs/dnw-s0 --graph neurons -o neurons.graphml",
        "masktools export runs/dnw-s0 --epoch 10 -o network.npz",
        "masktools export runs/dnw-s0 -o network.safetensors",
        "masktools export runs/dnw-s0 --graph weights -o weights.parquet",
        "masktools export runs/dnw-s0 -o pruned.pt",
        "masktools export runs/dnw-s0 --as plain -o state.pt",
    ),
    details="GraphML has a node for every operator (with its shape, geometry and density); with --graph neurons, for "
    "every unit. Arrays are weights with inactive ones 0, and masks called NAME_mask. docs/export.md has every format.",
)
