"""Accuracy and density."""

from typing import Any

from masktools.plots.accuracy import log_curve, plot_accuracy
from masktools.render.document import Column, Table
from masktools.render.numbers import with_interval
from masktools.report.inline import picture
from masktools.report.markup import beside_table, html_table, missing
from masktools.report.material import Material
from masktools.report.readings import guessing, listed
from masktools.runs import Run
from masktools.statistics.intervals import mean_interval

__all__ = ["training"]


def training(material: Material) -> str:
    """Return curves of accuracy and density, and the accuracies in the end."""
    if not any(log_curve(run, "test_accuracy") for run in material.runs):
        return missing("no run has a log (metrics.jsonl) that holds a test_accuracy")
    columns = (Column("group"), Column("runs", kind="count"), Column("accuracy", "test accuracy at the end"))
    rows = tuple((name, *_row(group)) for name, group in material.groups)
    everywhere = all(material.chances(group) for _, group in material.groups)
    bands = " Bands are 95 % intervals over seeds." if len(material.groups) < len(material.runs) else ""
    drawn = picture(
        plot_accuracy(material.runs),
        "training-curves",
        f"Test accuracy and density by epoch of {len(material.groups)} groups of runs.",
        f"Test accuracy in the end: {listed([f'{row[2]} ({row[0]})' for row in rows])}. "
        f"{guessing(material.chances(material.runs), everywhere=everywhere)}{bands}",
    )
    reading = "Brackets are a 95 % Student t interval over runs; a single run has none."
    return beside_table(drawn, html_table(Table("Accuracy", columns, rows, reading)))


def _row(group: list[Run]) -> tuple[Any, ...]:
    curves = [log_curve(run, "test_accuracy") for run in group]
    if not all(curves):
        return len(group), "-"
    found = mean_interval([curve[max(curve)] for curve in curves])
    return len(group), with_interval(found.mean, found.low, found.high)
