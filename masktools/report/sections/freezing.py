"""What lies beside the runs: the same trainings with the mask fixed early."""

from masktools.plots.freeze import plot_freeze
from masktools.render.document import Cell, Column, Table
from masktools.render.numbers import rate, with_interval
from masktools.render.sweep import freeze_document
from masktools.report.frozen import freeze_result, frozen_beside
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing, paragraph
from masktools.report.material import Material
from masktools.report.readings import guessing
from masktools.statistics.intervals import mean_interval
from masktools.structure.freezing import FreezeResult

__all__ = ["frozen"]


def frozen(material: Material) -> str:
    """Return accuracies by the epoch at which the mask was fixed, and the work that this saves; a picture a group."""
    drawn, rows = [], []
    for place, (name, group) in enumerate(material.groups):
        found = {run: epochs for run in group if (epochs := frozen_beside(run))}
        result = freeze_result(found)
        if result is None:
            continue
        over = f"{len(found)} runs" if len(found) > 1 else "one run"
        title = f"{name}: test accuracy by the epoch at which the mask was fixed, and the work left, over {over}."
        reading = freeze_document(result).tables[0].reading
        caption = f"{name}, over {over}: {reading} {guessing(material.chances(group))}"
        drawn.append(picture(plot_freeze(result), f"freeze-{place}", title, caption))
        rows += [(name, *row) for row in _rows(result)]
    if not drawn:
        return missing(
            "no trainings with the mask fixed early (masktools freeze RUN) lie beside the runs, as RUN-frozen"
        )
    columns = (
        Column("group"),
        Column("epoch", "fixed at epoch"),
        Column("runs", kind="count"),
        Column("accuracy", "test accuracy"),
        Column("lost", "accuracy lost"),
        Column("p", "p (Holm)", "rate"),
        Column("steps", "steps with dense gradients", "rate"),
        Column("flops", "training FLOPs", "rate"),
    )
    reading = (
        "Accuracy lost is that of the run itself less that of the same run with its mask fixed, paired by seed (0 if "
        "nothing is lost); p of the paired t-test, corrected for all epochs of a group. Steps with dense gradients are "
        "the share that used the gradient of inactive weights; FLOPs are a share of those of the run itself."
    )
    words = paragraph(
        "The same training again, from the same weights and in the same order, with the mask of an early epoch kept "
        "to the end."
    )
    table = html_table(Table("Mask fixed early", columns, tuple(rows), reading))
    return f'{words}<div class="plots">{"".join(drawn)}</div>{table}'


def _rows(result: FreezeResult) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for point, p in zip(result.points, result.p_adjusted, strict=True):
        lost = with_interval(point.lost.mean, point.lost.low, point.lost.high)
        work = point.dense_gradient_share, point.training_flops_ratio
        rows.append((str(point.epoch), len(point.accuracies), _shown(point.accuracies), lost, p, *work))
    never = (result.dense_gradient_share, 1.0)
    return [*rows, ("never", len(result.accuracies), _shown(result.accuracies), rate(0.0), None, *never)]


def _shown(accuracies: tuple[float, ...]) -> str:
    found = mean_interval(accuracies)
    return with_interval(found.mean, found.low, found.high)
