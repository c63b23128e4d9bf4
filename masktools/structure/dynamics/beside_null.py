"""The approach of a run to its final mask beside random masks: each epoch's mask is drawn, the final one is held."""

import functools
from collections.abc import Mapping

from masktools.nulls.shuffles import Masks
from masktools.nulls.trial import TOTAL, DrawPlan, Numbers, Trial, Weights, run_trial
from masktools.runs import Run
from masktools.statistics.chance import Chance, stratified_kappa
from masktools.structure.degrees import degrees
from masktools.structure.dynamics.hubs import SIDES, hub_set
from masktools.structure.pair_measure import PairMeasure
from masktools.structure.source import recorded

__all__ = ["approach_trials", "hub_kappas"]


def approach_trials(run: Run, plan: DrawPlan) -> tuple[Trial, ...]:
    """Measure the agreement of each snapshot with the final one, and that of random masks in its place.

    Parameters
    ----------
    run
        A run.
    plan
        Which random masks to draw of each snapshot. A null that keeps degrees tells an approach of hubs from one of the
        wiring.

    Returns
    -------
    tuple of Trial
        One a snapshot, with the metrics ``kappa`` and ``intersection`` by layer and in total, and ``hub_kappa_fan_out``
        and ``hub_kappa_fan_in`` in total.

    Raises
    ------
    StructureError
        If the axes of a layer are of unknown meaning.
    """
    final = recorded(run.final)
    groups = run.final.topology.groups if run.final.topology else {}
    measure = functools.partial(_measure, PairMeasure(final.masks, degrees=False), groups)
    return tuple(
        run_trial(measure, moment.masks, plan, groups=groups, fixed=moment.fixed) for moment in map(recorded, run)
    )


def hub_kappas(final: Masks, masks: Masks, groups: Mapping[str, int]) -> dict[str, float | None]:
    """Return how far the hubs of two sets of masks agree, by side, all layers together.

    Parameters
    ----------
    final, masks
        Boolean masks of the same layers; those with fewer than two axes have no hubs.
    groups
        Number of groups of grouped convolutions by layer, 1 where nothing is said.
    """
    pairs: dict[str, list[tuple[Chance, int]]] = {side: [] for side in SIDES}
    for name, mask in masks.items():
        if mask.ndim < 2:
            continue
        here, there = (degrees(side, groups.get(name, 1)) for side in (mask, final[name]))
        for side, a, b in zip(SIDES, map(hub_set, here), map(hub_set, there), strict=True):
            pairs[side].append((Chance(a.size, int(a.sum()), int(b.sum())), int((a & b).sum())))
    return {side: stratified_kappa(found) for side, found in pairs.items()}


def _measure(approach: PairMeasure, groups: Mapping[str, int], masks: Masks, weights: Weights | None) -> Numbers:
    hubs = hub_kappas(approach.masks, masks, groups)
    return {**approach(masks, weights), **{(f"hub_kappa_{side}", TOTAL): value for side, value in hubs.items()}}
