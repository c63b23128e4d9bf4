"""The page as a whole."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from masktools import __version__
from masktools.errors import MasktoolsError
from masktools.report.markup import Section, clean, missing, section_html
from masktools.report.material import Material, gather
from masktools.report.sections.definitions import definitions
from masktools.report.sections.dynamics import emergence, survival
from masktools.report.sections.freezing import frozen
from masktools.report.sections.overlap import overlap
from masktools.report.sections.reevaluations import pruned, reinitialised
from masktools.report.sections.runs import runs
from masktools.report.sections.structure import degree_distributions, layers, networks
from masktools.report.sections.training import training
from masktools.report.style import SCRIPT, STYLE

__all__ = ["SECTIONS", "html_report"]

SECTIONS: Final[dict[str, tuple[str, Callable[[Material], str]]]] = {
    "runs": ("The runs", runs),
    "training": ("Accuracy and density", training),
    "overlap": ("Overlap of masks, epoch by epoch", overlap),
    "emergence": ("When the final mask was in place", emergence),
    "survival": ("How long weights stay active", survival),
    "layers": ("Density of the layers, nominal and effective", layers),
    "degrees": ("Degrees", degree_distributions),
    "network": ("The network under its mask", networks),
    "reinit": ("Structure alone: trained again", reinitialised),
    "freeze": ("Early structure: the mask fixed early", frozen),
    "prune": ("Pruned further", pruned),
    "definitions": ("What each number is", definitions),
}
"""Every section by its id: its heading, and what makes it from the material."""


def html_report(
    paths: Sequence[str | Path], *, null: str | None = None, draws: int = 199, seed: int = 0, jobs: int = 1
) -> str:
    """Return a page about runs: HTML that needs no other file, and no network.

    Parameters
    ----------
    paths
        Run directories, snapshots, or directories that hold runs; re-evaluations in these are not runs of their own.
    null
        Which random masks to draw beside each snapshot (a rung of the null ladder); None draws none.
    draws, seed, jobs
        How many, what they follow from, and the number of processes.

    Returns
    -------
    str
        The page. A section that cannot be made says why in a sentence.

    Raises
    ------
    RunError, SnapshotError
        If a run cannot be opened.
    """
    material = Material(gather(paths), null, draws, seed, jobs)
    sections = [Section(key, title, _body(make, material)) for key, (title, make) in SECTIONS.items()]
    names = [material.name(run) for run in material.runs]
    title = clean(
        names[0] if len(names) == 1 else f"{len(names)} runs: {', '.join(name for name, _ in material.groups)}"
    )
    links = "".join(f'<li><a href="#{section.key}">{clean(section.title)}</a></li>' for section in sections)
    body = "".join(map(section_html, sections))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f'<meta name="generator" content="masktools {__version__}"><style>{STYLE}</style></head><body>'
        f'<a class="skip" href="#main">To the content</a><header><p>masktools report</p><h1>{title}</h1></header>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main id="main">{body}</main>'
        f"<footer><p>Written by masktools {__version__}. This file needs no other and loads nothing.</p></footer>"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _body(make: Callable[[Material], str], material: Material) -> str:
    try:
        return make(material)
    except MasktoolsError as error:
        return missing(str(error))
