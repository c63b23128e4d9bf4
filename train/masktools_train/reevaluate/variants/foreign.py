"""The original weights under the mask of another run."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from masktools.errors import RecipeError, SnapshotError
from masktools.structure.alignment.matching import align
from masktools.structure.values.trained import has_weights
from masktools.topology.graph import Topology
from masktools_train.initialization import Start
from masktools_train.reevaluate.fixed import masks_digest
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.variants.variant import Asked, Variant

__all__ = ["VARIANTS"]


def _other_masks(asked: Asked) -> dict[str, Tensor]:
    run, own = asked.other_run(), asked.source.masks()
    masks = {name: torch.from_numpy(mask.to_bool()) for name, mask in run.final.masks().items()}
    shapes, theirs = ({name: tuple(mask.shape) for name, mask in each.items()} for each in (own, masks))
    if shapes != theirs:
        name = next(name for name in {**shapes, **theirs} if shapes.get(name) != theirs.get(name))
        raise RecipeError(
            f"{run.path}: is of another network: layer {name} is {theirs.get(name, 'missing')} there and "
            f"{shapes.get(name, 'missing')} in {asked.source.run.path}"
        )
    return masks


def _other(asked: Asked) -> Start:
    """Start with the other mask as it is."""
    return Start(state=asked.initial_state(), masks=_other_masks(asked))


def _other_aligned(asked: Asked) -> Start:
    """Start with the other mask, its hidden units in the order in which the trained weights agree best with ours."""
    topology = _alignable(asked)
    masks, source, other = _other_masks(asked), asked.source, asked.other_run()
    ours, theirs = (
        {name: np.where(mask.numpy(), state[name].numpy(), 0) for name, mask in each.items()}
        for each, state in (
            (source.masks(), Restored.state_of(source.snapshot)),
            (masks, Restored.state_of(other.final)),
        )
    )
    moved = align(ours, theirs, topology).apply({name: mask.numpy() for name, mask in masks.items()})
    aligned = {name: torch.from_numpy(np.ascontiguousarray(moved[name])) for name in masks}
    return Start(state=asked.initial_state(), masks=aligned)


def _alignable(asked: Asked) -> Topology:
    """Return the graph to align along, of two networks whose weights are known."""
    asked.initial()
    for snapshot in (asked.source.snapshot, asked.other_run().final):
        if not has_weights(snapshot):
            raise SnapshotError(f"{snapshot.path}: was written without weights, which tell how to align it")
    topology = asked.source.snapshot.topology
    if topology is None:
        raise RecipeError(
            f"variant 'other-aligned': {asked.source.snapshot.path} holds no operator graph to align along"
        )
    return topology


def _options(asked: Asked) -> dict[str, Any]:
    return {"other": asked.other_run().name, "other_digest": masks_digest(_other_masks(asked))}


VARIANTS = (
    Variant(
        "other",
        "the original weights under the final mask of another run",
        _other,
        draws_weights=False,
        options=_options,
        check=Asked.initial,
    ),
    Variant(
        "other-aligned",
        "the same, its hidden units put in the order that fits this run best",
        _other_aligned,
        draws_weights=False,
        options=_options,
        check=_alignable,
    ),
)
"""As in Adnan et al., Sparse Training from Random Initialization: Aligning Lottery Ticket Masks (2025)."""
