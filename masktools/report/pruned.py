"""Networks beside runs that were pruned further: their accuracies and what of them is connected, as curves."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from masktools.errors import StructureError
from masktools.report.again import Again, chance_accuracies
from masktools.runs import Run
from masktools.structure.measures.network import Network
from masktools.structure.robustness import PrunePoint, PruneResult
from masktools.structure.source import recorded

__all__ = ["LARGE", "pruned_results"]

LARGE = 2_000_000
"""Weights of a network beyond which nothing is computed that takes longer than reading it."""

_Way: TypeAlias = tuple[str, ...]
"""Criterion, scope, and in words all else by which accuracies are of different things."""


def pruned_results(run: Run, found: Sequence[Again]) -> dict[str, PruneResult]:
    """Return the curves of a run that was pruned further, by how that was done.

    Parameters
    ----------
    run
        The run.
    found
        Its re-evaluations.

    Returns
    -------
    dict
        Accuracies are those in the end, after fine-tuning where there was some. The accuracy of guessing is NaN where
        neither the run nor what was pruned records it. Densities of what is on a path are those of the pruned
        networks; None where they hold no operator graph, or have more than `LARGE` weights.
    """
    gathered: dict[_Way, dict[float, dict[tuple[object, object], Again]]] = {}
    for again in found:
        options = again.origin.get("options", {})
        share = options.get("share")
        if again.pruned and isinstance(share, int | float):
            points = gathered.setdefault(_way(run, again), {})
            # The same network may lie there twice: only random orders are repeated measurements.
            points.setdefault(float(share), {}).setdefault((options.get("seed"), options.get("draw")), again)
    chances = chance_accuracies([run, *(again.run for again in found)])
    chance = chances[0] if len(chances) == 1 else math.nan
    results = {}
    for (criterion, scope, *words), shares in gathered.items():
        curve = {share: tuple(draws.values()) for share, draws in sorted(shares.items(), reverse=True)}
        first = next(iter(curve.values()))[0]
        results[", ".join([f"{criterion} ({scope})", *words])] = dataclasses.replace(
            _of_run(run, first.origin.get("epoch"), chance),
            criterion=criterion,
            scope=scope,
            draws=max(map(len, curve.values())),
            curve=tuple(_point(share, each) for share, each in curve.items()),
            finetune_epochs=_number(first.origin.get("options", {}), "finetune_epochs") or None,
        )
    return results


def _way(run: Run, again: Again) -> _Way:
    """Return how a run was pruned: what is different here is not to be averaged."""
    options = again.origin.get("options", {})
    _, criterion, scope = str(again.origin["variant"]).split("-", 2)
    epoch, looked, anew, epochs = again.origin.get("epoch"), *(_number(options, key) for key in _COUNTS)
    optimizer = again.run.config.get("optimizer")
    lr = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    at = f" at a learning rate of {lr:g}" if isinstance(lr, int | float) else ""
    return (
        criterion,
        scope,
        *([f"network of epoch {epoch}"] if epoch not in (None, run.final.epoch) else []),
        *([f"by {looked:,} examples"] if looked else []),
        *([f"batch norms recalibrated on {anew:,} examples"] if anew else []),
        f"then {epochs} epoch{'' if epochs == 1 else 's'} of fine-tuning{at}" if epochs else "without fine-tuning",
    )


_COUNTS = ("examples", "recalibration_examples", "finetune_epochs")


def _number(options: Mapping[str, Any], key: str) -> int:
    return int(options.get(key) or 0)


def _of_run(run: Run, epoch: object, chance: float) -> PruneResult:
    trained = run.at(epoch) if isinstance(epoch, int) and epoch in run.epochs else run.final
    algorithm = run.config.get("algorithm")
    return PruneResult(
        run=str(run.path),
        epoch=trained.epoch,
        algorithm=str(algorithm.get("name", "unknown")) if isinstance(algorithm, dict) else "unknown",
        variant=None,
        active=trained.active,
        size=sum(layer.size for layer in trained.layers.values()),
        criterion="",
        scope="",
        draws=1,
        chance_accuracy=chance,
        curve=(),
    )


def _point(share: float, found: Sequence[Again]) -> PrunePoint:
    first = found[0]
    accuracies = tuple(again.accuracy for again in found)
    return PrunePoint(share, first.density, first.active, accuracies, _known(_effective(again.run) for again in found))


def _known(densities: Iterable[float | None]) -> tuple[float, ...] | None:
    """Return them all, or None if one is not known: a mean over the others would be of something else."""
    found = []
    for density in densities:
        if density is None:
            return None
        found.append(density)
    return tuple(found)


def _effective(run: Run) -> float | None:
    """Return the share of the weights of a pruned network that lies on a path, None where that is not known."""
    final = run.final
    size = sum(layer.size for layer in final.layers.values())
    if not 0 < size <= LARGE:
        return None
    moment = recorded(run)
    try:
        effective = Network(moment.topology, moment.masks).effective
    except StructureError:
        return None
    return sum(int(np.count_nonzero(mask)) for mask in effective.values()) / size
