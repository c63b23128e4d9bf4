"""``masktools export``: a network in the formats of other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, RunArgument
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "export"]


def export(
    run: RunArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE", help="What to write; its ending says as what: .graphml or .dot."
        ),
    ],
    epoch: EpochOption = None,
    graph: Annotated[
        Literal["operators", "neurons"],
        typer.Option(
            "--graph", help="The operators of the network, or its units with an edge for every active weight."
        ),
    ] = "operators",
) -> None:
    """Write a network for another program; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If the run cannot be read, the format is unknown, or the file cannot be written.
    """
    from masktools.atomic import write_text
    from masktools.exporters.registry import exported_graph
    from masktools.structure.source import recorded

    text = exported_graph(recorded(run, epoch), output.suffix[1:].lower(), neurons=graph == "neurons")
    try:
        write_text(output, text)
    except OSError as error:
        raise MasktoolsError(f"{output}: cannot be written: {error.strerror or error}") from error


COMMAND = Command(
    name="export",
    run=export,
    summary="Write the graph of a network for other programs: GraphML or DOT.",
    examples=(
        "masktools export runs/dnw-s0 -o network.graphml",
        "masktools export runs/dnw-s0 -o network.dot",
        "masktools export runs/dnw-s0 --graph neurons -o neurons.graphml",
    ),
    details="A node for every operator (with its shape, geometry and density); with --graph neurons, for every unit.",
)
