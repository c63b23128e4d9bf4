"""Layers, degrees and the network: of the first run of each group."""

from collections.abc import Sequence

from masktools.errors import MasktoolsError
from masktools.plots.canvas import axes_of
from masktools.plots.degrees import plot_degrees
from masktools.plots.layers import plot_layers
from masktools.plots.network import plot_network
from masktools.render.connectivity import sentence
from masktools.render.document import Cell, Column, Table
from masktools.report.inline import picture
from masktools.report.markup import html_table, missing, paragraph
from masktools.report.material import Material
from masktools.report.readings import degrees_reading
from masktools.runs import Run
from masktools.structure.degrees import degrees
from masktools.structure.source import recorded

__all__ = ["degree_distributions", "layers", "networks"]

_GROUPS, _LAYERS = 8, 4
"""Groups that are drawn, and layers of each."""


def _first(material: Material) -> str:
    """Say which runs are drawn."""
    left = len(material.groups) - _GROUPS
    words = "Drawn is the first run of each group." if len(material.runs) > len(material.groups) else ""
    return paragraph(words, f"{left} further groups are left out." if left > 0 else "") if words or left > 0 else ""


def layers(material: Material) -> str:
    """Return bars of the first runs, and a table of all runs."""
    drawn, rows = [], []
    errors: list[str] = []
    for place, (name, group) in enumerate(material.groups):
        for run in group:
            try:
                found = material.connectivity(run)
            except MasktoolsError as error:
                errors.append(str(error))
                continue
            rows += _rows(material.name(run), found.layers, found.total)
            if run is group[0] and place < _GROUPS:
                title = f"{name}: nominal and effective density of each layer."
                drawn.append(picture(plot_layers(found), f"layers-{place}", title, _caption(material, name, run)))
    columns = (
        Column("run"),
        Column("layer"),
        Column("density", "nominal density", "rate"),
        Column("effective", "effective density", "rate"),
        Column("part", "effective part", "rate"),
        Column("live", "live units", "count"),
        Column("ghost", "ghosts", "count"),
        Column("dead", "dead", "count"),
    )
    reading = "A weight is effective if it lies on a path from a network input to a network output."
    table = html_table(Table("Connectivity of the final masks", columns, tuple(rows), reading)) if rows else ""
    return _gallery(material, drawn, errors) + table


def _caption(material: Material, name: str, run: Run) -> str:
    """Say whose the picture is and how much of the mask is connected, beside random masks where they were drawn."""
    called = material.name(run)
    return f"{name if name == called else f'{name} ({called})'}: {sentence(material.connectivity(run))}"


def _gallery(material: Material, drawn: Sequence[str], errors: Sequence[str]) -> str:
    """Return pictures, and why those that are missing are not there: said once, however many they are."""
    more = f"; nor for {len(errors) - 1} other runs" if len(errors) > 1 else ""
    told = missing(f"{errors[0].rstrip('.')}{more}") if errors else ""
    return f'{_first(material)}<div class="plots">{"".join(drawn)}</div>{told}' if drawn else told


def _rows(name: str, found: tuple[object, ...], total: object) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for each in (*found, total):
        told = each.to_dict()  # type: ignore[attr-defined]
        active = told["active"]
        part = told["effective"] / active if active else None
        units = (told["live_out"], told["ghost_out"], told["dead_out"])
        rows.append((name, told.get("name", "all layers"), told["density"], told["effective_density"], part, *units))
    return rows


def degree_distributions(material: Material) -> str:
    """Return the fan-in of the largest sparse layers beside the binomial."""
    drawn, left = [], 0
    for place, (name, group) in enumerate(material.groups[:_GROUPS]):
        moment = recorded(group[0])
        try:
            masks = moment.masks
        except MasktoolsError as error:
            drawn.append(missing(str(error)))
            continue
        topology = moment.snapshot.topology
        groups = topology.groups if topology else {}
        sparse = [layer for layer, mask in masks.items() if mask.ndim > 1 and 0 < mask.sum() < mask.size]
        largest = sorted(sparse, key=lambda layer: -masks[layer].size)[:_LAYERS]
        left += len(sparse) - len(largest)
        for number, layer in enumerate(each for each in sparse if each in largest):
            ax = plot_degrees(masks[layer], axes_of(None, (3.7, 2.4)), groups=groups.get(layer, 1))
            title = f"{name}, {layer}: how many output units have how many active weights, beside the binomial."
            mask, parts = masks[layer], groups.get(layer, 1)
            reading = degrees_reading(degrees(mask, parts)[1], mask.size // len(mask))
            drawn.append(picture(ax, f"degrees-{place}-{number}", title, f"{name}, {layer}: {reading}"))
    if not drawn:
        return missing("no layer of two axes or more is sparse, and all units of a dense one have the same degree")
    words = paragraph(
        "Active weights into each output unit, beside the binomial of the same density: what is wider than it has "
        "hubs, and a bar at 0 is units without any.",
        f"Of each run the {_LAYERS} largest layers are shown, {left} are left out." if left else "",
    )
    return f'{_first(material)}{words}<div class="plots small">{"".join(drawn)}</div>'


def networks(material: Material) -> str:
    """Return drawings of the networks."""
    drawn: list[str] = []
    errors: list[str] = []
    for place, (name, group) in enumerate(material.groups[:_GROUPS]):
        try:
            ax = plot_network(group[0])
        except MasktoolsError as error:
            errors.append(str(error))
            continue
        title, caption = f"{name}: what of the network is connected.", _caption(material, name, group[0])
        drawn.append(picture(ax, f"network-{place}", title, caption))
    return _gallery(material, drawn, errors)
