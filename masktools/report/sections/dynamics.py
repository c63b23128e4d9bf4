"""How runs approach their final masks, and how long weights stay active."""

from typing import Any

from masktools.plots.emergence import plot_emergence
from masktools.plots.survival import plot_survival
from masktools.render.document import Column, Table
from masktools.render.emergence_words import sentence, survival_sentence
from masktools.render.numbers import rate
from masktools.report.inline import picture
from masktools.report.markup import beside_table, html_table, missing, paragraph
from masktools.report.material import Material
from masktools.report.readings import dynamics_of, epochs_in_words, listed
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.groups import Emergences, GroupMean

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
        f"{_when(material, found)}{' Bands are 95 % intervals over seeds.' if found.groups else ''} A falling learning "
        f"rate freezes masks by itself.{nulls}",
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
    return f"{beside_table(drawn, table)}{_single(material)}"


def _when(material: Material, found: Emergences) -> str:
    """Say when the final masks were in place."""
    if len(found.runs) == 1:
        told = sentence(found.runs[0])
        return told[0].upper() + told[1:]
    known = dynamics_of(material, found, "emergence_epoch")
    when = listed([f"{epochs_in_words(mean)} ({name})" for name, mean in known])
    return (
        f"Kappa with the final mask, 0 by chance and 1 if equal, is {found.runs[0].threshold:g} or above for good from "
        f"these epochs on: {when}."
    )


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


def _half_lives(material: Material, found: Emergences) -> str:
    """Say how long half of the spells last, and how long they would if deaths were random."""
    if len(found.runs) == 1:
        return survival_sentence(found.runs[0])
    ours, chance = (dynamics_of(material, found, key) for key in ("half_life", "expected_half_life"))
    told = [
        f"{_lasting(mean)}, by chance {_lasting(expected)} ({name})"
        for (name, mean), (_, expected) in zip(ours, chance, strict=True)
    ]
    return f"Half of the spells have ended after so many epochs: {listed(told, '; ')}."


def _lasting(mean: GroupMean) -> str:
    return "not reached" if mean.interval is None else rate(mean.interval.mean)


def survival(material: Material) -> str:
    """Return the survival of spells, and their half-lives."""
    if not material.moving:
        return missing(_SINGLE)
    found = material.emergences
    drawn = picture(
        plot_survival(found),
        "survival-curves",
        "Share of spells that last longer than so many epochs, beside deaths at random.",
        f"{_half_lives(material, found)} A spell is a stretch of snapshots in which a weight is active; steps are "
        "Kaplan-Meier estimates.",
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
    return beside_table(drawn, html_table(Table("Spells", columns, rows, reading)))
