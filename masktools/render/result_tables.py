"""The rows of results that no command writes as they are."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from masktools.nulls.trial import Trial
from masktools.render.document import Column, Table
from masktools.render.emergence import emergence_document
from masktools.render.emergence_groups import group_curve
from masktools.render.robustness_groups import groups_records
from masktools.render.training import training_document
from masktools.structure.configuration import flatten
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.groups import Emergences, SeedGroup
from masktools.structure.robustness_groups import RobustnessGroup

__all__ = [
    "alignment_table",
    "emergence_table",
    "emergences_table",
    "layers_table",
    "persistence_table",
    "robustness_table",
    "seeds_table",
    "sides_table",
    "single_row",
    "survival_table",
    "tails_table",
    "training_table",
    "trial_table",
]


class _Told(Protocol):
    """A result that says of itself what it holds."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""


def _table(records: Sequence[Mapping[str, Any]]) -> Table:
    """Return records as rows; a name that a record lacks leaves its cell empty."""
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table("", tuple(map(Column, names)), tuple(tuple(map(record.get, names)) for record in records), "")


def single_row(result: _Told) -> Table:
    """Return a result of a few numbers as one row."""
    return _table([flatten(result.to_dict())])


def layers_table(result: _Told) -> Table:
    """Return a row a layer, the total last."""
    told = result.to_dict()
    return _table([*told["layers"], told["total"]])


def persistence_table(result: _Told) -> Table:
    """Return the persistence of each layer, a row each."""
    return _table([{"name": name, **layer} for name, layer in result.to_dict()["layers"].items()])


def sides_table(result: _Told) -> Table:
    """Return a row for the output units of a layer (fan-in) and one for its input units (fan-out)."""
    return _table([{"side": side, **(told or {})} for side, told in result.to_dict().items()])


def tails_table(result: _Told) -> Table:
    """Return the tail of each side, a row each, with the comparisons in columns that begin with the other model."""
    records = []
    for side, told in result.to_dict().items():
        record = {"side": side, **(told or {})}
        for found in record.pop("comparisons", ()):
            record |= {f"{found['model']}_{key}": value for key, value in flatten(found).items() if key != "model"}
        records.append(record)
    return _table(records)


def survival_table(result: _Told) -> Table:
    """Return a survival function, a row a duration."""
    return _table(result.to_dict()["curve"])


def alignment_table(result: _Told) -> Table:
    """Return where each unit goes, a row a unit: the unit of the second network that comes to a place of the first."""
    return _table(
        [
            {"group": number, "place": place, "unit": unit}
            for number, group in enumerate(result.to_dict()["groups"])
            for place, unit in enumerate(group["permutation"])
        ]
    )


def trial_table(result: Trial) -> Table:
    """Return each number beside its null, a row a metric and layer."""
    return _table(
        [{"metric": metric, "layer": layer, **level.to_dict()} for (metric, layer), level in result.levels.items()]
    )


def emergence_table(result: Emergence) -> Table:
    """Return the curve of a run, a row an epoch."""
    return emergence_document([result]).rows_for_programs


def emergences_table(result: Emergences) -> Table:
    """Return the curves of several runs, a row a run and epoch."""
    return emergence_document(result.runs, result.groups).rows_for_programs


def seeds_table(result: SeedGroup) -> Table:
    """Return the mean curve of runs that differ in the seed, a row an epoch."""
    return group_curve(result)


def robustness_table(result: RobustnessGroup) -> Table:
    """Return the mean curve of runs of one algorithm, a row a share kept."""
    return groups_records([result])


def training_table(result: _Told) -> Table:
    """Return what a training ended with, as one row."""
    return training_document([result.to_dict()]).rows_for_programs
