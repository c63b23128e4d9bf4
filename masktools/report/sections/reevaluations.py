"""What lies beside the runs: their masks trained again, or pruned further."""

import math
from typing import TYPE_CHECKING

from masktools.plots.accuracy import log_curve
from masktools.plots.prune import plot_prune
from masktools.plots.reinit import plot_reinit
from masktools.render.document import Cell, Column, Table
from masktools.render.numbers import with_interval
from masktools.report.again import beside, pruned_results, variant_results
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing, paragraph
from masktools.report.material import Material
from masktools.runs import Run
from masktools.statistics.intervals import mean_interval
from masktools.structure.reevaluation import ReinitResult
from masktools.structure.robustness_groups import robustness_groups

if TYPE_CHECKING:
    from masktools.structure.robustness import PruneResult

__all__ = ["pruned", "reinitialised"]


def reinitialised(material: Material) -> str:
    """Return the accuracies of the masks trained again, a picture a group."""
    drawn, rows = [], []
    for place, (name, group) in enumerate(material.groups):
        # Runs that were not trained again are no part of the mean: whether one was says nothing about its outcome.
        found = {run: again for run in group if (again := beside(run))}
        variants = variant_results(list(found.values()))
        if not variants:
            continue
        result = ReinitResult(
            run=str(group[0].path),
            epoch=group[0].final.epoch,
            density=group[0].final.density,
            reference_accuracy=_reference(list(found)),
            chance_accuracy=math.nan,
            baseline="new",
            variants=variants,
        )
        over = f"{len(found)} runs" if len(found) > 1 else "the seeds of one run"
        title = f"{name}: test accuracy of {len(variants)} ways of training the mask again, over {over}."
        caption = f"{name}: means over {over}, with 95 % intervals."
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


def _reference(runs: list[Run]) -> float:
    curves = [curve for run in runs if (curve := log_curve(run, "test_accuracy"))]
    return math.fsum(curve[max(curve)] for curve in curves) / len(curves) if curves else math.nan


def _row(variant: str, accuracies: tuple[float, ...]) -> tuple[Cell, ...]:
    found = mean_interval(accuracies)
    return variant, found.n, with_interval(found.mean, found.low, found.high)


def pruned(material: Material) -> str:
    """Return the curves of the runs that were pruned further, a picture for each way of doing so."""
    curves: dict[str, list[PruneResult]] = {}
    for run in material.runs:
        for how, result in pruned_results(run, beside(run)).items():
            curves.setdefault(how, []).append(result)
    if not curves:
        return missing("no pruned networks lie beside the runs; masktools prune RUN --out RUN-pruned writes them there")
    drawn, rows = [], []
    for place, (how, results) in enumerate(curves.items()):
        groups = robustness_groups(results)
        caption = f"Pruned by {how}: test accuracy by the share of the active weights that is kept."
        drawn.append(picture(plot_prune(groups), f"prune-{place}", caption, caption))
        for group in groups:
            for point in group.curve:
                found = point.measures["accuracy"].interval
                shown = "-" if found is None else with_interval(found.mean, found.low, found.high)
                rows.append((how, group.algorithm, group.density, len(group.runs), point.share, shown))
    columns = (
        Column("how"),
        Column("algorithm"),
        Column("density", kind="rate"),
        Column("runs", kind="count"),
        Column("share", "share kept", "rate"),
        Column("accuracy", "test accuracy"),
    )
    reading = (
        "Shares are of the active weights of the trained network; brackets are 95 % Student t intervals over runs."
    )
    table = html_table(Table("Pruned further", columns, tuple(rows), reading))
    return f'<div class="plots">{"".join(drawn)}</div>{table}'
