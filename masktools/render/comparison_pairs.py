"""Pairs of several runs as tables: their overlaps, and what was drawn for each of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from masktools.render.chance_words import ALPHA
from masktools.render.comparison_nulls import p_columns, stricter, titled
from masktools.render.document import Column, Table
from masktools.render.null_words import ENOUGH_DRAWS, NO_VERDICT, shown_p
from masktools.render.numbers import p_cell, rate
from masktools.structure.comparisons import Comparisons

__all__ = ["overlaps_table", "pairs_table"]


def overlaps_table(everything: Table, result: Comparisons) -> Table:
    """Return the table of pairs as people see it: with p-values, and without a density that all runs have."""
    densities = {density for pair in result.pairs for density in (pair.total.density_a, pair.total.density_b)}
    alike = len(densities) == 1
    columns = tuple(
        dataclasses.replace(
            column,
            title="p" if column.name == "p_value" else column.title,
            shown=(column.shown or column.name == "p_value") and not (alike and column.name.startswith("density_")),
        )
        for column in everything.columns
    )
    place = next(i for i, column in enumerate(columns) if column.name == "p_value")
    rows = tuple(
        (*row[:place], p_cell(pair.total.p_value), *row[place + 1 :])
        for row, pair in zip(everything.rows, result.pairs, strict=True)
    )
    title = everything.title + (f"\nall of density {rate(densities.pop())}" if alike else "")
    return dataclasses.replace(everything, title=title, columns=columns, rows=rows)


def pairs_table(result: Comparisons) -> Table | None:
    """Return what was drawn for each pair of several runs."""
    if any(pair.trial is None for pair in result.pairs):
        return None
    metrics = (("kappa", "kappa"), ("aligned_kappa", "aligned"), ("nnstd", "NNSTD"))
    shown = [(metric, title) for metric, title in metrics if any(pair.level(metric) for pair in result.pairs)]
    enough = bool(p_columns(result.pairs[0]))
    columns = [Column("run_a", "run A"), Column("run_b", "run B")]
    for metric, title in shown:
        columns += [
            Column(metric, title, "rate"),
            Column(f"{metric}_null", "null", "rate", like=metric),
            Column(f"{metric}_p", "p", "rate", shown=enough, joined=True),
        ]
    rows = []
    for pair in result.pairs:
        row: dict[str, Any] = {"run_a": pair.runs[0], "run_b": pair.runs[1]}
        for metric, _ in shown:
            level = pair.level(metric)
            row[metric] = level.observed if level else None
            row[f"{metric}_null"] = level.mean if level else None
            row[f"{metric}_p"] = shown_p(level)
        rows.append(row)
    return Table.of_records(
        titled("All layers together beside random masks", result.pairs[0]),
        columns,
        rows,
        _reading(result, enough),
    )


def _reading(result: Comparisons, enough: bool) -> str:
    """Return what the p-values are, and what is left after alignment."""
    small = (
        "A small p, one-sided: the pair agrees more (NNSTD: differs less) than random masks that keep what the null "
        "keeps."
    )
    return f"{small if enough else f'There is {NO_VERDICT}.'}{_aligned_pairs(result)}"


def _aligned_pairs(result: Comparisons) -> str:
    """Return in words how often an agreement after alignment is beyond that of random masks."""
    levels = [level for pair in result.pairs if (level := pair.level("aligned_kappa")) is not None]
    if not levels:
        return ""
    observed, drawn = [level.observed for level in levels], [level.mean for level in levels if level.mean is not None]
    text = (
        f" After alignment kappa = {_least_and_most(observed)}; random masks reach {_least_and_most(drawn)} by the "
        "same alignment"
    )
    if levels[0].draws < ENOUGH_DRAWS:
        return f"{text}."
    above = sum(level.free and level.p_two_sided <= ALPHA and level.p_greater < level.p_less for level in levels)
    return (
        f"{text}: {above} of {len(levels)} pairs are above the null (two-sided p at most {ALPHA}, not corrected for "
        f"their number).{stricter(result.pairs[0])}"
    )


def _least_and_most(values: Sequence[float]) -> str:
    low, high = rate(min(values, default=None)), rate(max(values, default=None))
    return low if low == high else f"{low} to {high}"
