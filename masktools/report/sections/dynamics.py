"""How runs approach their final masks, and how long weights stay active."""

from typing import Any

from masktools.plots.emergence import plot_emergence
from masktools.plots.survival import plot_survival
from masktools.render.document import Column, Table
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing, paragraph
from masktools.report.material import Material
from masktools.structure.dynamics.emergence_result import Emergence

__all__ = ["emergence", "survival"]

_SINGLE = "every run has a single snapshot, and nothing can be seen to move"


def emergence(material: Material) -> str:
    """Return the curves of agreement with the final mask, and when it was in place."""
    if not material.moving:
        return missing(_SINGLE)
    found = material.emergences
    nulls = (
        f" Grey: the central 95 % of {material.draws} random masks in the place of each epoch's (null: "
        f"{material.null})."
        if material.null
        else " No random masks were drawn (--null draws some); the chance level of kappa is exact without."
    )
    drawn = picture(
        plot_emergence(found),
        "emergence-curves",
        "Kappa with the final mask by epoch, with its chance level and the learning rate.",
        "Agreement of each epoch's mask with the final one: 0 by chance, 1 if equal; bands are 95 % intervals over "
        f"seeds. A falling learning rate freezes masks by itself.{nulls}",
    )
    columns = (
        Column("run"),
        Column("epoch", "emergence epoch", "count"),
        Column("beyond", "beyond the first mask", "count"),
        Column("early_bird", "early bird", "count"),
        Column("first", "kappa at first", "rate"),
        Column("share", "final weights active at first", "rate"),
        Column("chance", "by chance", "rate"),
        Column("explored", "ever active", "rate"),
    )
    rows = tuple((material.names[run.run], *_row(run)) for run in found.runs)
    reading = (
        f"The emergence epoch is the first from which on kappa stays at {found.runs[0].threshold:g} or above; the "
        "early bird is told by the masks before it alone. - is an epoch that never came, or a number that is not "
        "defined, because every final layer is dense or empty."
    )
    table = html_table(Table("When the final mask was in place", columns, rows, reading))
    return f'<div class="plots">{drawn}</div>{table}{_single(material)}'


def _row(run: Emergence) -> tuple[Any, ...]:
    return (
        run.emergence_epoch,
        run.emergence_epoch_beyond_initial,
        run.early_bird.epoch,
        run.curve[0].kappa,
        run.initial_share,
        run.expected_initial_share,
        run.curve[-1].turnover.exploration,
    )


def _single(material: Material) -> str:
    alone = [material.name(run) for run in material.runs if len(run) == 1]
    return paragraph(f"Not among them, with a single snapshot: {', '.join(alone)}.") if alone else ""


def survival(material: Material) -> str:
    """Return the survival of spells, and their half-lives."""
    if not material.moving:
        return missing(_SINGLE)
    found = material.emergences
    drawn = picture(
        plot_survival(found),
        "survival-curves",
        "Share of spells that last longer than so many epochs, beside deaths at random.",
        "A spell is a stretch of snapshots in which a weight is active. Steps are Kaplan-Meier estimates; thin "
        "dotted ones what they would be if as many weights died at random.",
    )
    columns = (
        Column("run"),
        Column("spells", kind="count"),
        Column("ongoing", "still active at the end", "count"),
        Column("half_life", "half-life (epochs)", "count"),
        Column("chance", "by chance", "count"),
    )
    rows = tuple(
        (
            material.names[run.run],
            run.spells.spells,
            run.spells.ongoing,
            run.spells.survival.median,
            run.spells.expected_survival.median,
        )
        for run in found.runs
    )
    reading = "- is a half-life that was not reached: fewer than half of the spells ended while they were watched."
    return f'<div class="plots">{drawn}</div>' + html_table(Table("Spells", columns, rows, reading))
