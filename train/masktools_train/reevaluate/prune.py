"""Structural robustness: prune a trained network further, without fine-tuning."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools.runs import Run, open_run
from masktools.structure.connectivity import connectivity_of
from masktools.structure.reevaluation import PrunePoint, PruneResult
from masktools_train.devices import pick_device
from masktools_train.evaluation import evaluate
from masktools_train.reevaluate.restored import Restored
from masktools_train.seeding import derive
from masktools_train.selection import top_k_mask

__all__ = ["CRITERIA", "SCOPES", "SHARES", "prune"]

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Shares of the active weights that are kept, unless told otherwise."""


def _magnitude(weights: Mapping[str, Tensor], random: torch.Generator) -> dict[str, Tensor]:
    """Keep the largest absolute values."""
    del random
    return {name: weight.abs() for name, weight in weights.items()}


def _random(weights: Mapping[str, Tensor], random: torch.Generator) -> dict[str, Tensor]:
    """Keep at random."""
    return {name: torch.rand(weight.shape, generator=random, dtype=torch.float64) for name, weight in weights.items()}


CRITERIA: Mapping[str, Callable[[Mapping[str, Tensor], torch.Generator], dict[str, Tensor]]] = {
    "magnitude": _magnitude,
    "random": _random,
}
"""What is kept: scores of at least 0, the largest stay. A new criterion is its function and one line here."""

_RANDOM = frozenset({"random"})
"""Criteria whose scores differ from draw to draw."""


def _globally(scores: Mapping[str, Tensor], share: float, active: Mapping[str, int]) -> dict[str, Tensor]:
    """Let all layers compete."""
    kept = top_k_mask(torch.cat([score.reshape(-1) for score in scores.values()]), round(share * sum(active.values())))
    parts = torch.split(kept, [score.numel() for score in scores.values()])
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _by_layer(scores: Mapping[str, Tensor], share: float, active: Mapping[str, int]) -> dict[str, Tensor]:
    """Keep the same share of every layer."""
    return {name: top_k_mask(score, round(share * active[name])) for name, score in scores.items()}


SCOPES: Mapping[str, Callable[[Mapping[str, Tensor], float, Mapping[str, int]], dict[str, Tensor]]] = {
    "global": _globally,
    "layer": _by_layer,
}
"""Whether layers compete."""


def prune(
    run: str | Path | Run,
    *,
    criterion: str = "magnitude",
    scope: str = "global",
    shares: Sequence[float] = SHARES,
    epoch: int | None = None,
    draws: int = 5,
    seed: int = 0,
    device: str = "auto",
) -> PruneResult:
    """Prune a trained network further and measure what is left, without any training.

    Parameters
    ----------
    run
        A run trained from a recipe.
    criterion
        A key of `CRITERIA`.
    scope
        A key of `SCOPES`.
    shares
        Shares of the active weights to keep, each from 0 to 1.
    epoch
        Which snapshot; None is the last.
    draws
        Number of random orders, for a criterion that is random.
    seed
        Seed of the random orders. The orders are nested: what a smaller share keeps, a larger one keeps too.
    device
        ``auto``, ``cpu`` or ``cuda:N``.

    Raises
    ------
    RecipeError
        If an option is unknown or out of range.
    RunError
        If there is no such run, or it records no recipe.
    """
    for kind, name, registry in (("criterion", criterion, CRITERIA), ("scope", scope, SCOPES)):
        if name not in registry:
            raise RecipeError(f"{kind} {name!r} is unknown; choose from {', '.join(registry)}")
    if not shares or any(not 0 <= share <= 1 for share in shares):
        raise RecipeError(f"shares must lie between 0 and 1, got {list(shares)}")
    if draws < 1:
        raise RecipeError(f"draws must be at least 1, got {draws}")
    opened = run if isinstance(run, Run) else open_run(run)
    source = Restored(opened, opened.at(epoch), pick_device(device))
    model = source.model()
    masks, state, topology = source.masks(), source.state_of(source.snapshot), source.snapshot.topology
    weights = {name: state[name] for name in masks}
    active = {name: int(mask.sum()) for name, mask in masks.items()}
    size = sum(mask.numel() for mask in masks.values())
    draws = draws if criterion in _RANDOM else 1

    orders = [_scores(criterion, weights, masks, seed, draw) for draw in range(draws)]
    parameters = dict(model.named_parameters())
    curve = []
    for share in sorted(set(shares), reverse=True):
        accuracies, effective, left = [], [], 0
        for scores in orders:
            kept = SCOPES[scope](scores, share, active)
            left = sum(int(mask.sum()) for mask in kept.values())
            with torch.no_grad():
                for name, mask in kept.items():
                    parameters[name].copy_(weights[name] * mask)
            accuracies.append(evaluate(model, source.data).accuracy)
            if topology is not None:
                found = connectivity_of(topology, {name: mask.numpy() for name, mask in kept.items()})
                effective.append(found.total.effective_density)
        curve.append(PrunePoint(left / size, left, tuple(accuracies), tuple(effective) if effective else None))
    return PruneResult(
        run=str(opened.path),
        epoch=source.snapshot.epoch,
        criterion=criterion,
        scope=scope,
        draws=draws,
        chance_accuracy=source.chance_accuracy,
        curve=tuple(curve),
    )


def _scores(
    criterion: str, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor], seed: int, draw: int
) -> dict[str, Tensor]:
    """Return scores in which every inactive weight comes last."""
    random = torch.Generator().manual_seed(derive(seed, "prune", draw))
    scores = CRITERIA[criterion](weights, random)
    return {name: torch.where(masks[name], score, -math.inf) for name, score in scores.items()}
