"""What of a comparison has its chance level from random masks: overlaps under a null, NNSTD, alignment."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.nulls.ladder import LADDER
from masktools.render.document import Column, Table
from masktools.render.null_words import (
    ENOUGH_DRAWS,
    ends,
    ends_title,
    level_texts,
    shown_p,
    span,
    spanned,
    verdict_of,
)
from masktools.render.numbers import rate
from masktools.statistics.monte_carlo import NullLevel
from masktools.structure.comparison import Comparison

__all__ = ["against_null", "aligned_table", "nnstd_table", "p_columns", "stricter", "titled"]

_KEEP_DEGREES = ("degree", "tap")
"""Nulls whose masks have the degrees of B."""

_RATE = 0.05
"""False discovery rate at which layers are counted."""

_ONE_SIDED = (
    "p is one-sided: random masks that agree at least as much; p adj. is corrected for the number of layers "
    "(Benjamini-Hochberg)."
)


def against_null(result: Comparison) -> Table | None:
    """Return the overlap of each layer beside the null, where enough masks were drawn for p-values."""
    trial = result.trial
    if trial is None or trial.plan.draws < ENOUGH_DRAWS:
        return None
    rows = []
    for row in (*result.layers, result.total):
        level = result.level("intersection", row.name)
        if level is not None:
            rows.append({"name": row.name, "observed": level.observed, **_drawn(level)})
    columns = (
        Column("name", "layer"),
        Column("observed", "shared", "count"),
        Column("mean", "null", "rate"),
        Column("low", "95 % of nulls", "rate", until="high", like="mean"),
        Column("high", kind="rate"),
        *p_columns(result),
    )
    return Table.of_records(titled("Shared weights", result), columns, rows, _null_sentence(result, rows))


def nnstd_table(result: Comparison) -> Table | None:
    """Return NNSTD of each layer beside its null."""
    if result.nnstd is None:
        return None
    rows = []
    for layer in (*result.nnstd.layers, result.nnstd.total):
        level = result.level("nnstd", layer.name)
        rows.append({**layer.to_dict(), **_drawn(level)})
    columns = [
        Column("name", "layer"),
        Column("units", kind="count"),
        Column("empty", kind="count"),
        Column("distance", "NNSTD", "rate"),
    ]
    if result.trial:
        columns += [
            Column("mean", "null", "rate", like="distance"),
            Column("low", _header_of_ends(result), "rate", until="high", like="distance"),
            Column("high", kind="rate"),
            *p_columns(result),
        ]
    return Table.of_records(
        titled("Distance once units are matched (NNSTD)", result), columns, rows, _nnstd_sentence(result, rows)
    )


def aligned_table(result: Comparison) -> Table | None:
    """Return the overlap after alignment beside the same alignment of random masks."""
    aligned, trial = result.aligned, result.trial
    if aligned is None or trial is None:
        return None
    rows = []
    for before, after in zip(
        (*result.layers, result.total), (*aligned.overlap.layers, aligned.overlap.total), strict=True
    ):
        level = result.level("aligned_kappa", after.name)
        rows.append(
            {
                "name": after.name,
                "kappa": before.kappa,
                "aligned_kappa": after.kappa,
                **_drawn(level),
            }
        )
    columns = (
        Column("name", "layer"),
        Column("kappa", "kappa", "rate"),
        Column("aligned_kappa", "aligned", "rate", like="kappa"),
        Column("mean", "null aligned", "rate", like="kappa"),
        Column("low", _header_of_ends(result), "rate", until="high", like="kappa"),
        Column("high", kind="rate"),
        *p_columns(result),
    )
    return Table.of_records(
        titled(f"Units of B permuted to fit A, by {aligned.on}", result), columns, rows, _aligned(result, rows)
    )


def p_columns(result: Comparison) -> tuple[Column, ...]:
    """Return the columns of p-values, where there are enough draws for them."""
    if result.trial is None or result.trial.plan.draws < ENOUGH_DRAWS:
        return ()
    return Column("p_value", "p", "rate"), Column("adjusted_p_value", "p adj.", "rate", like="p_value")


def _drawn(level: NullLevel | None) -> dict[str, Any]:
    """Return what a table shows of a null."""
    if level is None:
        return dict.fromkeys(("mean", "low", "high", "p_value", "adjusted_p_value"))
    low, high = ends(level)
    p_value = shown_p(level)
    adjusted = None if p_value is None else level.adjusted_p_value
    return {"mean": level.mean, "low": low, "high": high, "p_value": p_value, "adjusted_p_value": adjusted}


def _header_of_ends(result: Comparison) -> str:
    return ends_title(result.trial.plan.draws if result.trial else 0)


def titled(text: str, result: Comparison) -> str:
    """Return a title that says which random masks were drawn."""
    if result.trial is None:
        return text
    plan = result.trial.plan
    return f"{text}; null: {plan.draws} random masks '{plan.null}'"


def _null_sentence(result: Comparison, rows: Sequence[Mapping[str, Any]]) -> str:
    level, trial = result.level("intersection"), result.trial
    if level is None or trial is None:
        return "No overlap is defined."
    rungs = list(LADDER)
    kept = " ".join(LADDER[name].keeps for name in rungs[: rungs.index(trial.plan.null) + 1])
    adjusted = [
        p
        for row in result.layers
        if (found := result.level("intersection", row.name)) is not None and (p := found.adjusted_p_value) is not None
    ]
    least = len(adjusted) / (1 + trial.plan.draws)
    above = sum(p <= _RATE for p in adjusted)
    return (
        f"A and B share {level.observed:,.0f} weights, random masks with the same {kept} share "
        f"{span(level, *_numbers(rows, 'mean', 'low', 'high'))}: "
        f"{verdict_of(level)}. {above} of {len(adjusted)} layers are above the null at a false discovery rate of "
        f"{_RATE}"
        + (f"; a single one could not be with {trial.plan.draws} draws. " if least > _RATE else ". ")
        + _ONE_SIDED
    )


def _nnstd_sentence(result: Comparison, rows: Sequence[Mapping[str, Any]]) -> str:
    distance = result.nnstd.total.distance if result.nnstd else None
    if distance is None:
        return "NNSTD is not defined, because no unit has an active weight."
    level = result.level("nnstd")
    observed, chance = rate(distance), "no random masks were drawn"
    if level:
        observed, mean, low, high = level_texts(level, *_numbers(rows, "distance", *_NULLS))
        chance = f"random masks have {spanned(mean, low, high, level.draws)}: {verdict_of(level)}"
    return (
        f"NNSTD {observed}; {chance}. 0 would be the same wiring up to the order of hidden units, 1 no common "
        "input anywhere."
    )


_NULLS = ("mean", "low", "high")


def _numbers(
    rows: Sequence[Mapping[str, Any]], first: str, *others: str
) -> tuple[list[float | None], list[float | None]]:
    """Return the numbers by which a table chooses its decimals: of a column, and of those that are like it."""
    return [row[first] for row in rows], [row[name] for row in rows for name in others]


def _aligned(result: Comparison, rows: Sequence[Mapping[str, Any]]) -> str:
    level = result.level("aligned_kappa")
    if level is None:
        return "kappa is not defined after alignment."
    observed, mean, low, high = level_texts(level, *_numbers(rows, "kappa", "aligned_kappa", *_NULLS))
    return (
        f"After alignment kappa = {observed}; random masks reach {spanned(mean, low, high, level.draws)} by the same "
        f"alignment: {verdict_of(level)}.{stricter(result)}"
    )


def stricter(result: Comparison) -> str:
    """Return what to ask next: units of many weights can be matched with each other whatever they are wired to."""
    if result.trial is None or result.trial.plan.null in _KEEP_DEGREES:
        return ""
    return " Whether more than the degrees agrees is the stricter question: --null degree."
