"""Sweeps, and masks fixed early, as documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import percent, with_interval
from masktools.render.tabulate import tabulate
from masktools.statistics.intervals import mean_interval
from masktools.structure.freezing import FreezeResult
from masktools.structure.sweep import SweepResult

__all__ = ["freeze_document", "sweep_document", "sweep_plan_document"]


def sweep_document(result: SweepResult) -> Document:
    """Return the accuracy of each setting, a row a setting."""
    groups = result.groups
    names = {key: key.rpartition(".")[2] for group in groups for key in group.settings}
    if len(set(names.values())) < len(names) or set(names.values()) & _MEASURED:
        names = {key: key for key in names}
    rows: list[dict[str, Any]] = []
    for group in groups:
        data = group.to_dict()
        rows.append(
            {name: _setting(group.settings.get(key)) for key, name in names.items()}
            | {"accuracy": group.accuracy, "share": data["density"], "dense_steps": data["dense_gradient_share"]}
            | {"flops": data["training_flops_ratio"], "seeds": len(group.parts), "seconds": data["seconds"]}
        )
    best = max(groups, key=lambda group: group.accuracy.mean)
    called = ", ".join(str(value) for value in best.settings.values() if value is not None) or "the recipe"
    interval = best.accuracy
    seeds = f"over {len(best.parts)} seeds" if len(best.parts) > 1 else "of one seed, without interval"
    reading = f"Most accurate: {called}, {with_interval(interval.mean, interval.low, interval.high)}, {seeds}."
    notes = (
        "brackets: 95 % intervals over seeds (Student t); share: of the weights that are active in the end.",
        "dense steps: share of the steps that used the gradient of inactive weights; flops: of training, dense is 1.",
        *(_CHOSEN for _ in groups[1:2]),
        *few_runs_notes([], [group.accuracy for group in groups], "seeds"),
    )
    table = tabulate(result.name, rows, reading).document
    shown = table.tables[0].headed({"dense_steps": "dense steps"})
    return Document("sweep", result.to_dict(), (shown,), notes, table.records)


_MEASURED = frozenset(("accuracy", "share", "dense_steps", "flops", "seeds", "seconds"))
"""Columns of every sweep."""

_CHOSEN = "the best of several settings was chosen by its test accuracy, which makes it look better than it is."


def _setting(value: Any) -> Cell:
    return value if isinstance(value, (str, type(None))) else str(value)


def sweep_plan_document(folder: str, rows: Sequence[Mapping[str, Any]]) -> Document:
    """Return what a sweep would train, a row a run."""
    columns = (
        Column("run", "run", whole=True),
        Column("algorithm", "algorithm"),
        Column("density", "density", "rate"),
        Column("epochs", "epochs", "count"),
        Column("seed", "seed", "count"),
    )
    reading = f"{len(rows)} trainings would be written into {folder}."
    return Document("sweep", {"out": folder, "runs": list(rows)}, (Table.of_records("Sweep", columns, rows, reading),))


def freeze_document(result: FreezeResult) -> Document:
    """Return accuracy lost against work saved, a row an epoch."""
    own = mean_interval(result.accuracies)
    rows: list[dict[str, Any]] = [
        {"frozen_at": str(point.epoch), "accuracy": mean_interval(point.accuracies), "lost": point.lost}
        | {"p_holm": p, "dense_steps": point.dense_gradient_share, "flops": point.training_flops_ratio}
        for point, p in zip(result.points, result.p_adjusted, strict=True)
    ]
    rows.append({"frozen_at": "never", "accuracy": own, "dense_steps": result.dense_gradient_share, "flops": 1.0})
    title = f"{result.runs[0]}{f' and {len(result.runs) - 1} more' if len(result.runs) > 1 else ''}"
    first = result.points[0]
    lost = with_interval(first.lost.mean, first.lost.low, first.lost.high)
    reading = (
        f"With the mask of epoch {first.epoch} kept, {percent(first.dense_gradient_share)} of the steps used the "
        f"gradient of inactive weights instead of {percent(result.dense_gradient_share)}; accuracy is lower by {lost}."
    )
    notes = (
        "lost: accuracy of the run itself less that of the frozen one, paired by run; brackets: 95 % intervals over "
        "runs; p (Holm): of the paired t-test, corrected for all epochs by Holm's method.",
        "dense steps: share of the steps that used the gradient of inactive weights; flops: of training, as a share of "
        "those of the run itself.",
        *few_runs_notes(
            [point.lost for point in result.points],
            [own, *(mean_interval(point.accuracies) for point in result.points)],
        ),
    )
    table = tabulate(title, rows, reading).document
    titles = {"frozen_at": "frozen at", "p_holm": "p (Holm)", "dense_steps": "dense steps"}
    return Document("freeze", result.to_dict(), (table.tables[0].headed(titles),), notes, table.records)
