"""Masks that lie beside their weights: Shrinkbench, safetensors files, archives of NumPy."""

from typing import TYPE_CHECKING

from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts, checked_mask

if TYPE_CHECKING:
    from masktools.snapshot.streamed import StreamedArray

__all__ = ["NPZ", "SAFETENSORS", "SHRINKBENCH"]

_MASK = "_mask"


def _mask_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the name of the weight by the name of its mask."""
    arrays = checkpoint.arrays
    found = {
        name: name.removesuffix(_MASK) for name in arrays if name.endswith(_MASK) and name[: -len(_MASK)] in arrays
    }
    # A buffer called mask, as in many a module of one's own; where it has another shape, it is something else.
    for name in arrays:
        module, dot, last = name.rpartition(".")
        weight = f"{module}{dot}weight"
        if last == "mask" and weight in arrays and arrays[weight].shape == arrays[name].shape:
            found[name] = weight
    return found


def _parts(checkpoint: Checkpoint) -> Parts:
    names = _mask_names(checkpoint)
    arrays = {name: array for name, array in checkpoint.arrays.items() if name not in names}
    masks: dict[str, StreamedArray | None] = {
        weight: checked_mask(checkpoint, weight, checkpoint.arrays[mask], arrays.get(weight))
        for mask, weight in names.items()
    }
    return Parts(arrays, masks)


SHRINKBENCH = ImportFormat(
    "Shrinkbench, and modules with a buffer `mask`",
    "`MODULE.weight` and `MODULE.weight_mask` (or `MODULE.mask`), as under `model_state_dict`",
    lambda checkpoint: bool(_mask_names(checkpoint)) and checkpoint.container == "torch",
    _parts,
)
"""Source: ``LinearMasked`` in https://github.com/JJGO/shrinkbench."""

SAFETENSORS = ImportFormat(
    "safetensors: one file, shards with an `index.json`, a Hugging Face folder",
    "`NAME` and `NAME_mask`; without masks a weight is active where it is not 0, or with `--density` where it is large",
    lambda checkpoint: checkpoint.container == "safetensors",
    _parts,
)

NPZ = ImportFormat(
    "`numpy.savez`, `masktools export`",
    "`NAME` and `NAME_mask`; without masks a weight is active where it is not 0, or with `--density` where it is large",
    lambda checkpoint: checkpoint.container == "npz",
    _parts,
)
