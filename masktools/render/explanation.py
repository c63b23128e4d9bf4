"""Explanations of an overlap as documents."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from masktools.render.chance_words import ALPHA
from masktools.render.document import Column, Document, Table
from masktools.render.null_words import CENTRAL_DRAWS, ENOUGH_DRAWS, NO_VERDICT
from masktools.render.numbers import count, percent, rate
from masktools.structure.explanation import Explanation

__all__ = ["explanation_document", "sentence"]

_COLUMNS = (
    Column("layer", shown=False),
    Column("null", "null"),
    Column("keeps"),
    Column("expected", "shared", "count"),
    Column("low", "95 %", "count", until="high"),
    Column("high", kind="count"),
    Column("part", "adds", "rate"),
    Column("kappa", "kappa left", "rate"),
    Column("p_value", kind="rate", shown=False),
    Column("p_two_sided", "two-sided p", "rate"),
    Column("adjusted_p_value", kind="rate", shown=False),
)

_P_VALUES = ("p_value", "p_two_sided", "adjusted_p_value")

_NULLS = (
    "each null keeps of B what is listed up to its line and is random otherwise; shared = mean number of weights that "
    "such masks share with A, brackets: where they lie; adds = what this line explains more than the line above, as a "
    "part of the weights that A and B share; kappa left = agreement of A and B above that null."
)
_KERNELS = (
    "layers without a kernel have nothing to add on the line 'tap': there they are as random as on the line above."
)


def explanation_document(result: Explanation) -> Document:
    """Return an overlap taken apart: a row a rung for all layers together, then what is left of each layer."""
    data = result.to_dict()
    enough = result.draws >= ENOUGH_DRAWS
    rungs = [
        {"layer": row["name"], **rung, **({} if enough else dict.fromkeys(_P_VALUES))}
        for row in (data["total"], *data["layers"])
        for rung in row["ladder"]
    ]
    (a, b), (epoch_a, epoch_b) = result.runs, result.epochs
    names = [rung.null for rung in result.total]
    last = (Column("wiring", kind="rate"),)
    layers = [
        {
            "name": row["name"],
            "intersection": row["intersection"],
            **dict.fromkeys(names),
            **{rung["null"]: rung["kappa"] for rung in row["ladder"]},
            "wiring": row["wiring"],
        }
        for row in data["layers"]
    ]
    everything = Table.of_records(
        f"A = {a} (epoch {epoch_a})\nB = {b} (epoch {epoch_b})", _COLUMNS, rungs, sentence(result)
    )
    total = Table.of_records(
        everything.title,
        _COLUMNS,
        [{**rung, **_ends(rung, result.draws)} for rung in rungs if rung["layer"] == "total"],
        everything.reading,
    )
    if result.draws < CENTRAL_DRAWS:
        total = total.headed({"low": "range"})
    by_layer = Table.of_records(
        "kappa of each layer above each null",
        (
            Column("name", "layer"),
            Column("intersection", "shared", "count"),
            *(Column(name, kind="rate", like="global") for name in names),
            *last,
        ),
        layers,
        "Chance level is 0 in every column; wiring = part of the shared weights that no null explains.",
    )
    notes = (_NULLS, _KERNELS) if "tap" in names else (_NULLS,)
    return Document("explain", data, (total, by_layer), notes, everything)


def _ends(rung: Mapping[str, Any], draws: int) -> dict[str, Any]:
    """Return where the draws of a rung lie: of few of them from the smallest to the largest."""
    few = draws < CENTRAL_DRAWS and rung["least"] is not None
    return {"low": rung["least" if few else "low"], "high": rung["most" if few else "high"]}


def sentence(result: Explanation) -> str:
    """Return in words what an overlap is due to."""
    total, wiring = result.overlap.total, result.wiring()
    if wiring is None:
        return "A and B share no active weight, so there is nothing to explain."
    parts = [f"{rung.null} {percent(rung.part)}" for rung in result.total]
    last = result.total[-1]
    ends = _ends(dataclasses.asdict(last), result.draws)
    which = f"all {result.draws} draws" if result.draws < CENTRAL_DRAWS else f"95 % of {result.draws} draws"
    return (
        f"Of {count(total.intersection)} shared weights the nulls explain: {', '.join(parts)}; exact wiring "
        f"{percent(wiring)}. Random masks of the last null share {count(ends['low'])} to {count(ends['high'])} "
        f"({which}): {_verdict(result)}."
    )


def _verdict(result: Explanation) -> str:
    last, observed = result.total[-1], result.overlap.total.intersection
    if not last.free:
        return "that null leaves no freedom"
    if result.draws < ENOUGH_DRAWS:
        return NO_VERDICT
    words = "is not told apart from it"
    if last.p_two_sided <= ALPHA:
        words = "agrees beyond it" if observed > last.expected else "agrees less"
    return f"the exact wiring {words} (kappa left {rate(last.kappa)}, two-sided p = {rate(last.p_two_sided)})"
