"""``masktools prune``: prune a trained network further, without fine-tuning."""

from typing import Annotated, Literal, TypeAlias

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, EpochOption, RunArgument
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "CriterionName", "ScopeName", "prune"]

CriterionName: TypeAlias = Literal["magnitude", "random"]
"""Names of the criteria; a test holds them equal to the registry of the training package."""

ScopeName: TypeAlias = Literal["global", "layer"]
"""Names of the scopes; a test holds them equal to the registry of the training package."""


def prune(
    run: RunArgument,
    criterion: Annotated[CriterionName, typer.Option("--criterion", help="What is pruned first.")] = "magnitude",
    scope: Annotated[
        ScopeName, typer.Option("--scope", help="Whether layers compete, or each gives the same share.")
    ] = "global",
    shares: Annotated[
        str | None,
        typer.Option(
            "--shares",
            metavar="LIST",
            help="Shares of the active weights to keep, with commas. Default: 1 down to 0.02.",
            show_default=False,
        ),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", metavar="N", min=1, help="Orders, for a random criterion.")] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of random orders.")] = 0,
    epoch: EpochOption = None,
    device: DeviceOption = "auto",
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Prune a trained network further; parameters as on the command line."""
    from masktools.render.reevaluation import prune_document
    from masktools_train.reevaluate.prune import SHARES
    from masktools_train.reevaluate.prune import prune as prune_further

    result = prune_further(
        run,
        criterion=criterion,
        scope=scope,
        shares=SHARES if shares is None else _numbers(shares),
        epoch=epoch,
        draws=draws,
        seed=seed,
        device=device,
    )
    emit(prune_document(result), format, output)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise MasktoolsError(f"--shares: {text!r} is no list of numbers; write 1,0.5,0.1") from None


COMMAND = Command(
    name="prune",
    run=prune,
    summary="Structural robustness: prune a trained network further, without fine-tuning.",
    examples=(
        "masktools prune runs/dnw-s0",
        "masktools prune runs/dnw-s0 --criterion random --draws 20",
        "masktools prune runs/dnw-s0 --scope layer --shares 1,0.5,0.25 --format csv",
    ),
)
