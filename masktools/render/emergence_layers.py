"""When each layer found its final mask, as a table."""

from collections.abc import Sequence

from masktools.render.document import Cell, Column, Table
from masktools.render.sparkline import sparkline
from masktools.structure.dynamics.emergence_result import Emergence, LayerEmergence

__all__ = ["layer_table"]

_WIDTH, _NARROW = 24, 12
"""Characters of a curve, and where the table has the names of runs, too."""


def layer_table(results: Sequence[Emergence]) -> Table:
    """Return a row a layer, with the curve of its agreement with the final mask.

    Parameters
    ----------
    results
        The dynamics of each run; the column of runs is shown if there are several.
    """
    width = _WIDTH if len(results) == 1 else _NARROW
    return Table.of_records(
        f"Epoch from which on kappa stays at {results[0].threshold:g} or above",
        (
            Column("run", shown=len(results) > 1),
            Column("name", "layer"),
            Column("final_density", "density", "rate"),
            Column("curve", "kappa, 0 to 1", "curve"),
            Column("initial_kappa", "first", "rate"),
            Column("emergence_epoch", "emergence", "count"),
            Column("half_life", "half-life", "count"),
            Column("exploration", "explored", "rate", shown=False),
            Column("reason", "remark", shown=any(layer.undefined for result in results for layer in result.layers)),
        ),
        [{"run": result.run, **_layer(layer, width)} for result in results for layer in result.layers],
        _layers_sentence(results),
    )


def _layer(layer: LayerEmergence, width: int) -> dict[str, Cell]:
    return {
        "name": layer.name,
        "final_density": layer.final_active / layer.size if layer.size else None,
        "curve": sparkline(layer.kappa, width=width),
        "initial_kappa": layer.kappa[0],
        "emergence_epoch": layer.emergence_epoch,
        "half_life": layer.spells.survival.median,
        "exploration": layer.turnover[-1].exploration,
        "reason": f"{layer.undefined} at the end" if layer.undefined else "",
    }


def _layers_sentence(results: Sequence[Emergence]) -> str:
    epochs = [layer.emergence_epoch for result in results for layer in result.layers]
    defined = [epoch for epoch in epochs if epoch is not None]
    if not defined:
        return "No layer has an emergence epoch, because every final layer is dense or empty."
    skipped = len(epochs) - len(defined)
    rest = f"; not defined for {skipped} dense or empty" if skipped else ""
    first, last = min(defined), max(defined)
    span = f"at epoch {first}" if first == last else f"between epochs {first} and {last}"
    return (
        f"Layers reach kappa = {results[0].threshold:g} (chance 0) for good {span}{rest}. Half-life: epochs after "
        "which half of the stretches in which a weight is active have ended; - is one that was not reached."
    )
