"""Structural robustness of several runs as a document: curves side by side, a column a group."""

import math
from collections.abc import Iterator, Sequence

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import count, rate, with_half_width
from masktools.render.robustness import how_pruned, prune_notes
from masktools.render.run_names import beginning_of, named, short_names
from masktools.render.sparkline import sparkline
from masktools.structure.dynamics.group_means import GroupMean
from masktools.structure.robustness import PruneResult
from masktools.structure.robustness_groups import RobustnessGroup

__all__ = ["groups_records", "robustness_document"]

_CURVES = {
    "accuracy": "Accuracy",
    "recalibrated": "Accuracy with batch-norm statistics estimated anew",
    "finetuned": "Accuracy after fine-tuning",
    "effective_share": "Part of the active weights on a path from input to output",
}
_WIDTH = 12
"""Characters of a curve: the default has as many shares."""

_AREAS = {"accuracy": "area", "recalibrated": "recalibrated_area", "finetuned": "finetuned_area"}
_MEASURES = {
    "area": "area",
    "recalibrated_area": "recalibrated area",
    "finetuned_area": "fine-tuned area",
    "half_share": "half lost at",
    "collapse_share": "paths collapse at",
    "effective_area": "effective area",
}


def robustness_document(results: Sequence[PruneResult], groups: Sequence[RobustnessGroup]) -> Document:
    """Return the curves of several runs.

    Parameters
    ----------
    results
        Each run, all pruned in the same way; at least one.
    groups
        Those of the same algorithm together.
    """
    data = {"runs": [result.to_dict() for result in results], "groups": [group.to_dict() for group in groups]}
    titles = _titles(groups)
    curves = [
        _curve(title, name, groups, titles, _guessing(results))
        for name, title in _CURVES.items()
        if any(point.measures[name].defined for group in groups for point in group.curve)
    ]
    first = results[0]
    notes = (
        f"{how_pruned(first)}; share = share of the active weights that is kept.",
        "± is half the width of a 95 % Student t interval over runs; a single run has none. A mean over runs is "
        "given where all of them have the number.",
        *prune_notes(results),
        *few_runs_notes([], [mean.interval for mean in _all_means(groups) if mean.interval]),
    )
    tables = (*curves, _measures(groups, titles), _runs(results, groups))
    return Document("prune", data, tables, notes, records=groups_records(groups))


def _all_means(groups: Sequence[RobustnessGroup]) -> Iterator[GroupMean]:
    """Return every mean that is shown: all of them lie between 0 and 1."""
    for group in groups:
        yield from (group.measures[key] for key in _MEASURES)
        yield from (point.measures[name] for point in group.curve for name in _CURVES)


def _titles(groups: Sequence[RobustnessGroup]) -> list[str]:
    """Return names of the groups that tell them apart."""
    names = []
    for group in groups:
        name = group.algorithm or "unknown"
        names.append(name if group.variant is None else f"{name} ({group.variant})")
    titles = []
    for name, group in zip(names, groups, strict=True):
        same = [other for label, other in zip(names, groups, strict=True) if label == name]
        size = f", {count(group.size)} weights" if len({other.size for other in same}) > 1 else ""
        density = f" at {rate(group.density)}" if len({other.density for other in same}) > 1 else ""
        titles.append(f"{name}{density}{size}")
    return titles


def _guessing(results: Sequence[PruneResult]) -> str:
    """Return the accuracy that needs no network, the chance level of all others, where it is known."""
    known = sorted({rate(result.chance_accuracy) for result in results if math.isfinite(result.chance_accuracy)})
    return f" Guessing has {' or '.join(known)}." if known else ""


def _curve(title: str, name: str, groups: Sequence[RobustnessGroup], titles: Sequence[str], guessing: str) -> Table:
    shares = sorted({point.share for group in groups for point in group.curve}, reverse=True)
    by_share = [{point.share: point.measures[name] for point in group.curve} for group in groups]
    rows = tuple((share, *(_cell(points.get(share)) for points in by_share)) for share in shares)
    columns = (Column("share", "share", "rate"), *(Column(label, kind="rate") for label in titles))
    reading = _curve_reading(name, groups, titles) + (guessing if name in _AREAS else "")
    return Table(title, columns, rows, reading)


