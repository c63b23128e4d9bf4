"""When a run finds its final mask, and how its structure moves until then: one pass over the snapshots."""

import dataclasses
import math
import os
from collections.abc import Iterable, Iterator, Mapping

from masktools.errors import StructureError
from masktools.masks import PackedMask
from masktools.nulls.trial import DrawPlan
from masktools.runs import Run
from masktools.snapshot.content import AXES
from masktools.snapshot.read import Snapshot
from masktools.structure.dynamics.approach import ApproachCounter
from masktools.structure.dynamics.beside_null import approach_trials
from masktools.structure.dynamics.curve import CurvePoint, curve_point, emergence_epoch
from masktools.structure.dynamics.early_bird import EarlyBirdCounter
from masktools.structure.dynamics.emergence_result import Emergence, LayerEmergence
from masktools.structure.dynamics.hubs import HubCounter
from masktools.structure.dynamics.spell_counter import SpellCounter
from masktools.structure.dynamics.turnover import Turnover, TurnoverCounter
from masktools.structure.overlap import check_same_layers
from masktools.structure.source import as_run, recorded

__all__ = ["Emergence", "LayerEmergence", "emergence", "emergence_epoch", "emergence_of"]


def emergence(
    run: Run | str | os.PathLike[str],
    threshold: float = 0.9,
    window: int = 5,
    *,
    null: str | None = None,
    draws: int = 199,
    seed: int = 0,
    jobs: int = 1,
) -> Emergence:
    """Return when a run found its final mask, and how it moved until then.

    A decaying learning rate freezes masks by itself: weights that hardly move keep their ranks. An early
    emergence is a finding only against a run whose learning rate stays up. The rates that the run's log
    holds stand beside the curve.

    Parameters
    ----------
    run
        A run directory or an opened run, with at least two snapshots.
    threshold
        Kappa that counts as having arrived, above 0 and at most 1.
    window
        Number of masks that have to agree for an early bird, at least 2.
    null
        What random masks keep of each snapshot's: a rung of the null ladder (`masktools.nulls.ladder.LADDER`). None
        draws none: agreement has an exact chance level without, that of independent masks with the same number of
        weights in every layer.
    draws, seed, jobs
        Number of random masks of each snapshot, what they follow from, and the number of processes.

    Returns
    -------
    Emergence
        The emergence epoch, of each layer too, and one point of the curve a snapshot.

    Raises
    ------
    StructureError
        If there are fewer than two snapshots, the threshold lies outside (0, 1], the window is too short, or layers
        change.
    RunError, SnapshotError
        If the run cannot be read.
    """
    plan = None if null is None else DrawPlan(null, draws, seed, jobs)
    run = as_run(run)
    if len(run) < 2:
        raise StructureError(f"{run.path}: emergence needs at least two snapshots, there is {len(run)}")
    final = recorded(run.final).packed

    def snapshots() -> Iterator[tuple[int, Mapping[str, PackedMask]]]:
        for snapshot in run[:-1]:
            yield snapshot.epoch, recorded(snapshot).packed
        yield run.final.epoch, final

    found = emergence_of(
        snapshots(),
        final,
        threshold,
        str(run.path),
        window=window,
        rates=_rates(run),
        groups=_groups(run.final),
    )
    return found if plan is None else dataclasses.replace(found, trials=approach_trials(run, plan))


