"""rigl-torch: a list of masks in the order of the layers, without their names."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts, checked_mask
from masktools.snapshot.streamed import StreamedArray

__all__ = ["RIGL_TORCH"]

_MASKS, _SIZES = "backward_masks", "N"
_DEPTH = 3


def _state(tree: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any] | None:
    """Return the state of the scheduler, under whatever key it was saved."""
    if isinstance(tree.get(_MASKS), Sequence):
        return tree
    inner = (_state(value, depth + 1) for value in tree.values() if depth < _DEPTH and isinstance(value, Mapping))
    return next((found for found in inner if found is not None), None)


def _recognises(checkpoint: Checkpoint) -> bool:
    return _state(checkpoint.tree) is not None


def _parts(checkpoint: Checkpoint) -> Parts:
    state = _state(checkpoint.tree)
    if state is None:
        raise CheckpointError(f"{checkpoint.name}: has no {_MASKS}, the list of masks of rigl-torch")
    given: Sequence[StreamedArray | None] = state[_MASKS]
    sizes = state.get(_SIZES)
    if not isinstance(sizes, Sequence) or len(sizes) != len(given):
        sizes = [None] * len(given)
    arrays = checkpoint.arrays
    # What rigl-torch goes through: modules with a weight, of batch norms the one- and three-dimensional ones too.
    names = [name for name in arrays if name == "weight" or name.endswith(".weight")]
    plain = [name for name in names if f"{name.removesuffix('weight')}running_mean" not in arrays]
    chosen, ways = None, 0
    for candidates in (plain, names):
        if not ways and len(candidates) == len(given):
            pairs = zip(candidates, given, sizes, strict=True)
            if all(_fits(arrays[name], mask, size) for name, mask, size in pairs):
                chosen, ways = candidates, 1
    if not ways:
        fits = [
            [name for name in names if _fits(arrays[name], mask, size)] for mask, size in zip(given, sizes, strict=True)
        ]
        chosen, ways = _in_order(names, fits)
    if chosen is None or ways != 1:
        what = "fit the weights in more than one way" if ways else f"do not fit the {len(names)} weights in their order"
        raise CheckpointError(
            f"{checkpoint.name}: the {len(given)} masks of {_MASKS} {what}; save the masks by name, and give that file "
            "with --masks"
        )
    return Parts(
        arrays,
        {
            name: None if mask is None else checked_mask(checkpoint, name, mask, arrays[name])
            for name, mask in zip(chosen, given, strict=True)
        },
    )


def _fits(weight: StreamedArray, mask: StreamedArray | None, size: Any) -> bool:
    return weight.shape == mask.shape if mask is not None else size in (None, weight.size)


def _in_order(names: Sequence[str], fits: Sequence[Sequence[str]]) -> tuple[list[str] | None, int]:
    """Give each mask a weight that it fits, in the order of both; return one such way, and how many there are."""
    # ways[i][j]: how masks i, i+1, ... can be given to weights j, j+1, ...
    ways = [[0] * (len(names) + 1) for _ in fits] + [[1] * (len(names) + 1)]
    for i in range(len(fits) - 1, -1, -1):
        for j in range(len(names) - 1, -1, -1):
            ways[i][j] = ways[i][j + 1] + (ways[i + 1][j + 1] if names[j] in fits[i] else 0)
    if not ways[0][0]:
        return None, 0
    chosen, j = [], 0
    for i, fit in enumerate(fits):
        while not (names[j] in fit and ways[i + 1][j + 1]):
            j += 1
        chosen.append(names[j])
        j += 1
    return chosen, ways[0][0]


RIGL_TORCH = ImportFormat(
    "rigl-torch",
    "`pruner.backward_masks` beside the network: masks in the order of the layers, matched by shape; None is dense",
    _recognises,
    _parts,
)
"""Source: ``RigLScheduler.state_dict`` and ``get_W`` of rigl-torch 0.5.2."""
