"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

__all__ = [
    "PLOT_ENDINGS",
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
    "PlotOption",
    "QuietOption",
    "RunArgument",
    "SchedulerOption",
    "epoch_number",
]

PLOT_ENDINGS = (".svg", ".png", ".pdf")
"""Endings of pictures; a test holds them equal to `masktools.plots.saving.ENDINGS`."""

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

SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="tcp://HOST:PORT",
        help="Run the parts on a Dask cluster instead; its workers must see the same files.",
        show_default=False,
    ),
]
"""Annotation of a parameter ``scheduler: SchedulerOption = None``, beside `JobsOption`."""


def _picture_file(value: Path | None) -> Path | None:
    """Refuse a picture that cannot be written before the work is done, not after."""
    if value is None:
        return None
    if value.suffix.lower() not in PLOT_ENDINGS:
        raise typer.BadParameter(f"{value} ends in none of {', '.join(PLOT_ENDINGS)}")
    if value.is_dir():
        raise typer.BadParameter(f"{value} is a directory")
    if not value.parent.is_dir():
        raise typer.BadParameter(f"{value.parent} is no directory")
    return value


PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Also draw the result into this file: .svg, .png or .pdf.",
        callback=_picture_file,
        show_default=False,
    ),
]
"""Annotation of a parameter ``plot: PlotOption = None``."""


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
