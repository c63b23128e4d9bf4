"""Results of training again, as documents."""

from collections.abc import Mapping
from typing import Any

from masktools.render.document import Column, Document, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import rate, with_interval
from masktools.render.tabulate import tabulate
from masktools.statistics.intervals import mean_interval
from masktools.structure.reevaluation import ReinitResult, VariantResult

__all__ = ["reinit_document", "variants_document"]


def reinit_document(result: ReinitResult) -> Document:
    """Return the accuracy of each way of starting again, a row a variant."""
    against = {each.variant: each for each in result.differences}
    rows: list[dict[str, Any]] = []
    for variant in result.variants:
        row = {"variant": variant.variant, "untrained": mean_interval(variant.untrained).mean}
        row |= {"accuracy": variant.interval}
        found = against.get(variant.variant)
        if found is not None:
            row |= {f"less_{result.baseline}": found.difference, "p_holm": found.p_adjusted}
        rows.append(row)
    rows.append({"variant": "as trained", "accuracy": result.reference_accuracy})
    readings = [_reading(variant) for variant in result.variants]
    reading = (
        f"The mask of epoch {result.epoch} (density {rate(result.density)}) trained again: {'; '.join(readings)}; "
        f"as trained {rate(result.reference_accuracy)}, guessing {rate(result.chance_accuracy)}."
    )
    less = f"less_{result.baseline}"
    notes = [
        "brackets: 95 % intervals over retrainings of this one mask (Student t); they say nothing about other masks.",
        "untrained: accuracy of the masked starting weights before the first step.",
    ]
    if against:
        notes.append(
            f"minus {result.baseline}: paired by seed (same data order, same new weights); p (Holm): of the paired "
            f"t-test, corrected by Holm's method (comparisons: {len(against)})."
        )
    accuracies = [interval for v in result.variants for interval in (v.interval, mean_interval(v.untrained))]
    notes += few_runs_notes([each.difference for each in result.differences], accuracies, "retrainings")
    table = tabulate(result.run, rows, reading).document
    shown = table.tables[0].headed({less: f"minus {result.baseline}", "p_holm": "p (Holm)"})
    return Document("reinit", result.to_dict(), (shown,), tuple(notes), table.records)


def variants_document(summaries: Mapping[str, str]) -> Document:
    """Return the ways of starting again.

    Parameters
    ----------
    summaries
        What each is, by name.
    """
    columns = (Column("variant", "variant", whole=True), Column("summary", "starts from"))
    rows = [{"variant": name, "summary": summary} for name, summary in summaries.items()]
    reading = "Choose with --variants; the mask stays fixed in all of them."
    return Document("reinit", {"variants": rows}, (Table.of_records("Variants", columns, rows, reading),))


def _reading(variant: VariantResult) -> str:
    alone = " (one seed, no interval)" if variant.interval.low is None else ""
    interval = variant.interval
    return f"{variant.variant} {with_interval(interval.mean, interval.low, interval.high)}{alone}"
