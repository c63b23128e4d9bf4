"""The null ladder: kinds of random masks, each of which keeps more of a real one than the rung before."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.nulls.curveball import degree_shuffle
from masktools.nulls.freedom import Moves, across, degree_moves, each, layer_moves, neuron_moves, tap_moves
from masktools.nulls.shuffles import Masks, global_shuffle, layer_shuffle, neuron_shuffle, tap_shuffle

__all__ = ["LADDER", "Drawn", "Null", "find_null"]

Drawn = dict[str, NDArray[np.bool_]]
Draw = Callable[[Masks, np.random.Generator, Mapping[str, int]], Drawn]


@dataclasses.dataclass(frozen=True)
class Null:
    """One rung of the ladder.

    Parameters
    ----------
    name
        What it is called.
    keeps
        What of a mask is left, in words.
    within
        Within what the values of weights move when masks with values are drawn.
    draw
        Draws masks: from masks, a source of randomness, and the number of groups of grouped convolutions by layer.
    moves
        Which layers a draw can change at all: from masks and the number of groups by layer. The others are no test.
    walk
        Whether a draw is a walk that starts from the masks it is given. All draws of a test then start from a
        common point that is itself a walk away from the observed masks.
    """

    name: str
    keeps: str
    within: Literal["network", "layer", "unit", "kernel"]
    draw: Draw
    moves: Moves
    walk: bool = False


LADDER: Mapping[str, Null] = {
    null.name: null
    for null in (
        Null(
            "global",
            "number of active weights of the network",
            "network",
            lambda masks, rng, _: global_shuffle(masks, rng),
            across,
        ),
        Null(
            "layer",
            "and of every layer",
            "layer",
            lambda masks, rng, _: layer_shuffle(masks, rng),
            each(layer_moves),
        ),
        Null(
            "neuron",
            "and of every output unit (fan-in)",
            "unit",
            lambda masks, rng, _: neuron_shuffle(masks, rng),
            each(neuron_moves),
        ),
        Null("degree", "and of every input unit (fan-out)", "unit", degree_shuffle, each(degree_moves), walk=True),
        Null(
            "tap",
            "and of every kernel (channel graph)",
            "kernel",
            lambda masks, rng, _: tap_shuffle(masks, rng),
            each(tap_moves),
        ),
    )
}
"""Every rung, from the one that keeps least to the one that keeps most."""


def find_null(name: str) -> Null:
    """Return a rung by its name.

    Raises
    ------
    StructureError
        If there is none of this name.
    """
    if name not in LADDER:
        raise StructureError(f"null {name!r} is unknown; there are {', '.join(LADDER)}")
    return LADDER[name]
