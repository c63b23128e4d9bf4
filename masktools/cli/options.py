"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["DeviceOption", "EpochOption", "QuietOption", "RunArgument"]

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
