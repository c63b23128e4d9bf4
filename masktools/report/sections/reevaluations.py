"""What lies beside the runs: their masks trained again, or pruned further."""

import math
from typing import TYPE_CHECKING

from masktools.plots.accuracy import log_curve
from masktools.plots.prune import plot_prune
from masktools.plots.reinit import plot_reinit
from masktools.render.document import Cell, Column, Table
from masktools.render.numbers import percent, rate, with_interval
from masktools.report.again import variant_results
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing, paragraph
from masktools.report.material import Material
from masktools.report.pruned import LARGE, pruned_results
from masktools.report.readings import guessing, listed
from masktools.runs import Run
from masktools.statistics.intervals import mean_interval
from masktools.structure.reevaluation import ReinitResult
from masktools.structure.robustness_groups import RobustnessGroup, robustness_groups

if TYPE_CHECKING:
    from masktools.structure.dynamics.group_means import GroupMean
    from masktools.structure.robustness import PruneResult

__all__ = ["pruned", "reinitialised"]


def reinitialised(material: Material) -> str:
    """Return the accuracies of the masks trained again, a picture a group."""
    drawn, rows = [], []
    for place, (name, group) in enumerate(material.groups):
        # Runs that were not trained again are no part of the mean: whether one was says nothing about its outcome.
        beside = {run: [again for again in material.beside(run) if not again.pruned] for run in group}
        found = {run: again for run, again in beside.items() if again}
        variants = variant_results(list(found.values()))
        if not variants:
            continue
        chances = material.chances(group)
        result = ReinitResult(
            run=str(group[0].path),
            epoch=group[0].final.epoch,
            density=group[0].final.density,
            reference_accuracy=_reference(list(found)),
            chance_accuracy=chances[0] if len(chances) == 1 else math.nan,
            baseline="new",
            variants=variants,
        )
        over = f"{len(found)} runs" if len(found) > 1 else "the seeds of one run"
        title = f"{name}: test accuracy of {len(variants)} ways of training the mask again, over {over}."
        caption = f"{name}, means over {over} with 95 % intervals: {_variants(result)} {guessing(chances)}"
        drawn.append(picture(plot_reinit(result), f"reinit-{place}", title, caption))
        rows += [(name, *_row(each.variant, each.accuracies)) for each in variants]
    if not drawn:
        return missing("no finished trainings of these masks (masktools reinit RUN) lie beside the runs, as RUN-reinit")
    columns = (Column("group"), Column("variant"), Column("n", kind="count"), Column("accuracy", "test accuracy"))
    reading = "Of several runs one number a run, the mean over its trainings; only variants that all of them have."
    words = paragraph("The final mask, or where it says so an earlier one, trained again from other weights.")
    return f'{words}<div class="plots">{"".join(drawn)}</div>' + html_table(
        Table("Trained again", columns, tuple(rows), reading)
    )


def _variants(result: ReinitResult) -> str:
    told = [f"{each.variant} {_shown(each.accuracies)}" for each in result.variants]
    reference = f"; as trained {rate(result.reference_accuracy)}" if math.isfinite(result.reference_accuracy) else ""
    return f"{listed(told)}{reference}."


def _shown(accuracies: tuple[float, ...]) -> str:
    found = mean_interval(accuracies)
    return with_interval(found.mean, found.low, found.high)


def _reference(runs: list[Run]) -> float:
    curves = [curve for run in runs if (curve := log_curve(run, "test_accuracy"))]
    return math.fsum(curve[max(curve)] for curve in curves) / len(curves) if curves else math.nan


def _row(variant: str, accuracies: tuple[float, ...]) -> tuple[Cell, ...]:
    return variant, len(accuracies), _shown(accuracies)


def pruned(material: Material) -> str:
    """Return the curves of the runs that were pruned further, a picture for each way of doing so."""
    curves: dict[str, list[tuple[str, RobustnessGroup]]] = {}
    chances: dict[str, set[float]] = {}
    unknown: set[str] = set()
    for name, group in material.groups:
        ways: dict[str, list[PruneResult]] = {}
        for run in group:
            for how, result in pruned_results(run, material.beside(run)).items():
                ways.setdefault(how, []).append(result)
        for how, results in ways.items():
            # Runs of a group may begin at densities that differ: they are groups of their own then.
            curves.setdefault(how, []).extend((name, each) for each in robustness_groups(results))
            recorded = {result.chance_accuracy for result in results if math.isfinite(result.chance_accuracy)}
            chances.setdefault(how, set()).update(recorded)
            unknown |= set() if recorded else {how}
    if not curves:
        return missing("no pruned networks lie beside the runs; masktools prune RUN --out RUN-pruned writes them there")
    drawn, tables = [], []
    columns = (
        Column("group"),
        Column("runs", kind="count"),
        Column("share", "share kept", "rate"),
        Column("accuracy", "test accuracy"),
        Column("effective", "effective density"),
        Column("part", "part on a path"),
    )
    reading = (
        "Shares are of the active weights of the trained network, effective densities of all its weights, parts of the "
        "active weights that are left; brackets are 95 % Student t intervals over runs."
    )
    for place, (how, found) in enumerate(curves.items()):
        known = sorted(chances[how])
        groups = [group for _, group in found]
        names = [f"{name} ({len(group.runs)} seeds)" if len(group.runs) > 1 else name for name, group in found]
        title = f"Pruned by {how}: test accuracy, and the part on a path, by the share of the active weights kept."
        words = guessing(known, everywhere=how not in unknown)
        caption = f"Pruned by {how}. {_halves(found, known)} {words}{_paths(groups)}"
        ax = plot_prune(groups, names=names, chances=known)
        drawn.append(picture(ax, f"prune-{place}", title, caption))
        rows = tuple((name, *row) for name, group in found for row in _points(group))
        tables.append(html_table(Table(f"Pruned by {how}", columns, rows, reading)))
    return f'<div class="plots">{"".join(drawn)}</div>{"".join(tables)}'


def _halves(found: list[tuple[str, RobustnessGroup]], chances: list[float]) -> str:
    """Say where half of the accuracy is lost; where guessing is not known, what it is on average over the shares."""
    key = "half_share" if chances else "area"
    told = [
        f"{percent(mean.mean) if chances else rate(mean.mean)} ({name})"
        for name, group in found
        if (mean := group.measures[key].interval) is not None
    ]
    if not told:
        return "No group loses half of its accuracy above guessing." if chances else ""
    words = (
        "Half of the accuracy above guessing is lost where so many of the active weights are kept"
        if chances
        else "Mean accuracy over the logarithm of the share"
    )
    return f"{words}: {listed(told)}."


def _paths(groups: list[RobustnessGroup]) -> str:
    if any(point.measures["effective_share"].defined for group in groups for point in group.curve):
        return " Dotted: the part of the active weights that is on a path from input to output."
    return (
        f" What is on a path is not shown: networks without an operator graph, or of more than {LARGE:,} weights, are "
        "not looked at."
    )


def _points(group: RobustnessGroup) -> list[tuple[Cell, ...]]:
    keys = ("accuracy", "effective_density", "effective_share")
    return [(len(group.runs), point.share, *(_mean(point.measures[key]) for key in keys)) for point in group.curve]


def _mean(mean: "GroupMean") -> Cell:
    found = mean.interval
    return None if found is None else with_interval(found.mean, found.low, found.high)
