"""Networks pruned with `torch.nn.utils.prune`: ``NAME_orig`` times ``NAME_mask`` is computed in every pass."""

from typing import TYPE_CHECKING

from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts, checked_mask

if TYPE_CHECKING:
    from masktools.snapshot.streamed import StreamedArray

__all__ = ["TORCH_PRUNE"]

_ORIGINAL, _MASK = "_orig", "_mask"


def _names(checkpoint: Checkpoint) -> list[str]:
    arrays = checkpoint.arrays
    bare = (name.removesuffix(_ORIGINAL) for name in arrays if name.endswith(_ORIGINAL))
    return [name for name in bare if f"{name}{_MASK}" in arrays]


def _recognises(checkpoint: Checkpoint) -> bool:
    return bool(_names(checkpoint))


def _parts(checkpoint: Checkpoint) -> Parts:
    arrays: dict[str, StreamedArray] = {}
    masks: dict[str, StreamedArray | None] = {}
    known = set(_names(checkpoint))
    for name, array in checkpoint.arrays.items():
        bare = name.removesuffix(_ORIGINAL)
        if name.endswith(_ORIGINAL) and bare in known:
            arrays[bare] = array
            masks[bare] = checked_mask(checkpoint, bare, checkpoint.arrays[f"{bare}{_MASK}"], array)
        elif name.removesuffix(_MASK) not in known:
            arrays[name] = array
    return Parts(arrays, masks)


TORCH_PRUNE = ImportFormat(
    "`torch.nn.utils.prune`", "`NAME_orig` and `NAME_mask` of every pruned parameter", _recognises, _parts
)
"""Source: `torch.nn.utils.prune.BasePruningMethod.apply`."""
