"""One network pruned to one share: a part that can be done in any process, and need not be done twice."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from masktools.runs import open_run
from masktools_train.devices import pick_device
from masktools_train.progress import Observer
from masktools_train.reevaluate.pruned_network import Left, Treatment
from masktools_train.reevaluate.pruned_runs import FineTuning
from masktools_train.reevaluate.pruning_criteria import CRITERIA, criterion_scores
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.trained_network import TrainedNetwork
from masktools_train.selection import top_k_mask

__all__ = ["SCOPES", "Pruner", "Pruning", "forget", "measure", "pruner"]


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


@dataclasses.dataclass(frozen=True)
class Pruning:
    """How a network is pruned, and what is done with what is left, whatever the share.

    Parameters
    ----------
    run, epoch
        Run directory or snapshot, and epoch of the trained network.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    criterion
        A key of `masktools_train.reevaluate.pruning_criteria.CRITERIA`.
    scope
        A key of `SCOPES`.
    seed
        Seed of random orders.
    examples
        Training examples that a criterion looks at.
    recalibration_examples
        How many training examples batch norms are recalibrated on at most; None does not.
    tuning
        How each network is trained on; None does not.
    """

    run: Path
    epoch: int
    device: str
    criterion: str
    scope: str
    seed: int
    examples: int
    recalibration_examples: int | None
    tuning: FineTuning | None


class Pruner:
    """A trained network and the orders in which its weights go.

    Parameters
    ----------
    pruning
        What to prune, and how.

    Attributes
    ----------
    network
        The trained network.
    treatment
        What is done with what is left of it.

    Raises
    ------
    RecipeError
        If there is nothing to recalibrate, or the model code builds another network now.
    RunError
        If there is no such run, or it records no recipe.
    SnapshotError
        If the snapshot cannot be read or holds no weights.
    """

    def __init__(self, pruning: Pruning) -> None:
        run = open_run(pruning.run)
        self.network = TrainedNetwork(Restored(run, run.at(pruning.epoch), pick_device(pruning.device)))
        self.treatment = Treatment(self.network, pruning.recalibration_examples, pruning.tuning)
        self._pruning = pruning
        self._orders: dict[int, dict[str, Tensor]] = {}

    def order(self, draw: int) -> dict[str, Tensor]:
        """Return the scores of the weights, by layer.

        Raises
        ------
        RunError
            As `masktools_train.reevaluate.pruning_criteria.criterion_scores` does.
        """
        if draw not in self._orders:
            pruning, network = self._pruning, self.network
            # Scores are those of the trained network, and a part of it may be what was measured last.
            network.keep(network.masks)
            self._orders[draw] = criterion_scores(
                CRITERIA[pruning.criterion], network, examples=pruning.examples, seed=pruning.seed, draw=draw
            )
        return self._orders[draw]

    def measure(self, share: float, draw: int, out: Path | None, observer: Observer | None) -> Left:
        """Prune to a share, and do with what is left what is asked."""
        pruning = self._pruning
        chosen = CRITERIA[pruning.criterion]
        kept = SCOPES[pruning.scope](self.order(draw), share, self.network.active)
        options: dict[str, float] = {"share": share}
        if chosen.random:
            options |= {"seed": pruning.seed, "draw": draw}
        elif chosen.looks_at_data:
            options["examples"] = pruning.examples
        return self.treatment.measure(kept, f"prune-{pruning.criterion}-{pruning.scope}", options, out, observer)


def pruner(pruning: Pruning) -> Pruner:
    """Return a pruner; the last one asked for is kept, with its data, until `forget` is called.

    Raises
    ------
    RecipeError, RunError, SnapshotError
        As `Pruner` does.
    """
    snapshot = open_run(pruning.run).at(pruning.epoch)
    return _pruner(pruning, snapshot.path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _pruner(pruning: Pruning, written: int) -> Pruner:
    del written  # a run that was trained anew is another one
    return Pruner(pruning)


def forget() -> None:
    """Let go of what `pruner` keeps."""
    _pruner.cache_clear()


def measure(pruning: Pruning, share: float, draw: int, out: Path | None, observer: Observer | None = None) -> Left:
    """Prune a network to one share and measure it; what is written there already is not done again.

    Parameters
    ----------
    pruning
        What to prune, and how.
    share
        Share of the active weights to keep.
    draw
        Number of the random order; 0 for a criterion that is not random.
    out
        Run directory to write, or None.
    observer
        Who watches the training.

    Returns
    -------
    Left
        What is left of the network.

    Raises
    ------
    RecipeError, RunError, SnapshotError, TrainingError
        As `masktools_train.train` does, and if `out` holds another run.
    """
    return pruner(pruning).measure(share, draw, out, observer)
