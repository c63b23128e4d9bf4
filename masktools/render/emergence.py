"""Emergence results as documents."""

from collections.abc import Sequence

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.numbers import rate
from masktools.structure.dynamics.emergence import Emergence, LayerEmergence

__all__ = ["emergence_document", "sentence"]

_FREEZE = (
    "a decaying learning rate freezes masks by itself; an early emergence is a finding only against a run "
    "whose learning rate stays up."
)
_SHARE = "share = part of the final mask that is active at this epoch; chance = the same for an independent mask."


def emergence_document(results: Sequence[Emergence]) -> Document:
    """Return the emergence of one or more runs: the curves, then the epochs layer by layer."""
    several = len(results) > 1
    curve = [{"run": result.run, **point} for result in results for point in result.to_dict()["curve"]]
    layers = [{"run": result.run, **_layer(layer)} for result in results for layer in result.layers]
    run = Column("run", shown=several)
    threshold = f"{results[0].threshold:g}"
    tables = (
        Table.of_records(
            "Overlap with the final mask" if several else f"Overlap with the final mask: {results[0].run}",
            (
                run,
                Column("epoch", kind="count"),
                Column("kappa", kind="rate"),
                Column("jaccard", "Jaccard", "rate"),
                Column("intersection_share", "share", "rate"),
                Column("expected_share", "chance", "rate"),
                Column("active", kind="count", shown=not several),
                Column("births", kind="count"),
                Column("deaths", kind="count"),
            ),
            curve,
            " ".join(sentence(result, named=several) for result in results),
        ),
        Table.of_records(
            f"Epoch from which on kappa stays at {threshold} or above",
            (
                run,
                Column("name", "layer"),
                Column("final_density", "final dens.", "rate"),
                Column("initial_kappa", "first kappa", "rate"),
                Column("emergence_epoch", "emergence", "count"),
                Column("reason", "remark"),
            ),
            layers,
            _layers_sentence(results),
        ),
    )
    return Document("emergence", {"runs": [result.to_dict() for result in results]}, tables, (_SHARE, _FREEZE))


def _layer(layer: LayerEmergence) -> dict[str, Cell]:
    return {
        "name": layer.name,
        "final_density": layer.final_active / layer.size if layer.size else None,
        "initial_kappa": layer.kappa[0],
        "emergence_epoch": layer.emergence_epoch,
        "reason": f"{layer.undefined} at the end" if layer.undefined else "",
    }


def sentence(result: Emergence, named: bool = False) -> str:
    """Return in words when a run found its final mask, and how much of it was there at first."""
    first, last = result.curve[0], result.curve[-1]
    name = f"{result.run}: " if named else ""
    if result.emergence_epoch is None:
        return f"{name}Emergence is not defined, because every final layer is dense or empty."
    if result.emergence_epoch == last.epoch:
        when = f"only the last snapshot (epoch {last.epoch}) is there: the mask was still changing"
    else:
        when = f"from epoch {result.emergence_epoch} on, of {last.epoch}"
    return (
        f"{name}kappa with the final mask reaches {result.threshold:g} for good {when}; at epoch {first.epoch} "
        f"kappa = {rate(first.kappa)} (chance 0), with {rate(first.intersection_share)} of the final mask in place "
        f"against {rate(first.expected_share)} by chance."
    )


def _layers_sentence(results: Sequence[Emergence]) -> str:
    epochs = [layer.emergence_epoch for result in results for layer in result.layers]
    defined = [epoch for epoch in epochs if epoch is not None]
    if not defined:
        return "No layer has an emergence epoch, because every final layer is dense or empty."
    skipped = len(epochs) - len(defined)
    rest = f"; not defined for {skipped} dense or empty" if skipped else ""
    first, last = min(defined), max(defined)
    span = f"at epoch {first}" if first == last else f"between epochs {first} and {last}"
    return f"Layers reach kappa = {results[0].threshold:g} (chance 0) for good {span}{rest}."
