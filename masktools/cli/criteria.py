"""``masktools criteria``: which function of initial and final weights a mask follows."""

from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import EpochOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit

__all__ = ["COMMAND", "criteria"]


def criteria(
    run: RunArgument,
    epoch: EpochOption = None,
    weights_epoch: Annotated[
        int | None,
        typer.Option(
            "--weights-epoch",
            metavar="N",
            help="Take the final weights from this epoch. Default: the last one, up to that of the mask, with values "
            "of weights in and out of it.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Show which criterion a mask follows; parameters as on the command line."""
    from masktools.render.criteria import criteria_document
    from masktools.structure.values.criteria import criteria as measure
    from masktools.structure.values.signs import sign_stability

    document = criteria_document(measure(run, epoch, weights_epoch), sign_stability(run))
    emit(document, format, output, runs=[run], epoch=epoch)


COMMAND = Command(
    name="criteria",
    run=criteria,
    summary="Show which function of initial and final weights a mask follows, and which weights keep their sign.",
    examples=(
        "masktools criteria runs/dnw-s0",
        "masktools criteria runs/ltr-s0 --epoch 724 --weights-epoch 40",
        "masktools criteria runs/dnw-s0 --format json",
    ),
    details=(
        "Criteria of final weights need values of weights that the mask leaves out: train with "
        "--set snapshot.weights=dense. Values that an enforced mask holds at 0 are not compared."
    ),
)
