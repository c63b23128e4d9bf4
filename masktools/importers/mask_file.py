"""Masks in a file of their own: given with ``--masks``, or in the folders of open_lth."""

from collections.abc import Mapping

from masktools.importers.checkpoint import PREFIXES, Checkpoint
from masktools.importers.parts import ImportFormat, Parts, checked_mask
from masktools.snapshot.streamed import StreamedArray

__all__ = ["MASK_FILE", "OPEN_LTH", "masks_by_name"]

_ENDINGS = ("_mask", ".mask")


def masks_by_name(checkpoint: Checkpoint, masks: Mapping[str, StreamedArray]) -> dict[str, StreamedArray | None]:
    """Return masks by the names of the weights that they fit.

    Parameters
    ----------
    checkpoint
        Holds the weights.
    masks
        By a name that is that of the weight, but for prefixes and the endings ``_mask`` and ``.mask``.

    Raises
    ------
    CheckpointError
        If there is no such weight, or one of another shape; and, when it is read, if it is no mask.
    """
    found: dict[str, StreamedArray | None] = {}
    for given, mask in masks.items():
        name = given
        while name not in checkpoint.arrays and name.startswith(PREFIXES):
            name = name.removeprefix(next(prefix for prefix in PREFIXES if name.startswith(prefix)))
        ending = next((end for end in _ENDINGS if name.endswith(end) and name not in checkpoint.arrays), "")
        name = name.removesuffix(ending)
        found[name] = checked_mask(checkpoint, name, mask, checkpoint.arrays.get(name))
    return found


def _recognises(checkpoint: Checkpoint) -> bool:
    return checkpoint.masks is not None and checkpoint.container != "open-lth"


def _parts(checkpoint: Checkpoint) -> Parts:
    return Parts(checkpoint.arrays, masks_by_name(checkpoint, checkpoint.masks or {}))


MASK_FILE = ImportFormat(
    "weights in one file, masks in another",
    "the arrays of SOURCE, and those of `--masks FILE` under the same names (or `NAME_mask`, `NAME.mask`)",
    _recognises,
    _parts,
)

OPEN_LTH = ImportFormat(
    "open_lth",
    "a replicate's directory: of every `level_L` its `main/mask.pth` and the last `main/model_epE_itI.pth`; a level "
    "is an epoch",
    lambda checkpoint: checkpoint.container == "open-lth",
    _parts,
)
"""Source: ``lottery/runner.py`` and ``pruning/mask.py`` in https://github.com/facebookresearch/open_lth."""
