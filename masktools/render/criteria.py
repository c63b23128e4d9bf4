"""Mask criteria and sign stability as a document."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import count, rate, with_interval
from masktools.render.sparkline import sparkline
from masktools.render.thinning import thinned
from masktools.structure.values.criteria_result import Criteria, CriterionResult
from masktools.structure.values.signs import SignPoint, SignShare, SignStability

__all__ = ["criteria_document", "criteria_table", "sentence", "signs_sentence", "signs_table"]

_COLUMNS = (
    Column("name", "criterion"),
    Column("auc", "AUC", "rate"),
    Column("low", "95 %", "rate", until="high", like="auc"),
    Column("high", kind="rate"),
    Column("z", kind="rate"),
    Column("standard_error", kind="rate", shown=False),
    Column("is_rule", shown=False),
    Column("formula", shown=False),
    Column("note", shown=False),
)
_LAYER_COLUMNS = (
    Column("name", "layer"),
    Column("active", kind="count"),
    Column("inactive", kind="count"),
    Column("auc", "AUC", "rate"),
    Column("low", "95 %", "rate", until="high", like="auc"),
    Column("high", kind="rate"),
    Column("z", kind="rate"),
)
_SIGN_COLUMNS = (
    Column("epoch", kind="count"),
    Column("active", kind="rate"),
    Column("low", "95 %", "rate", until="high", like="active"),
    Column("high", kind="rate"),
    Column("z", kind="rate"),
    Column("never_pruned", "never pruned", "rate", like="active"),
    Column("regrown", kind="rate", like="active"),
    Column("pruned", kind="rate", like="active"),
)

_BEYOND = 2.87
"""z above which the highest of twelve criteria is beyond chance: 5 % over all twelve, two-sided (Bonferroni)."""

_DEPENDENCE = (
    "weights of one network are not independent, so intervals and z are too narrow; for an interval over trainings "
    "measure several seeds."
)
_SIGNS = (
    "signs by chance: 0.5; the interval and z are those of active weights. A weight that changes its sign passes "
    "through 0 and is likely to be pruned there, so never pruned weights keep theirs by selection too; a regrown "
    "weight may have begun again at 0 (RigL)."
)


def criteria_document(result: Criteria, signs: SignStability) -> Document:
    """Return how well each criterion orders a mask, and how many weights kept their initial sign."""
    data = result.to_dict()
    everything = criteria_table(result)
    tables = [_defined(everything, result)]
    best = result.best
    if best is not None:
        layers = [layer.to_dict() for layer in best.layers]
        title = f"{best.name}, layer by layer"
        tables.append(Table.of_records(title, _LAYER_COLUMNS, layers, _layers_sentence(best)))
    if signs.signs:
        shown = thinned(signs.signs)
        few = "" if len(shown) == len(signs.signs) else f" ({len(shown)} of {len(signs.signs)} epochs; JSON has all)"
        title = f"Share of weights that have their initial sign{few}"
        tables += [
            _sign_curves(signs),
            Table.of_records(title, _SIGN_COLUMNS, [_sign_row(point) for point in shown], signs_sentence(signs)),
        ]
    notes = (result.note, _DEPENDENCE, _SIGNS if signs.signs else f"Signs are not compared: {signs.note}.")
    signs_data = signs.to_dict()
    whole = {**data, "signs": signs_data["signs"], "signs_note": signs_data["note"]}
    return Document("criteria", whole, tuple(tables), notes, everything)


def criteria_table(result: Criteria) -> Table:
    """Return how well each criterion orders a mask, a row a criterion."""
    title = f"Mask criteria: {result.run} (mask of epoch {result.epoch})"
    return Table.of_records(title, _COLUMNS, result.to_dict()["criteria"], sentence(result))


def _defined(everything: Table, result: Criteria) -> Table:
    """Return the rows that have a value, and below them which ones have none; the whole table if none has."""
    missing = [criterion for criterion in result.criteria if criterion.auc is None]
    if not missing or result.best is None:
        return everything
    pairs = zip(everything.rows, result.criteria, strict=True)
    rows = tuple(row for row, criterion in pairs if criterion.auc is not None)
    final = all(_FINAL in criterion.formula for criterion in missing)
    which = f"that need final weights ({_FINAL})" if final else ", ".join(criterion.name for criterion in missing)
    todo = f" {_RECORD}" if result.weights_epoch is None and result.epoch > 0 else ""
    return dataclasses.replace(
        everything,
        rows=rows,
        reading=f"{everything.reading} Not defined and not shown: {len(missing)} criteria {which}.{todo}",
    )


_FINAL = "w_f"
_RECORD = (
    "Where weights outside the mask keep training (dnw), train with --set snapshot.weights=dense to have them; "
    "docs/criteria.md says for which algorithms that is."
)


def signs_table(signs: SignStability) -> Table:
    """Return how many weights kept their initial sign, a row an epoch."""
    reading = signs_sentence(signs) if signs.signs else f"Signs are not compared: {signs.note}."
    return Table.of_records("", _SIGN_COLUMNS, [_sign_row(point) for point in signs.signs], reading)


def sentence(result: Criteria) -> str:
    """Return in words which criterion orders the mask best, beside chance."""
    rules = [criterion.name for criterion in result.criteria if criterion.is_rule]
    parts = []
    if rules:
        verb = "orders" if len(rules) == 1 else "order"
        parts.append(
            f"{' and '.join(rules)} {verb} the mask without exception (AUC 1), as the rule does that a mask was chosen "
            "by: no finding."
        )
    best = result.best
    if best is None or best.ranking is None:
        return " ".join(parts) or "No criterion is defined: no layer has weights both in and out of the mask."
    other = "Of the others " if rules else ""
    z = best.ranking.z
    if z is not None and z > _BEYOND:
        parts.append(f"{other}{best.name} orders the mask best: {_auc(best)}.")
    else:
        which = "other criterion" if rules else "criterion"
        parts.append(f"No {which} orders the mask beyond chance: highest is {best.name}, {_auc(best)}.")
    return " ".join(parts)


def signs_sentence(signs: SignStability) -> str:
    """Return in words how many active weights kept their initial sign, beside chance and what was pruned."""
    last = signs.signs[-1]
    pruned = last.total.pruned
    against = "of pruned weights no trained value is known" if pruned is None else f"of pruned weights {_share(pruned)}"
    return (
        f"At epoch {last.epoch}, {_share(last.total.active)} of active weights have their initial sign (chance 0.5); "
        f"{against}."
    )


def _auc(criterion: CriterionResult) -> str:
    low, high = (None, None) if criterion.ranking is None else criterion.ranking.interval()
    number = with_interval(criterion.auc, low, high)
    interval = "" if low is None else ", 95 % interval"
    return f"AUC = {number} (chance 0.5{interval})"


def _share(group: SignShare) -> str:
    low, high = group.same.interval()
    return f"{with_interval(group.same.share, low, high)} (95 % interval)" if low is not None else "none"


def _layers_sentence(best: CriterionResult) -> str:
    found = [layer.ranking.auc for layer in best.layers if layer.ranking.auc is not None]
    skipped = len(best.layers) - len(found)
    rest = f"; {count(skipped)} without weights both in and out of the mask" if skipped else ""
    if len(found) == 1:
        return f"One layer has an AUC: {rate(found[0])} (chance 0.5){rest}."
    return f"AUC lies between {rate(min(found))} and {rate(max(found))} over {len(found)} layers (chance 0.5){rest}."


def _sign_curves(signs: SignStability) -> Table:
    """Return the same over the epochs, a line for each sort of weights."""
    rows = [_sign_row(point) for point in signs.signs]
    curves = [(label, [row[key] for row in rows]) for key, label in _GROUPS.items()]
    return Table(
        "Signs over the epochs",
        (
            Column("weights"),
            Column("curve", "0 to 1", "curve"),
            Column("first", kind="rate"),
            Column("last", kind="rate", like="first"),
        ),
        tuple((label, sparkline(values), values[0], values[-1]) for label, values in curves if _known(values)),
        "Chance is 0.5, in the middle of the scale.",
    )


_GROUPS = {"active": "active", "never_pruned": "never pruned", "regrown": "regrown", "pruned": "pruned"}


def _known(values: Sequence[float | None]) -> bool:
    return any(value is not None for value in values)


def _sign_row(point: SignPoint) -> dict[str, Any]:
    total = point.total
    low, high = total.active.same.interval()
    return {
        "epoch": point.epoch,
        "active": total.active.same.share,
        "low": low,
        "high": high,
        "z": total.active.same.z,
        "never_pruned": total.never_pruned.same.share,
        "regrown": total.regrown.same.share,
        "pruned": None if total.pruned is None else total.pruned.same.share,
    }
