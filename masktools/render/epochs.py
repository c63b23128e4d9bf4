"""Two runs at every pair of epochs as documents."""

import math
from collections.abc import Sequence
from typing import Any

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import rate
from masktools.render.sparkline import sparkline
from masktools.render.thinning import thinned, thinning_words
from masktools.structure.epochs import EpochMatrix

__all__ = ["epochs_document"]

_MATRIX_LIMIT = 10
"""Epochs of B up to which the matrix fits 80 columns."""

_CHANCE = (
    "kappa is 0 for independent uniform masks with the same number of active weights in every layer, and 1 for equal "
    "masks; --format json has it for every layer, csv for every pair of epochs."
)


def epochs_document(result: EpochMatrix) -> Document:
    """Return the overlap at every pair of epochs: for each epoch of A where B was most like it, then the matrix."""
    (a, b), kappa = result.runs, result.total.kappa
    alone = a == b
    title = f"A = B = {a}" if alone else f"A = {a}\nB = {b}"
    columns = (
        Column("epoch", "epoch of A", "count"),
        Column("same", "kappa same epoch", "rate", shown=not alone),
        Column("nearest", "nearest other epoch" if alone else "nearest epoch of B", "count"),
        Column("nearest_kappa", "kappa there", "rate", like="last"),
        Column("first", "with first of B", "rate", like="last"),
        Column("last", "with last of B", "rate"),
    )
    rows = _rows(result, alone)
    shown = thinned(rows)
    few = thinning_words(len(shown), len(rows), "epochs of A")
    tables = [
        _curves(title, rows, alone, _sentence(result, alone)),
        Table.of_records(f"Epoch by epoch{few}", columns, shown, "Chance level of kappa is 0 everywhere."),
    ]
    if len(result.epochs_b) <= _MATRIX_LIMIT:
        first = str(result.epochs_b[0])
        heads = tuple(Column(str(epoch), kind="rate", like=first) for epoch in result.epochs_b)
        lines = tuple((epoch, *map(_number, line)) for epoch, line in zip(result.epochs_a, kappa, strict=True))
        tables.append(
            Table(
                "kappa, epochs of B to the right",
                (Column("epoch", "A \\ B", "count"), *heads),
                lines,
                "Chance level of kappa is 0 everywhere.",
            )
        )
    return Document("compare", result.to_dict(), tuple(tables), (_CHANCE,), _records(result))


def _curves(title: str, rows: Sequence[dict[str, Any]], alone: bool, reading: str) -> Table:
    """Return the columns of the long table as curves over the epochs of A."""
    labels = {"same": "same epoch of B", "first": "first of B", "last": "last of B"}
    curves = [(label, [row[key] for row in rows]) for key, label in labels.items() if not (alone and key == "same")]
    return Table(
        f"{title}\nkappa by epochs of A; what is below 0 is at the bottom",
        (
            Column("against", "with"),
            Column("curve", "0 to 1", "curve"),
            Column("from", "at first", "rate"),
            Column("to", "at last", "rate", like="from"),
        ),
        tuple((label, sparkline(values), values[0], values[-1]) for label, values in curves),
        reading,
    )


def _rows(result: EpochMatrix, alone: bool) -> list[dict[str, Any]]:
    kappa, rows = result.total.kappa, []
    for i, epoch in enumerate(result.epochs_a):
        candidates = [
            (float(value), -abs(other - epoch), other)
            for other, value in zip(result.epochs_b, kappa[i], strict=True)
            if not math.isnan(value) and not (alone and other == epoch)
        ]
        best = max(candidates, default=None)
        same = result.epochs_b.index(epoch) if epoch in result.epochs_b else None
        rows.append(
            {
                "epoch": epoch,
                "same": None if same is None else _number(kappa[i, same]),
                "nearest": best[2] if best else None,
                "nearest_kappa": best[0] if best else None,
                "first": _number(kappa[i, 0]),
                "last": _number(kappa[i, -1]),
            }
        )
    return rows


def _records(result: EpochMatrix) -> Table:
    total = result.total
    names = ("intersection", "kappa", "jaccard", "z")
    matrices = [getattr(total, name) for name in names]
    rows = tuple(
        (a, b, int(total.active_a[i]), int(total.active_b[j]), *(_number(matrix[i, j]) for matrix in matrices))
        for i, a in enumerate(result.epochs_a)
        for j, b in enumerate(result.epochs_b)
    )
    counts = tuple(Column(name, kind="count") for name in ("epoch_a", "epoch_b", "active_a", "active_b"))
    return Table("", (*counts, *(Column(name, kind="rate") for name in names)), rows, "")


def _sentence(result: EpochMatrix, alone: bool) -> str:
    kappa = result.total.kappa
    if math.isnan(kappa[-1, -1]):
        return "kappa is undefined at the end, because every layer is dense in both masks or empty in both."
    if alone:
        return (
            f"Of the last mask, the first one has kappa = {rate(_number(kappa[0, -1]))} (chance 0); a mask "
            "that stands still has 1 with its neighbours."
        )
    z = _number(result.total.z[-1, -1])
    return (
        f"At the end kappa = {rate(_number(kappa[-1, -1]))} (chance 0, z = {rate(z)}); at the beginning "
        f"{rate(_number(kappa[0, 0]))}."
    )


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else value.item()
