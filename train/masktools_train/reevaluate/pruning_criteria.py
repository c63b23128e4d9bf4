"""What is pruned first: scores of the weights of a trained network, in one registry."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from masktools.errors import RunError
from masktools.structure.values.scores import CRITERIA as MASK_CRITERIA
from masktools.structure.values.scores import LayerValues
from masktools.structure.values.trained import initial_weights
from masktools_train.evaluation_mode import evaluating
from masktools_train.reevaluate.trained_network import TrainedNetwork
from masktools_train.seeding import derive

__all__ = ["CRITERIA", "PruningCriterion", "criterion_scores", "loss_gradients"]

Scores = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class PruningCriterion:
    """One way to order the active weights of a network.

    Parameters
    ----------
    name
        Its name.
    scores
        From the network, the number of training examples to look at, and a source of randomness to scores by layer, on
        the CPU; those of inactive weights do not matter. The largest stay.
    random
        Whether scores differ from draw to draw.
    looks_at_data
        Whether they depend on training examples.
    """

    name: str
    scores: Callable[[TrainedNetwork, int, torch.Generator], Scores]
    random: bool = False
    looks_at_data: bool = False


def _magnitude(network: TrainedNetwork, examples: int, random: torch.Generator) -> Scores:
    """Keep the largest absolute values."""
    del examples, random
    return {name: weight.abs() for name, weight in network.weights.items()}


def _random(network: TrainedNetwork, examples: int, random: torch.Generator) -> Scores:
    """Keep at random."""
    del examples
    return {name: torch.rand(w.shape, generator=random, dtype=torch.float64) for name, w in network.weights.items()}


def _movement(network: TrainedNetwork, examples: int, random: torch.Generator) -> Scores:
    """Keep what training moved farthest from its initial value.

    ``|w_f - w_i|`` as in Zhou et al., arXiv 1905.01067, by the definition of `masktools.structure.values.scores`. It is
    not the movement pruning of Sanh et al., arXiv 2005.07683, which sums up gradients while it trains.
    """
    del examples, random
    run = network.source.run
    first = initial_weights(run)
    if first is None:
        raise RunError(
            f"{run.path}: criterion 'movement' needs the weights of epoch 0, all of them, and they are not recorded"
        )
    initial = {name: weight.astype("float32") for name, weight in first.weights().items()}
    score = MASK_CRITERIA["movement"].score
    assert score is not None  # noqa: S101  (only the random criterion has none)
    found: Scores = {}
    for name, weight in network.weights.items():
        if name not in initial or initial[name].shape != weight.shape:
            raise RunError(f"{run.path}: criterion 'movement': layer {name!r} is not the same in epoch 0")
        found[name] = torch.from_numpy(score(LayerValues(initial[name], weight.numpy())))
    return found


def _saliency(network: TrainedNetwork, examples: int, random: torch.Generator) -> Scores:
    """Keep what changes the loss most, to first order, when it is taken away: ``|w dL/dw|``.

    Molchanov et al., arXiv 1611.06440 and 1906.10771; at initialisation it is the score of SNIP (arXiv 1810.02340).
    """
    del random
    gradients = loss_gradients(network, *network.first_examples(examples))
    return {name: (weight.double() * gradients[name]).abs() for name, weight in network.weights.items()}


def loss_gradients(
    network: TrainedNetwork, inputs: Tensor, targets: Tensor, batch_size: int = 256
) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy by the weights of the layers.

    Parameters
    ----------
    network
        As its model is now, in evaluation mode.
    inputs, targets
        Examples, on the device.
    batch_size
        Examples at a time; but for rounding the result does not depend on it.

    Returns
    -------
    dict
        By layer, float64, on the CPU; 0 for a layer that the loss does not depend on.
    """
    parameters = network.parameters()
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in parameters]
    with evaluating(network.model), torch.enable_grad():
        for batch, labels in zip(torch.split(inputs, batch_size), torch.split(targets, batch_size), strict=True):
            loss = nn.functional.cross_entropy(network.model(batch), labels, reduction="sum")
            found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
            for total, gradient in zip(sums, found, strict=True):
                total += gradient
    return {name: (total / len(targets)).cpu() for name, total in zip(network.masks, sums, strict=True)}


_ALL = (
    PruningCriterion("magnitude", _magnitude),
    PruningCriterion("random", _random, random=True),
    PruningCriterion("movement", _movement),
    PruningCriterion("saliency", _saliency, looks_at_data=True),
)

CRITERIA: Mapping[str, PruningCriterion] = {criterion.name: criterion for criterion in _ALL}
"""Every criterion by name. A new one is its function and one line."""


def criterion_scores(
    criterion: PruningCriterion, network: TrainedNetwork, *, examples: int, seed: int, draw: int
) -> Scores:
    """Return scores in which every inactive weight comes last.

    Parameters
    ----------
    criterion
        One of `CRITERIA`.
    network
        With its trained weights in place.
    examples
        Training examples to look at.
    seed, draw
        What random scores follow from.

    Raises
    ------
    RunError
        If the score of an active weight is not finite, or the run lacks what the criterion needs.
    """
    random = torch.Generator().manual_seed(derive(seed, "prune", draw))
    found: Scores = {}
    for name, score in criterion.scores(network, examples, random).items():
        mask = network.masks[name]
        if not bool(torch.isfinite(score[mask]).all()):
            source = network.source
            raise RunError(
                f"{source.run.path}: criterion {criterion.name!r}: epoch {source.snapshot.epoch} has scores in layer "
                f"{name!r} that are not finite"
            )
        found[name] = torch.where(mask, score, -math.inf)
    return found
