"""Emergence results as documents."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.emergence_groups import group_notes, group_tables
from masktools.render.emergence_layers import layer_table
from masktools.render.emergence_null import null_cells, null_columns, null_sentence, without_constant_null
from masktools.render.emergence_runs import runs_tables
from masktools.render.emergence_words import (
    early_bird_sentence,
    hubs_sentence,
    sentence,
    survival_sentence,
    turnover_sentence,
)
from masktools.render.run_names import named, short_names
from masktools.render.sparkline import sparkline
from masktools.render.thinning import thinned, thinning_words
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.groups import SeedGroup
from masktools.structure.dynamics.hubs import SIDES

__all__ = ["emergence_document", "sentence"]

_NOTES = (
    "beyond = kappa with the final mask given the first mask: what the first one does not explain. Births and deaths "
    "are those since the snapshot before, whether that is shown or not: they are no sums over what is left out.",
    "regrown = share of the births that were active before; chance = that share if births fell on random inactive "
    "weights. explored = share of all weights that were ever active.",
    "a decaying learning rate freezes masks by itself; an early emergence is a finding only against a run "
    "whose learning rate stays up.",
    "a spell is a stretch of snapshots in which a weight is active; at risk = spells that had lasted as long and were "
    "still watched; chance = were deaths random among the active weights of a layer. Its intervals take spells for "
    "independent: for a statement about an algorithm, compare seeds.",
)

_SHOWN_DURATIONS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
"""Durations that the survival table shows, where the run is as long."""


def emergence_document(results: Sequence[Emergence], groups: Sequence[SeedGroup] = ()) -> Document:
    """Return the dynamics of one or more runs: curves, layers, survival, hubs, early bird, and means over seeds.

    Parameters
    ----------
    results
        The dynamics of each run.
    groups
        The runs that differ only in the seed, together.
    """
    data = {"runs": [result.to_dict() for result in results], "groups": [group.to_dict() for group in groups]}
    beginning, names = short_names([result.run for result in results])
    short = dict(zip((result.run for result in results), names, strict=True))
    curve = _curve_table(results, data["runs"])
    tables = (
        _of_one(results[0], curve, data["runs"][0]) if len(results) == 1 else runs_tables(results, short, beginning)
    )
    tables = [*(table for group in groups for table in group_tables(group)), *tables]
    notes = (*_NOTES, *group_notes(groups))
    return Document("emergence", data, tuple(named(table, short) for table in tables), notes, records=curve)


def _of_one(result: Emergence, curve: Table, told: dict[str, Any]) -> list[Table]:
    keep = [
        place
        for place, epoch in enumerate(result.epochs)
        if epoch in (result.emergence_epoch, result.emergence_epoch_beyond_initial)
    ]
    rows = tuple(thinned(curve.rows, keep))
    line = sparkline([point.kappa for point in result.curve])
    title = f"{curve.title}\nkappa, 0 to 1: {line}{thinning_words(len(rows), len(curve.rows))}"
    curve, constant = without_constant_null(curve, result)
    return [
        dataclasses.replace(curve, title=title, rows=rows),
        *([Table("Beside random masks", (), (), null_sentence(result) + constant)] if result.trials else []),
        layer_table([result]),
        Table("Births", (), (), turnover_sentence(result)),
        _survival_table(result, told),
        _hub_table(result),
        Table("Early bird: settled, told without the final mask", (), (), early_bird_sentence(result)),
    ]


def _curve_table(results: Sequence[Emergence], told: Sequence[dict[str, Any]]) -> Table:
    several = len(results) > 1
    hubs = {side: f"hub_kappa_{side}" for side in SIDES}
    drawn = any(run["null"] for run in told)
    records = [
        {"run": run["run"], **point}
        | {key: run["hubs"][side]["kappa"][place] for side, key in hubs.items()}
        | null_cells(point["null"])
        for run in told
        for place, point in enumerate(run["curve"])
    ]
    columns = (
        Column("run", shown=several),
        Column("epoch", kind="count"),
        Column("lr", kind="rate", shown=any(record["lr"] is not None for record in records)),
        Column("kappa", kind="rate"),
        *null_columns(drawn),
        Column("kappa_beyond_initial", "beyond", "rate", like="kappa"),
        Column("jaccard", "Jaccard", "rate", shown=False),
        Column("intersection_share", "share", "rate", shown=False),
        Column("expected_share", "chance", "rate", shown=False),
        Column("active", kind="count", shown=False),
        Column("births", kind="count"),
        Column("deaths", kind="count"),
        Column("turnover", kind="rate", shown=False),
        Column("expected_turnover", kind="rate", shown=False),
        Column("regrowth", kind="count", shown=False),
        Column("expected_regrowth", kind="rate", shown=False),
        Column("regrowth_share", "regrown", "rate"),
        Column("expected_regrowth_share", "chance", "rate", like="regrowth_share"),
        Column("regrowth_z", kind="rate", shown=False),
        Column("exploration", "explored", "rate"),
        Column("expected_exploration", kind="rate", shown=False),
        *(Column(key, kind="rate", shown=False) for key in hubs.values()),
    )
    title = "Overlap with the final mask" + ("" if several else f": {results[0].run}")
    return Table.of_records(title, columns, records, "" if several else sentence(results[0]))


def _survival_table(result: Emergence, told: dict[str, Any]) -> Table:
    return Table.of_records(
        "Share of spells that last longer",
        (
            Column("duration", "epochs", "count"),
            Column("at_risk", "at risk", "count"),
            Column("survival", "share", "rate"),
            Column("low", "95 %", "rate", until="high", like="survival"),
            Column("high", kind="rate"),
            Column("expected_survival", "chance", "rate", like="survival"),
        ),
        _shown(told["survival"]["curve"]),
        survival_sentence(result),
    )


def _shown(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the last point of a survival curve, and the first ones as long as the durations to be shown."""
    ended = [point for point in points if point["duration"]]
    found = [next((p for p in ended if p["duration"] >= duration), None) for duration in _SHOWN_DURATIONS]
    places = {point["duration"]: point for point in (*found, *ended[-1:]) if point is not None}
    return [places[duration] for duration in sorted(places)]


def _hub_table(result: Emergence) -> Table:
    records = []
    for fan_out, fan_in in zip(*(result.hubs[side].layers for side in SIDES), strict=True):
        record: dict[str, Cell] = {"name": fan_out.name}
        for side, layer in zip(SIDES, (fan_out, fan_in), strict=True):
            record |= {f"{side}_hubs": layer.hubs[-1], f"{side}_units": layer.units}
            record |= {f"{side}_kappa": layer.kappa[0], f"{side}_z": layer.z[0]}
        records.append(record)
    sides = [
        column
        for side, units in zip(SIDES, ("inputs", "outputs"), strict=True)
        for column in (
            Column(f"{side}_units", units, "count"),
            Column(f"{side}_hubs", "hubs", "count", joined=True),
            Column(f"{side}_kappa", "kappa", "rate", joined=True),
            Column(f"{side}_z", "z", "rate", joined=True),
        )
    ]
    return Table.of_records(HUBS, (Column("name", "layer"), *sides), records, hubs_sentence(result))


HUBS = (
    "Hubs: the tenth of a layer's units with most active weights, ties included;\n"
    "inputs by fan-out, outputs by fan-in; kappa = those of the first snapshot\n"
    "against the final ones"
)
