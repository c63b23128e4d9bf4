"""Mask criteria: how well functions of a weight's initial and final value tell which weights a mask keeps."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.runs import Run
from masktools.snapshot.read import Snapshot
from masktools.statistics.ranking import Ranking, rank_scores, stratified_ranking
from masktools.structure.source import as_run
from masktools.structure.values.criteria_result import Criteria, CriterionResult, LayerCriterion
from masktools.structure.values.scores import CRITERIA, Criterion, LayerValues
from masktools.structure.values.trained import Moment, check_layers, has_weights, initial_weights, read_layer

__all__ = ["MaskedValues", "criteria", "criteria_of"]

_NO_INITIAL = "epoch 0 is not there with all its weights"


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedValues:
    """Mask and weights of one layer, all of one shape.

    Parameters
    ----------
    name
        Name of the layer.
    mask
        Boolean: the weights that the mask keeps.
    initial, final
        Weights before and after training; None where they are not known, in all layers alike.
    candidates
        Boolean: the weights to compare; None compares all.
    """

    name: str
    mask: NDArray[np.bool_]
    initial: NDArray[Any] | None
    final: NDArray[Any] | None
    candidates: NDArray[np.bool_] | None = None


def criteria(run: Run | str | os.PathLike[str], epoch: int | None = None, weights_epoch: int | None = None) -> Criteria:
    """Return how well each mask criterion orders the mask of a run.

    Parameters
    ----------
    run
        A run directory or an opened run, or a single snapshot.
    epoch
        Epoch of the mask; negative numbers count from the end, None is the last.
    weights_epoch
        Epoch of the final weights w_f. None takes the last one, up to that of the mask, at which all weights that the
        mask keeps and some that it leaves out had a trained value: the epoch of the mask where weights train behind
        it, and for iterated pruning the end of the level before, by whose weights the mask was chosen.

    Returns
    -------
    Criteria
        One entry a criterion, in the order of the registry; none where no weights could be used, and then why.

    Raises
    ------
    StructureError
        If neither w_i nor w_f of weights that the mask leaves out is stored, layers change, or a weight is not finite.
    RunError, SnapshotError
        If the run cannot be read or has no such epoch.

    Notes
    -----
    w_i are the weights of epoch 0. Only weights with a value that they were trained to are compared: where a mask was
    enforced in training, inactive weights are 0, and any function of w_f would restate the mask.
    """
    run = as_run(run)
    chosen, initial = run.at(epoch), initial_weights(run)
    check_layers(run, chosen, *(s for s in (initial,) if s))
    masks = {name: chosen.mask(name).reshape(-1) for name in chosen.layers}
    final, missing = _final(run, chosen, masks, None if weights_epoch is None else run.at(weights_epoch))
    if initial is None and final is None:
        raise StructureError(
            f"{run.path}: mask criteria need the values of weights that the mask leaves out, and neither epoch 0 nor "
            "a later one holds them; record with masktools train --set snapshot.weights=dense"
        )
    results = criteria_of(_layers(masks, initial, final), _NO_INITIAL, missing)
    counted = next((c.ranking for c in results if c.ranking is not None), None)
    compared = 0 if counted is None else counted.members + counted.others
    return Criteria(
        str(run.path),
        chosen.epoch,
        None if final is None else final.snapshot.epoch,
        chosen.size,
        compared,
        _note(final, masks, compared, missing)
        + ("" if initial else f" Criteria of w_i are not defined: {_NO_INITIAL}."),
        results,
    )


def criteria_of(
    layers: Iterable[MaskedValues], no_initial: str = "w_i is not known", no_final: str = "w_f is not known"
) -> tuple[CriterionResult, ...]:
    """Return how well each criterion orders the masks of some layers.

    Parameters
    ----------
    layers
        They are taken one by one, so only one needs to be in memory.
    no_initial, no_final
        What is noted at a criterion whose values are not known.

    Returns
    -------
    tuple of CriterionResult
        In the order of the registry.

    Raises
    ------
    StructureError
        If shapes within a layer differ.

    Notes
    -----
    The criteria are those of Zhou et al., arXiv 1905.01067; see `masktools.structure.values.scores`. The AUC is
    P(score active > score inactive) + P(equal) / 2, over all layers pairs within layers only.
    """
    found: dict[str, list[LayerCriterion]] = {name: [] for name in CRITERIA}
    unknown: dict[str, str] = {}
    for layer in layers:
        kept, values = _compared(layer)
        for name, criterion in CRITERIA.items():
            if criterion.needs_initial and layer.initial is None:
                unknown[name] = no_initial
            elif criterion.needs_final and layer.final is None:
                unknown[name] = no_final
            else:
                found[name].append(LayerCriterion(layer.name, _ranking(criterion, values, kept)))
    return tuple(
        CriterionResult(name, criterion.formula, None, note=unknown[name])
        if name in unknown
        else CriterionResult(
            name, criterion.formula, stratified_ranking(layer.ranking for layer in found[name]), tuple(found[name])
        )
        for name, criterion in CRITERIA.items()
    )


def _compared(layer: MaskedValues) -> tuple[NDArray[np.bool_], LayerValues]:
    """Return which of the compared weights the mask keeps, and their values."""
    arrays = [layer.mask, layer.initial, layer.final, layer.candidates]
    shapes = {array.shape for array in arrays if array is not None}
    if len(shapes) > 1:
        raise StructureError(f"layer {layer.name!r}: mask and weights have shapes {sorted(shapes)}")
    flat = [None if array is None else array.reshape(-1) for array in arrays]
    if layer.candidates is not None and not layer.candidates.all():
        which = np.flatnonzero(layer.candidates)
        flat = [None if array is None else array[which] for array in flat]
    mask, initial, final, _ = flat
    assert mask is not None  # noqa: S101  (for the type checker)
    return mask, LayerValues(initial, final)


def _ranking(criterion: Criterion, values: LayerValues, kept: NDArray[np.bool_]) -> Ranking:
    active = int(np.count_nonzero(kept))
    inactive = kept.size - active
    if criterion.score is None or not active or not inactive:
        # A random score orders nothing, on average: every pair counts one half.
        pairs = active * inactive
        return Ranking(active, inactive, pairs, 0, pairs, 0.0, 0.0)
    scores = criterion.score(values)
    return rank_scores(scores[kept], scores[~kept])


def _final(
    run: Run, chosen: Snapshot, masks: Mapping[str, NDArray[np.bool_]], asked: Snapshot | None
) -> tuple[Moment | None, str]:
    """Return where final weights come from, or None and why there are none."""
    if all(mask.all() or not mask.any() for mask in masks.values()):
        return None, f"every layer is dense or empty in the mask of epoch {chosen.epoch}"
    alone = len(run) == 1
    wanted = [asked] if asked else [s for s in reversed(run) if s.epoch <= chosen.epoch and (s.epoch > 0 or alone)]
    stored = [snapshot for snapshot in wanted if has_weights(snapshot)]
    for snapshot in stored:
        check_layers(run, chosen, snapshot)
        moment = Moment(run, snapshot)
        if moment.tells(masks, whole=asked is None):
            return moment, ""
    if not asked and chosen.epoch == 0 and not alone:
        return None, "the mask is that of epoch 0, when nothing has been trained yet"
    where = f"epoch {asked.epoch}" if asked else f"an epoch after 0 and up to {chosen.epoch}"
    if not stored:
        return None, f"no weights are stored in {where}"
    whose = (
        "both of weights that the mask keeps and of weights that it leaves out"
        if asked
        else "of all weights that the mask keeps and of some that it leaves out"
    )
    return None, (
        f"in {where} there are no trained values {whose}; masked weights were held at 0, left as they were, or not "
        "stored, and a score of w_f would restate the mask"
    )


def _layers(
    masks: Mapping[str, NDArray[np.bool_]], initial: Snapshot | None, final: Moment | None
) -> Iterator[MaskedValues]:
    for name, mask in masks.items():
        weight, known = (None, None) if final is None else final.layer(name)
        yield MaskedValues(name, mask, None if initial is None else read_layer(initial, name)[1], weight, known)


def _note(final: Moment | None, masks: Mapping[str, NDArray[np.bool_]], compared: int, missing: str) -> str:
    if final is None:
        return f"Criteria of w_f are not defined: {missing}."
    mixed = sum(mask.size for mask in masks.values() if mask.any() and not mask.all())
    epoch = final.snapshot.epoch
    if compared == mixed:
        return f"w_f are the weights of epoch {epoch}, where every weight that is compared has a trained value."
    return (
        f"w_f are the weights of epoch {epoch}. Compared are the {compared:,} of {mixed:,} weights that had a trained "
        "value then; the others were masked, and held at 0, left as they were, or not stored."
    )
