"""Results of training and pruning again, as documents."""

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import rate
from masktools.structure.reevaluation import PruneResult, ReinitResult, VariantResult

__all__ = ["prune_document", "reinit_document"]


def reinit_document(result: ReinitResult) -> Document:
    """Return the accuracy of each way of starting again, a row a variant."""
    columns = (
        Column("variant", "start"),
        Column("mean", "accuracy", "rate"),
        Column("low", "low (95 %)", "rate"),
        Column("high", "high (95 %)", "rate"),
        Column("seeds", "seeds", "count"),
    )
    data = result.to_dict()
    rows = tuple((v["variant"], v["mean"], v["low"], v["high"], len(v["seeds"])) for v in data["variants"])
    rows += (("as trained", result.reference_accuracy, None, None, 1),)
    readings = [_reading(variant) for variant in result.variants]
    reading = (
        f"The mask of epoch {result.epoch} (density {rate(result.density)}) trained again: {'; '.join(readings)}; "
        f"as trained {rate(result.reference_accuracy)}, guessing {rate(result.chance_accuracy)}."
    )
    note = "intervals are over retrainings of this one mask (Student t); they say nothing about other masks."
    return Document("reinit", data, (Table(result.run, columns, rows, reading),), (note,))


def _reading(variant: VariantResult) -> str:
    interval = variant.interval
    if interval.low is None or interval.high is None:
        return f"{variant.variant} {rate(interval.mean)} (one seed, no interval)"
    return f"{variant.variant} {rate(interval.mean)} [{rate(interval.low)}, {rate(interval.high)}]"


def prune_document(result: PruneResult) -> Document:
    """Return the accuracy at each density, a row a density."""
    columns = (
        Column("density", "density", "rate"),
        Column("active", "active", "count"),
        Column("accuracy", "accuracy", "rate"),
        Column("low", "low (95 %)", "rate"),
        Column("high", "high (95 %)", "rate"),
        Column("effective_density", "effective", "rate"),
    )
    data = result.to_dict()
    points = data["curve"]
    first = points[0]
    where = (
        "never loses half of what it is above guessing"
        if result.half_density is None
        else f"has lost half of what it is above guessing ({rate(result.chance_accuracy)}) at density "
        f"{rate(result.half_density)}"
    )
    reading = (
        f"Pruned by {result.criterion}, {'layer by layer' if result.scope == 'layer' else 'globally'}, without "
        f"fine-tuning: from {rate(first['accuracy'])} at density {rate(first['density'])} the network {where}."
    )
    notes = ["effective: share of weights that lie on a path from input to output."]
    if result.draws > 1:
        notes.append(f"means over {result.draws} random orders, with Student t intervals.")
    return Document("prune", data, (Table.of_records(result.run, columns, points, reading),), tuple(notes))
