"""The reproducibility study of RigL: masks by name, beside the network and the state of the optimizer."""

from collections.abc import Mapping
from typing import Any

from masktools.importers.checkpoint import Checkpoint, arrays_of
from masktools.importers.mask_file import masks_by_name
from masktools.importers.parts import ImportFormat, Parts

__all__ = ["RIGL_REPRODUCIBILITY"]


def _masks(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    mask = checkpoint.tree.get("mask")
    masks = mask.get("masks") if isinstance(mask, Mapping) else None
    return masks if isinstance(masks, Mapping) and arrays_of(masks) else None


def _recognises(checkpoint: Checkpoint) -> bool:
    return _masks(checkpoint) is not None


def _parts(checkpoint: Checkpoint) -> Parts:
    return Parts(checkpoint.arrays, masks_by_name(checkpoint, arrays_of(_masks(checkpoint) or {})))


RIGL_REPRODUCIBILITY = ImportFormat(
    "rigl-reproducibility", "`model`, and `mask.masks` by the names of its parameters", _recognises, _parts
)
"""Source: ``save_weights`` in https://github.com/varun19299/rigl-reproducibility."""
