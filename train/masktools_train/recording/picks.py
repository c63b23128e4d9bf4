"""Axes of a tensor that pick elements along axes of a node without regular steps."""

import dataclasses
import itertools
import math

import torch
from torch import Tensor

from masktools_train.recording.errors import UnfollowedError
from masktools_train.recording.shadows import separate

__all__ = ["Pick", "picked", "shadow_of_picks"]


@dataclasses.dataclass(frozen=True)
class Pick:
    """An axis of a tensor that runs along one axis of a node.

    Parameters
    ----------
    axis
        The axis of the tensor.
    place
        The axis of the node.
    reads
        For each index along the axis of the tensor the one along the axis of the node.
    """

    axis: int
    place: int
    reads: tuple[int, ...]


def picked(shadow: Tensor, shape: tuple[int, ...]) -> list[Pick]:
    """Find the axes of a tensor along which steps are not even, and what they pick.

    Parameters
    ----------
    shadow
        The shadow of the tensor.
    shape
        Shape of the node.

    Raises
    ------
    UnfollowedError
        If such an axis moves along several axes of the node, or another runs along the same one.
    """
    separated = separate(shadow)
    if separated is None:
        raise UnfollowedError("moves elements in a way that cannot be followed")
    start, axes = separated
    elements = math.prod(shape)
    picks, used = [], []
    for axis, steps in enumerate(axes):
        rows = [_coordinates(start + step, (-1, *shape)) for step in steps]
        moving = [place - 1 for place in range(len(shape) + 1) if len({row[place] for row in rows}) > 1]
        used += moving
        uneven = len({after - before for before, after in itertools.pairwise(steps)}) > 1
        if uneven and len(moving) == 1 and moving[0] >= 0 and max(steps) - min(steps) < elements:
            picks.append(Pick(axis, moving[0], tuple(row[moving[0] + 1] for row in rows)))
    if not picks or any(used.count(pick.place) > 1 for pick in picks):
        raise UnfollowedError("moves elements in a way that cannot be followed")
    return picks


def shadow_of_picks(shadow: Tensor, shape: tuple[int, ...], picks: list[Pick]) -> Tensor:
    """Return the shadow on a node whose axes have been replaced by what is picked from them."""
    sizes = list(shape)
    for pick in picks:
        number = torch.arange(len(pick.reads))
        along = number.view([-1 if axis == pick.axis else 1 for axis in range(shadow.ndim)])
        inner = math.prod(sizes[pick.place + 1 :])
        outer = shadow // (inner * sizes[pick.place])
        sizes[pick.place] = len(pick.reads)
        shadow = (outer * len(pick.reads) + along) * inner + shadow % inner
    return shadow


def _coordinates(element: int, shape: tuple[int, ...]) -> list[int]:
    """Return the indices of an element of an array; the first axis has no end."""
    place = []
    for extent in reversed(shape[1:]):
        element, index = divmod(element, extent)
        place.append(index)
    return [element, *reversed(place)]