def emergence_of(
    snapshots: Iterable[tuple[int, Mapping[str, PackedMask]]],
    final: Mapping[str, PackedMask],
    threshold: float = 0.9,
    label: str = "run",
    *,
    window: int = 5,
    rates: Mapping[int, float] | None = None,
    groups: Mapping[str, int] | None = None,
) -> Emergence:
    """Return when a sequence of masks arrived at the final one, and how it moved until then.

    Parameters
    ----------
    snapshots
        Epoch and masks by layer name, in order of epochs; the last one holds the final masks. They are
        taken one by one, so only a window of them is in memory.
    final
        The final masks.
    threshold
        As for `emergence`.
    label
        What the run is called.
    window
        As for `emergence`.
    rates
        Learning rate by epoch, where it is known.
    groups
        Number of groups by layer name, 1 but for grouped convolutions, of the layers whose hubs to follow: their axes
        are outputs, inputs, kernel. None takes every layer with two axes or more for one without groups.

    Raises
    ------
    StructureError
        If the threshold lies outside (0, 1], the window is shorter than 2, layers change, epochs do not ascend, there
        is no snapshot, or the last one does not hold the final masks.

    Notes
    -----
    The emergence epoch is the smallest t with kappa(t', T) >= threshold for **all** t' >= t, T the last
    epoch: a curve that reaches the threshold and dips below again has not arrived. Since kappa(T, T) is 1,
    it is at most T; an emergence epoch of T says that no earlier snapshot had arrived.

    For a layer whose final mask is dense or empty it is not defined: kappa(T, T) is then undefined. For
    every other layer kappa is defined at each epoch, and 0 while the layer is dense or empty, as in the
    first levels of iterated pruning. The same holds for kappa over all layers, which is undefined at an
    epoch only if every layer is dense in both masks or empty in both.
    """
    if not 0 < threshold <= 1:
        raise StructureError(f"threshold must lie above 0 and at most 1, got {threshold}")
    names = tuple(final)
    if groups is None:
        groups = {name: 1 for name, mask in final.items() if len(mask.shape) > 1}
    approach, turnovers, hubs = ApproachCounter(final), TurnoverCounter(names), HubCounter(final, groups)
    spells = SpellCounter({name: mask.size for name, mask in final.items()})
    early = EarlyBirdCounter(names, window, threshold)
    curve: list[CurvePoint] = []
    changes: dict[str, list[Turnover]] = {name: [] for name in names}
    masks: Mapping[str, PackedMask] = {}
    for epoch, masks in snapshots:
        check_same_layers(masks, final, (f"{label} (epoch {epoch})", f"{label} (last epoch)"))
        if curve and epoch <= curve[-1].epoch:
            raise StructureError(f"{label}: epoch {epoch} comes after epoch {curve[-1].epoch}")
        pairs, beyond = approach.add(masks)
        changed, total = turnovers.add(masks)
        spells.add(masks)
        early.add(epoch, masks)
        hubs.add(masks)
        for name in names:
            changes[name].append(changed[name])
        curve.append(curve_point(epoch, pairs, total, beyond, (rates or {}).get(epoch)))
    if not curve:
        raise StructureError(f"{label}: no snapshots")
    if any(masks[name] != mask for name, mask in final.items()):
        raise StructureError(f"{label}: the last snapshot (epoch {curve[-1].epoch}) does not hold the final masks")
    epochs = [point.epoch for point in curve]
    settled, tables = early.result(), spells.tables(epochs)
    layers = tuple(
        LayerEmergence(
            name=name,
            emergence_epoch=emergence_epoch(epochs, approach.kappa[name], threshold),
            undefined="empty" if not mask.active else "dense" if mask.active == mask.size else None,
            size=mask.size,
            final_active=mask.active,
            kappa=tuple(approach.kappa[name]),
            kappa_beyond_initial=tuple(approach.kappa_beyond_initial[name]),
            emergence_epoch_beyond_initial=emergence_epoch(epochs, approach.kappa_beyond_initial[name], threshold),
            early_bird_epoch=settled.layers[name],
            turnover=tuple(changes[name]),
            spells=tables[name],
        )
        for name, mask in final.items()
    )
    overall = emergence_epoch(epochs, [point.kappa for point in curve], threshold)
    return Emergence(label, threshold, overall, layers, tuple(curve), settled, hubs.result())


def _rates(run: Run) -> dict[int, float]:
    """Return the learning rate by epoch where the log holds a number."""
    found = {}
    for record in run.metrics:
        epoch, rate = record.get("epoch"), record.get("lr")
        if isinstance(rate, int | float) and not isinstance(rate, bool) and math.isfinite(rate):
            found[epoch] = float(rate)
    return {epoch: rate for epoch, rate in found.items() if isinstance(epoch, int)}


def _groups(snapshot: Snapshot) -> dict[str, int]:
    """Return the groups of the layers whose axes are known; one group where no operator graph tells."""
    known = [
        name
        for name, layer in snapshot.layers.items()
        if sorted(layer.axes.split(",")) == sorted(AXES.get(len(layer.shape), "").split(",")) != [""]
    ]
    groups = snapshot.topology.groups if snapshot.topology else {}
    return {name: groups.get(name, 1) for name in known}
