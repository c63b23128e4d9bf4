"""Networks beside runs that were pruned further: their accuracies and what of them is connected, as curves."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

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

_Way: TypeAlias = tuple[str, int, int]


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
    gathered: dict[_Way, dict[float, list[Again]]] = {}
    for again in found:
        options = again.origin.get("options", {})
        share = options.get("share")
        if again.pruned and isinstance(share, int | float):
            way = (
                str(again.origin["variant"]),
                int(options.get("recalibration_examples") or 0),
                int(options.get("finetune_epochs") or 0),
            )
            gathered.setdefault(way, {}).setdefault(float(share), []).append(again)
    chances = chance_accuracies([run, *(again.run for again in found)])
    shared = _of_run(run, chances[0] if len(chances) == 1 else math.nan)
    results = {}
    for (variant, examples, epochs), shares in gathered.items():
        _, criterion, scope = variant.split("-", 2)
        afterwards = [
            *(["batch norms recalibrated"] if examples else []),
            f"then {epochs} epoch{'' if epochs == 1 else 's'} of fine-tuning" if epochs else "without fine-tuning",
        ]
        results[", ".join([f"{criterion} ({scope})", *afterwards])] = dataclasses.replace(
            shared,
            criterion=criterion,
            scope=scope,
            draws=max(len(each) for each in shares.values()),
            curve=tuple(_point(share, each) for share, each in sorted(shares.items(), reverse=True)),
            finetune_epochs=epochs or None,
        )
    return results


def _of_run(run: Run, chance: float) -> PruneResult:
    final = run.final
    algorithm = run.config.get("algorithm")
    return PruneResult(
        run=str(run.path),
        epoch=final.epoch,
        algorithm=str(algorithm.get("name", "unknown")) if isinstance(algorithm, dict) else "unknown",
        variant=None,
        active=final.active,
        size=sum(layer.size for layer in final.layers.values()),
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
