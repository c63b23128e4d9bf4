"""Findings of an analysis, and the files that it leaves behind."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from masktools.atomic import write_text
from masktools.errors import MasktoolsError
from masktools.render.tabulate import Tabulated

__all__ = ["Finding", "Verdict", "publish", "published"]

Verdict: TypeAlias = Literal["replicates", "partly", "no"]
"""Whether a finding of others holds in ours."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What others found beside what we did.

    Parameters
    ----------
    claim
        Their finding.
    figure
        Our number with its interval, in words.
    verdict
        Whether it replicates.
    """

    claim: str
    figure: str
    verdict: Verdict


def publish(folder: str | Path, name: str, table: Tabulated, findings: Sequence[Finding] = ()) -> Path:
    """Write a table and findings as files that a page can be made of.

    Parameters
    ----------
    folder
        Made where it is missing.
    name
        Stem of the files: ``NAME.csv``, ``NAME.md`` (the table), and last ``NAME.json`` (the findings).
    table
        The table.
    findings
        What follows from it.

    Returns
    -------
    Path
        Where a picture of the same name belongs: ``NAME.svg``.

    Raises
    ------
    MasktoolsError
        If a file cannot be written.
    """
    stem = Path(folder) / name
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        table.write_csv(stem.with_suffix(".csv"))
        write_text(stem.with_suffix(".md"), table.markdown())
        write_text(
            stem.with_suffix(".json"), json.dumps([dataclasses.asdict(each) for each in findings], indent=1) + "\n"
        )
    except OSError as error:
        raise MasktoolsError(f"{stem}: cannot be written: {error.strerror or error}") from error
    return stem.with_suffix(".svg")


def published(folder: str | Path, name: str) -> list[Finding]:
    """Return the findings that `publish` wrote.

    Parameters
    ----------
    folder, name
        As for `publish`.

    Returns
    -------
    list of Finding
        As they were written.

    Raises
    ------
    MasktoolsError
        If they are not there.
    """
    path = Path(folder) / f"{name}.json"
    try:
        return [Finding(**each) for each in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise MasktoolsError(f"{path}: holds no findings: {error}") from error
