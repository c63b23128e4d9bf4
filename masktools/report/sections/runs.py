"""What the runs are."""

from collections.abc import Mapping
from typing import Any

from masktools.render.document import Column, Table
from masktools.render.unfinished import unfinished_notes
from masktools.report.markup import clean, details, html_table
from masktools.report.material import Material
from masktools.runs import Run
from masktools.structure.configuration import flatten

__all__ = ["runs"]


def runs(material: Material) -> str:
    """Return a table of the runs, and their configurations."""
    columns = (
        Column("run"),
        Column("group"),
        Column("data"),
        Column("model"),
        Column("algorithm"),
        Column("seed"),
        Column("epochs", "snapshots"),
        Column("size", "weights", "count"),
        Column("active", "active at the end", "count"),
        Column("density", kind="rate"),
        Column("device"),
    )
    rows = tuple(_row(material, name, run) for name, group in material.groups for run in group)
    reading = "A group is runs whose configurations differ only in the seed; the density is that of the last snapshot."
    unfinished = "".join(f'<p class="missing">{clean(note)}</p>' for note in unfinished_notes(material.runs))
    return unfinished + html_table(Table("Runs", columns, rows, reading)) + _configurations(material)


def _row(material: Material, group: str, run: Run) -> tuple[Any, ...]:
    config, final = run.config, run.final
    size = sum(layer.size for layer in final.layers.values())
    first, last = run.epochs[0], run.epochs[-1]
    planned = f" of {run.planned_epoch}" if run.is_complete is False else ""
    return (
        material.name(run),
        group,
        *(_named(config, key) for key in ("data", "model", "algorithm")),
        str(config.get("seed", "-")),
        f"{len(run)} (epoch {first}{planned})" if first == last else f"{len(run)} (epochs {first} to {last}{planned})",
        size,
        final.active,
        final.active / size if size else None,
        str(run.info.get("device", "-")),
    )


def _named(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    return str(value.get("name", "-")) if isinstance(value, Mapping) else "-" if value is None else str(value)


def _configurations(material: Material) -> str:
    """Return the keys on which the groups differ, and folded away those that they share."""
    names = [name for name, _ in material.groups]
    flat = [flatten(group[0].config) for _, group in material.groups]
    for config in flat:
        config.pop("seed", None)
    keys = list(dict.fromkeys(key for config in flat for key in config))
    shared = [key for key in keys if all(str(config.get(key)) == str(flat[0].get(key)) for config in flat)]
    told = ""
    if different := [key for key in keys if key not in shared]:
        columns = (Column("key"), *(Column(name) for name in names))
        rows = tuple((key, *(str(config.get(key, "-")) for config in flat)) for key in different)
        told += html_table(Table("Configuration keys on which the groups differ", columns, rows, ""))
    if shared:
        rows = tuple((key, str(flat[0].get(key))) for key in shared)
        table = Table("Configuration keys that all runs share", (Column("key"), Column("value")), rows, "")
        told += details(f"Configuration: {len(shared)} keys that all runs share", html_table(table))
    return told
