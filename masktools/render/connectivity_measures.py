"""Further measures of connectivity, layer by layer, beside random masks."""

import math

from masktools.nulls.trial import TOTAL
from masktools.render.document import Cell, Column, Table
from masktools.render.null_words import ENOUGH_DRAWS
from masktools.render.numbers import rate
from masktools.statistics.monte_carlo import NullLevel
from masktools.structure.connectivity_result import Connectivity
from masktools.structure.measures.family import Family
from masktools.structure.measures.registry import find_families

__all__ = ["connectivity_records", "measure_tables"]


def measure_tables(result: Connectivity) -> tuple[Table, ...]:
    """Return a table for each family that was measured."""
    return tuple(_table(result, family) for family in find_families(result.families))


def connectivity_records(result: Connectivity) -> Table | None:
    """Return every further number as a row of its own, for CSV; None where none was measured."""
    if not result.numbers:
        return None
    columns = (
        Column("layer"),
        Column("measure"),
        *(Column(name, kind="rate") for name in ("value", "null_mean", "null_low", "null_high", "by_density")),
    )
    rows: list[tuple[Cell, ...]] = []
    for name in (*(layer.name for layer in result.layers), TOTAL):
        base = _base(result, name)
        further = {metric: value for (metric, layer), value in result.numbers.items() if layer == name}
        for metric, value in {**base, **further}.items():
            level, density = result.level(metric, name), result.density_level(metric, name)
            drawn = (level.mean, level.low, level.high) if level else (None, None, None)
            rows.append((name, metric, value, *drawn, density.mean if density else None))
    return Table("", columns, tuple(rows), "")


def _base(result: Connectivity, name: str) -> dict[str, Cell]:
    values = result.total.to_dict() if name == TOTAL else next(x for x in result.layers if x.name == name).to_dict()
    return {metric: value for metric, value in values.items() if metric != "name"}


def _table(result: Connectivity, family: Family) -> Table:
    terms = [term for term in family.terms if term.title]
    columns = [Column("name", "layer")]
    for term in terms:
        columns.append(Column(term.name, term.title, "rate"))
        if result.trial:
            columns += [
                Column(f"{term.name}_null", "null", "rate", like=term.name),
                Column(
                    f"{term.name}_by_density",
                    "by density",
                    "rate",
                    shown=result.by_density is not result.trial,
                    like=term.name,
                ),
            ]
    rows: list[tuple[Cell, ...]] = []
    for name in (*(layer.name for layer in result.layers), TOTAL):
        if not any((term.name, name) in result.numbers for term in family.terms):
            continue
        row: list[Cell] = [name]
        for term in terms:
            row.append(_plain(result.numbers.get((term.name, name))))
            if result.trial:
                level, density = result.level(term.name, name), result.density_level(term.name, name)
                row += [level.mean if level else None, density.mean if density else None]
        rows.append(tuple(row))
    of = "" if result.of == "mask" else ", of the effective weights"
    null = f"; null: random masks '{result.trial.plan.null}'" if result.trial else ""
    return Table(f"{family.name}{of}{null}", tuple(columns), tuple(rows), _reading(result, family))


def _reading(result: Connectivity, family: Family) -> str:
    """Return what the numbers are, and how many of them differ from their null."""
    said = f"{family.summary[0].upper()}{family.summary[1:]}."
    if result.trial is None:
        return f"{said} No random masks were drawn to compare with."
    levels = [
        level
        for (metric, _), level in result.trial.levels.items()
        if any(term.name == metric and term.title for term in family.terms)
    ]
    if not levels:
        return f"{said} None is defined here."
    draws = result.trial.plan.draws
    if draws >= ENOUGH_DRAWS:
        found = sum(_significant(level) for level in levels)
        return f"{said} {found} of {len(levels)} differ from the null (adjusted two-sided p at most 0.05)."
    # A number is as likely to be the most extreme of all as any of the draws.
    beyond = sum(level.free and level.p_two_sided <= 2 / (1 + level.draws) for level in levels)
    chance = rate(sum(min(1.0, 2 / (1 + level.draws)) for level in levels))
    return (
        f"{said} {beyond} of {len(levels)} are beyond all {draws} random masks, at most {chance} would be by chance; "
        f"no p-values with fewer than {ENOUGH_DRAWS} (--draws {ENOUGH_DRAWS})."
    )


def _significant(level: NullLevel) -> bool:
    p = level.adjusted_p_value if level.adjusted_p_value is not None else level.p_two_sided
    return level.free and p <= 0.05


def _plain(value: float | None) -> Cell:
    return None if value is None or not math.isfinite(value) else value
