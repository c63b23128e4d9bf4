"""Accuracy and density."""

from typing import Any

from masktools.plots.accuracy import log_curve, plot_accuracy
from masktools.render.document import Column, Table
from masktools.render.numbers import with_interval
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing
from masktools.report.material import Material
from masktools.runs import Run
from masktools.statistics.intervals import mean_interval

__all__ = ["training"]


def training(material: Material) -> str:
    """Return curves of accuracy and density, and the accuracies in the end."""
    if not any(log_curve(run, "test_accuracy") for run in material.runs):
        return missing("no run has a log (metrics.jsonl) that holds a test_accuracy")
    drawn = picture(
        plot_accuracy(material.runs),
        "training-curves",
        f"Test accuracy and density by epoch of {len(material.groups)} groups of runs.",
        "Test accuracy by epoch: means over seeds, with 95 % intervals. Dotted, on the logarithmic axis at the "
        "right: the share of weights that is active.",
    )
    columns = (Column("group"), Column("runs", kind="count"), Column("accuracy", "test accuracy at the end"))
    rows = tuple((name, *_row(group)) for name, group in material.groups)
    reading = "Brackets are a 95 % Student t interval over runs; a single run has none."
    return f'<div class="plots">{drawn}</div>' + html_table(Table("Accuracy", columns, rows, reading))


def _row(group: list[Run]) -> tuple[Any, ...]:
    curves = [log_curve(run, "test_accuracy") for run in group]
    if not all(curves):
        return len(group), "-"
    found = mean_interval([curve[max(curve)] for curve in curves])
    return len(group), with_interval(found.mean, found.low, found.high)
