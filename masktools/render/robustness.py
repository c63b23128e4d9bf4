"""Structural robustness of one run as a document."""

from collections.abc import Iterable, Iterator, Sequence

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import count, percent, rate
from masktools.render.sparkline import sparkline
from masktools.statistics.intervals import mean_interval
from masktools.structure.robustness import CurveKind, CurveSummary, PrunePoint, PruneResult

__all__ = ["how_pruned", "prune_document", "prune_notes"]


def prune_document(result: PruneResult) -> Document:
    """Return accuracy and connectivity at each density, a row a density."""
    data = result.to_dict()
    again, tuned = result.recalibration_examples is not None, result.finetune_epochs is not None
    several = result.draws > 1
    columns = (
        Column("share", "kept", "rate"),
        Column("density", kind="rate"),
        Column("active", kind="count"),
        Column("accuracy", kind="rate"),
        Column("low", "95 %", "rate", shown=several, until="high", like="accuracy"),
        Column("high", kind="rate", shown=several),
        Column("recalibrated", kind="rate", shown=again, like="accuracy"),
        Column(
            "recalibrated_low",
            "95 %",
            "rate",
            shown=again and several,
            until="recalibrated_high",
            like="accuracy",
        ),
        Column("recalibrated_high", kind="rate", shown=again and several),
        Column("finetuned", "fine-tuned", "rate", shown=tuned, like="accuracy"),
        Column("finetuned_low", "95 %", "rate", shown=tuned and several, until="finetuned_high", like="accuracy"),
        Column("finetuned_high", kind="rate", shown=tuned and several),
        Column("effective_density", "effective", "rate", like="density"),
        Column("effective_low", kind="rate", shown=False),
        Column("effective_high", kind="rate", shown=False),
        Column("effective_share", "of active", "rate"),
    )
    table = Table.of_records(result.run, columns, data["curve"], _reading(result))
    shares = [mean_interval(values) for point in result.curve for values in _repeated(point)] if several else []
    notes = (*prune_notes([result]), *few_runs_notes([], shares, "random orders"))
    return Document("prune", data, (table, _curves(result)), notes)


def _repeated(point: PrunePoint) -> Iterator[Sequence[float]]:
    """Return the numbers of a density of which a mean with an interval is shown."""
    found = (point.accuracies, point.recalibrated, point.finetuned)
    yield from (values for values in found if values)


def _curves(result: PruneResult) -> Table:
    """Return the columns of the long table as curves."""
    kinds: tuple[tuple[str, CurveKind], ...] = (
        ("accuracy", "accuracies"),
        ("recalibrated", "recalibrated"),
        ("fine-tuned", "finetuned"),
    )
    rows: list[tuple[Cell, ...]] = []
    for label, kind in kinds:
        summary = result.summary(kind)
        if summary is not None:
            means = [point.mean(kind) for point in result.curve]
            rows.append((label, sparkline(means), means[0], summary.area, summary.half_share))
    parts = [point.effective_share for point in result.curve]
    if any(part is not None for part in parts):
        rows.append(("on a path, of active", sparkline(parts), parts[0], None, result.collapse_share))
    columns = (
        Column("what", ""),
        Column("curve", "0 to 1", "curve"),
        Column("first", "at first", "rate"),
        Column("area", kind="rate", like="first"),
        Column("half", "half lost at", "rate", like="first"),
    )
    reading = (
        f"From all active weights on the left to the fewest; guessing has {rate(result.chance_accuracy)}. Half lost "
        "at: share of the active weights kept; of accuracy, half of what is above guessing."
    )
    return Table("The same as curves", columns, tuple(rows), reading)


def how_pruned(result: PruneResult) -> str:
    """Return in words by what was pruned, and whether layers competed."""
    where = "layer by layer" if result.scope == "layer" else "globally"
    return f"Pruned by {result.criterion}, {where}"


def prune_notes(results: Sequence[PruneResult]) -> tuple[str, ...]:
    """Return what has to be known to read results of one call."""
    notes = ["effective: share of weights that lie on a path from input to output; of active: part of the active ones."]
    draws = max(result.draws for result in results)
    if draws > 1:
        over = "Student t intervals over these" if len(results) == 1 else "for each run; intervals are over runs"
        notes.append(f"means over {draws} random orders, {over}.")
    looked = {count(result.recalibration_examples) for result in results if result.recalibration_examples is not None}
    if looked:
        notes.append(
            f"recalibrated: batch-norm statistics estimated anew on {_listed(looked)} training examples, without "
            "augmentation."
        )
    rates = {f"{result.finetune_lr:g}" for result in results if result.finetune_lr is not None}
    if rates:
        epochs = results[0].finetune_epochs
        notes.append(
            f"fine-tuned: the mask fixed, {epochs} more epoch{'' if epochs == 1 else 's'} at a learning rate of "
            f"{_listed(rates)}."
        )
    notes.append(
        "area: mean accuracy over the logarithm of the share kept. Accuracies are of test examples: a share chosen by "
        "them looks better than it is."
    )
    return tuple(notes)


def _listed(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


def _reading(result: PruneResult) -> str:
    first = result.curve[0]
    training = "" if result.finetune_epochs is not None else ", without fine-tuning"
    parts = [
        f"{how_pruned(result)}{training}: from {rate(first.mean())} at density {rate(first.density)} the network "
        f"{_lost(result.summary(), result.chance_accuracy)}"
    ]
    others = (("recalibrated", result.summary("recalibrated")), ("fine-tuned", result.summary("finetuned")))
    parts += [f"{words} it {_lost(found, result.chance_accuracy)}" for words, found in others if found is not None]
    text = f"{'; '.join(parts)}."
    if result.collapse_share is not None:
        text += (
            f" Below {percent(result.collapse_share)} of its active weights less than half as large a part of them "
            "lies on a path as at first."
        )
    return text


def _lost(summary: CurveSummary | None, chance: float) -> str:
    if summary is None or summary.half_density is None:
        return f"never loses half of what it is above guessing ({rate(chance)})"
    return (
        f"has lost half of what it is above guessing ({rate(chance)}) at density {rate(summary.half_density)}, "
        f"{percent(summary.half_share)} of the active weights"
    )
