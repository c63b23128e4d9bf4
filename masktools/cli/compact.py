"""``masktools compact``: the same network without the units that it does not need."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, EpochOption, RunArgument
from masktools.cli.output import FormatOption, LongOutputOption, emit

__all__ = ["COMMAND", "compact"]


def compact(
    run: RunArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write the smaller network here: a run of one snapshot, and model.pt2 for torch.export.load.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the run that is there first.")] = False,
    epoch: EpochOption = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=2, help="Compare on this many test inputs at most.")
    ] = 1000,
    device: DeviceOption = "auto",
    format: FormatOption = None,  # noqa: A002
    output: LongOutputOption = None,
) -> None:
    """Make a network smaller; parameters as on the command line."""
    from masktools.render.compaction import compact_document
    from masktools_train.compacting.compact import compact as compact_run

    result = compact_run(run, out, epoch=epoch, limit=limit, overwrite=overwrite, device=device)
    emit(compact_document(result), format, output, runs=[run], epoch=epoch)


COMMAND = Command(
    name="compact",
    run=compact,
    summary="The equivalent smaller network: without dead units, constants folded into biases, and proved equal.",
    examples=(
        "masktools compact runs/dnw-s0",
        "masktools compact runs/dnw-s0 -o runs/dnw-s0-compact",
        "masktools compact runs/dnw-s0 --epoch 10 --limit 200 --format json",
    ),
    details="Both networks are run on test inputs of the run. If their outputs differ by more than 1e-5 (relative to "
    "the largest output where that is above 1), the command fails and writes nothing.",
)
