"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

__all__ = [
    "DeviceOption",
    "DrawsOption",
    "EpochOption",
    "JobsOption",
    "NullName",
    "NullOption",
    "NullSeedOption",
    "OptionalDrawsOption",
    "OptionalNullOption",
    "OptionalNullSeedOption",
    "QuietOption",
    "RunArgument",
    "epoch_number",
]

NullName: TypeAlias = Literal["global", "layer", "neuron", "degree", "tap"]
"""Names of the nulls; a test holds them equal to the registry `masktools.nulls.ladder.LADDER`."""

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory, or one .h5 snapshot.", show_default=False)
]
"""Annotation of a parameter ``run: RunArgument``."""

EpochOption = Annotated[
    int | None,
    typer.Option(
        "--epoch",
        metavar="N",
        help="Take the snapshot of this epoch; negative numbers count from the end. Default: the last.",
        show_default=False,
    ),
]
"""Annotation of a parameter ``epoch: EpochOption = None``."""

DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto (CUDA where there is one), cpu, or cuda:N.")
]
"""Annotation of a parameter ``device: DeviceOption = "auto"``."""

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]
"""Annotation of a parameter ``quiet: QuietOption = False``."""

NullOption = Annotated[
    NullName,
    typer.Option(
        "--null",
        help="What random masks keep: the number of active weights of the network (global), also of every layer "
        "(layer), of every output unit (neuron), of every input unit (degree), or of every kernel (tap).",
    ),
]
"""Annotation of a parameter ``null: NullOption = "layer"``."""

OptionalNullOption = Annotated[
    NullName | None,
    typer.Option(
        "--null",
        help="Draw random masks that keep the number of active weights of the network (global), also of every layer "
        "(layer), of every output unit (neuron), of every input unit (degree), of every kernel (tap).",
        show_default=False,
    ),
]
"""Annotation of a parameter ``null: OptionalNullOption = None``."""

DrawsOption = Annotated[
    int, typer.Option("--draws", metavar="N", min=1, help="Random masks of each null; 199 or more for a p-value.")
]
"""Annotation of a parameter ``draws: DrawsOption = 199``."""

NullSeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the random masks.")]
"""Annotation of a parameter ``seed: NullSeedOption = 0``."""

JobsOption = Annotated[int, typer.Option("--jobs", "-j", metavar="N", min=1, help="Number of processes.")]
"""Annotation of a parameter ``jobs: JobsOption = 1``."""


def epoch_number(epoch: str | None) -> int | None:
    """Return the epoch that an option names that may also be ``all``.

    Raises
    ------
    typer.BadParameter
        If it is neither.
    """
    try:
        return None if epoch is None else int(epoch)
    except ValueError:
        raise typer.BadParameter(f"{epoch!r} is neither a number nor 'all'", param_hint="'--epoch'") from None


OptionalDrawsOption = Annotated[
    int | None,
    typer.Option(
        "--draws",
        metavar="N",
        min=1,
        help="Random masks of each snapshot, with --null; 199 or more for a p-value. Default: 199.",
        show_default=False,
    ),
]
"""Annotation of a parameter ``draws: OptionalDrawsOption = None``, where there may be nothing to draw."""

OptionalNullSeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", min=0, help="Seed of the random masks. Default: 0.", show_default=False),
]
"""Annotation of a parameter ``seed: OptionalNullSeedOption = None``, where there may be nothing to draw."""