def _curve_reading(name: str, groups: Sequence[RobustnessGroup], titles: Sequence[str]) -> str:
    if name not in _AREAS:
        return "Only weights on a path can carry anything of the input to the output."
    found = [
        (area.interval.mean, f"{label} {_cell(area)}")
        for group, label in zip(groups, titles, strict=True)
        if (area := group.measures[_AREAS[name]]).interval is not None
    ]
    if not found:
        return "There are not two shares above 0 to take a mean over."
    ordered = "; ".join(text for _, text in sorted(found, key=lambda entry: -entry[0]))
    return f"Mean over the logarithm of the share: {ordered}."


def _measures(groups: Sequence[RobustnessGroup], titles: Sequence[str]) -> Table:
    shown = [key for key in _MEASURES if any(group.measures[key].defined for group in groups)]
    rows = tuple(
        (label, len(group.runs), _accuracies(group), *(_cell(group.measures[key]) for key in shown))
        for label, group in zip(titles, groups, strict=True)
    )
    columns = (
        Column("group", "", whole=True),
        Column("runs", kind="count"),
        Column("curve", "accuracy, 0 to 1", "curve"),
        *(Column(key, _MEASURES[key], "rate") for key in shown),
    )
    repeated = [run for group in groups for run in group.repeated]
    reading = "Shares are of the active weights of the trained network; - is a number that not all runs have."
    if repeated:
        reading += f" Left out, because the same run is there already: {', '.join(repeated)}."
    return Table("Groups", columns, rows, reading)


def _accuracies(group: RobustnessGroup) -> str:
    found = [point.measures["accuracy"].interval for point in group.curve]
    return sparkline([None if interval is None else interval.mean for interval in found], width=_WIDTH)


def _runs(results: Sequence[PruneResult], groups: Sequence[RobustnessGroup]) -> Table:
    beginning, names = short_names([result.run for result in results])
    rows = tuple(
        (
            r.run,
            sparkline([point.mean() for point in r.curve], width=_WIDTH),
            r.density,
            r.curve[0].mean(),
            r.area,
            r.half_share,
            r.collapse_share,
            r.effective_area,
        )
        for r in results
    )
    columns = (
        Column("run"),
        Column("curve", "accuracy, 0 to 1", "curve"),
        Column("density", kind="rate"),
        Column("accuracy", "accuracy at first", "rate"),
        *(Column(key, _MEASURES[key], "rate") for key in ("area", "half_share", "collapse_share", "effective_area")),
    )
    table = Table(
        f"Runs{beginning_of(beginning)}",
        columns,
        rows,
        f"{len(results)} runs in {len(groups)} group{'s' if len(groups) > 1 else ''}.",
    )
    return named(table, dict(zip((result.run for result in results), names, strict=True)))


def groups_records(groups: Sequence[RobustnessGroup]) -> Table:
    """Return the curves of all groups, a row a group and share, with the ends of every interval."""
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        what = (group.algorithm, group.variant, group.density, group.size, len(group.runs))
        for point in group.curve:
            cells = (cell for name in _RECORDED for cell in _ends(point.measures[name]))
            rows.append((*what, point.share, *cells))
    columns = (
        *(Column(name) for name in ("algorithm", "variant", "density", "size", "runs", "share")),
        *(Column(f"{name}{end}", kind="rate") for name in _RECORDED for end in ("", "_low", "_high")),
    )
    return Table("Groups", columns, tuple(rows), "")


_RECORDED = ("accuracy", "recalibrated", "finetuned", "effective_density", "effective_share")


def _ends(mean: GroupMean) -> tuple[Cell, Cell, Cell]:
    found = mean.interval
    return (None, None, None) if found is None else (found.mean, found.low, found.high)


def _cell(mean: GroupMean | None) -> Cell:
    """Return a mean with half the width of its interval."""
    found = None if mean is None else mean.interval
    if found is None:
        return None
    return with_half_width(found.mean, found.high)
