"""New weights under a mask that shares only so much with the run's."""

import functools
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from masktools.errors import RecipeError
from masktools.nulls.ladder import LADDER
from masktools_train.budgets import erk
from masktools_train.initialization import Start, initial_model
from masktools_train.reevaluate.variants.variant import Asked, Variant
from masktools_train.seeding import numpy_generator
from masktools_train.sparse_layer import prunable_weights

__all__ = ["VARIANTS", "erk_counts"]


def _shuffled(asked: Asked, null: str) -> Start:
    """Start with a draw of a rung of the null ladder, and a new initialisation."""
    masks, free = _free(asked)
    drawn = LADDER[null].draw(free, numpy_generator(asked.seed, f"{null}-shuffle"), _groups(asked, free))
    return Start(masks={name: torch.from_numpy(np.ascontiguousarray(m)) for name, m in {**masks, **drawn}.items()})


def _must_move(asked: Asked, null: str) -> None:
    """Raise where every draw is the mask itself: the control would be variant ``new``."""
    free = _free(asked)[1]
    if not LADDER[null].moves(free, _groups(asked, free)):
        raise RecipeError(
            f"variant '{null}-shuffled': {asked.source.snapshot.path} holds the only mask that keeps as much, "
            "so nothing can be shuffled"
        )


def _free(asked: Asked) -> tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]]:
    """Return all masks, and those of layers that are not dense by choice."""
    masks = {name: mask.numpy() for name, mask in asked.source.masks().items()}
    layers = asked.source.snapshot.layers
    return masks, {name: mask for name, mask in masks.items() if layers[name].prunable}


def _groups(asked: Asked, masks: Mapping[str, NDArray[np.bool_]]) -> Mapping[str, int]:
    """Return the number of groups of each layer; from the model, which there is even where it cannot be traced."""
    if all(mask.ndim == 2 for mask in masks.values()):
        return {}
    source = asked.source
    model = initial_model(source.recipe, source.data.input_shape, source.data.classes)
    of = {id(getattr(module, "weight", None)): getattr(module, "groups", 1) for module in model.modules()}
    return {name: of.get(id(weight), 1) for name, weight in prunable_weights(model).items()}


def erk_counts(shapes: Mapping[str, tuple[int, ...]], active: int) -> dict[str, int]:
    """Return the counts of an ERK budget that sum to a given number exactly.

    Parameters
    ----------
    shapes
        Weight shape of each layer.
    active
        Number of active weights.

    Notes
    -----
    ERK rounds every layer up. What is too much is taken from the layers that it leaves sparse, one weight each, those
    with the most inactive weights first.
    """
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    if active == 0:
        return dict.fromkeys(shapes, 0)
    counts = erk(shapes, active / sum(sizes.values()))
    by_room = sorted(shapes, key=lambda name: counts[name] - sizes[name])
    while (surplus := sum(counts.values()) - active) != 0:
        change = -1 if surplus > 0 else 1
        possible = [name for name in by_room if 0 <= counts[name] + change <= sizes[name]]
        sparse = [name for name in possible if counts[name] < sizes[name]]
        for name in (sparse or possible)[: abs(surplus)]:
            counts[name] += change
    return counts


def _erk_random(asked: Asked) -> Start:
    """Start with a random mask of as many weights, spread over the layers by the ERK rule, and a new initialisation."""
    masks, free = _free(asked)
    counts = erk_counts({name: mask.shape for name, mask in free.items()}, sum(int(m.sum()) for m in free.values()))
    rng = numpy_generator(asked.seed, "erk-random")
    for name, mask in free.items():
        drawn = np.zeros(mask.size, dtype=np.bool_)
        drawn[rng.choice(mask.size, counts[name], replace=False, shuffle=False)] = True
        masks[name] = drawn.reshape(mask.shape)
    return Start(masks={name: torch.from_numpy(mask) for name, mask in masks.items()})


def _must_be_sparse(asked: Asked) -> None:
    masks = _free(asked)[1].values()
    if not 0 < sum(int(mask.sum()) for mask in masks) < sum(mask.size for mask in masks):
        raise RecipeError(
            f"variant 'erk-random': {asked.source.snapshot.path} keeps all weights or none, so there is no other mask"
        )


def _kept(place: int) -> str:
    """Say what a rung keeps: what all rungs before it do."""
    return " ".join(rung.keeps for rung in list(LADDER.values())[: place + 1])


VARIANTS = (
    *(
        Variant(
            f"{null.name}-shuffled",
            f"a random mask that keeps the {_kept(place)}; new weights",
            functools.partial(_shuffled, null=null.name),
            check=functools.partial(_must_move, null=null.name),
        )
        for place, null in enumerate(LADDER.values())
    ),
    Variant(
        "erk-random",
        "a random mask of as many weights, spread by ERK; new weights",
        _erk_random,
        check=_must_be_sparse,
    ),
)
