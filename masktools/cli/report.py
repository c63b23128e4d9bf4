"""``masktools report``: a page about runs, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from masktools.cli.command import Command
from masktools.cli.options import JobsOption, OptionalDrawsOption, OptionalNullOption, OptionalNullSeedOption
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "report"]


def _page(value: Path) -> Path:
    """Refuse a page that cannot be written before the work is done, not after."""
    if value.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"{value} ends in neither .html nor .htm")
    if value.is_dir() or not value.parent.is_dir():
        raise typer.BadParameter(
            f"{value if value.is_dir() else value.parent} is {'a' if value.is_dir() else 'no'} directory"
        )
    return value


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run directories, or directories of runs.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.", callback=_page)
    ] = Path("report.html"),
    null: OptionalNullOption = None,
    draws: OptionalDrawsOption = None,
    seed: OptionalNullSeedOption = None,
    jobs: JobsOption = 1,
) -> None:
    """Write a page about runs; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If a run cannot be opened, the page cannot be written, or options of random masks are given and none are drawn.
    """
    if null is None:
        for name, value in (("--draws", draws), ("--seed", seed)):
            if value is not None:
                raise MasktoolsError(f"{name} is about random masks, and none are drawn without --null")
    from masktools.atomic import write_text
    from masktools.report.page import html_report

    page = html_report(runs, null=null, draws=draws or 199, seed=seed or 0, jobs=jobs)
    try:
        write_text(output, page)
    except OSError as error:
        raise MasktoolsError(f"{output}: cannot be written: {error.strerror or error}") from error
    typer.echo(f"{output}: {len(page.encode()) / 1e6:.1f} MB")


COMMAND = Command(
    name="report",
    run=report,
    summary="Write a page about runs: one HTML file with pictures, tables and definitions.",
    examples=(
        "masktools report runs/dnw-s0 -o report.html",
        "masktools report runs/dnw-s0 runs/dnw-s1 runs/rigl-s0 runs/rigl-s1 -o report.html",
        "masktools report runs -o report.html",
        "masktools report runs/dnw-s0 --null layer --draws 19 -o report.html",
    ),
    details=(
        "The file needs no other and loads nothing, and can be printed. Runs that differ only in the seed are drawn "
        "together. What was trained again (RUN-reinit) or pruned further (prune --out RUN-pruned) beside a run is "
        "shown too. Random masks, with --null, are drawn for every snapshot, which takes a while."
    ),
)
