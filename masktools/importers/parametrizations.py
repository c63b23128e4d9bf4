"""Networks whose weights are parametrized with a mask: `torch.nn.utils.parametrize`."""

import re
from typing import TYPE_CHECKING

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts, checked_mask, masked

if TYPE_CHECKING:
    from masktools.snapshot.streamed import StreamedArray

__all__ = ["PARAMETRIZATIONS"]

_KEY = re.compile(r"(?P<module>(?:.*\.)?)parametrizations\.(?P<name>[^.]+)\.(?P<rest>.+)")
"""``layer.parametrizations.weight.original``, ``layer.parametrizations.weight.0.mask``."""


def _recognises(checkpoint: Checkpoint) -> bool:
    return any(_KEY.fullmatch(name) for name in checkpoint.arrays)


def _parts(checkpoint: Checkpoint) -> Parts:
    arrays: dict[str, StreamedArray] = {}
    steps: dict[str, dict[str, StreamedArray]] = {}
    for name, array in checkpoint.arrays.items():
        found = _KEY.fullmatch(name)
        if found is None:
            arrays[name] = array
            continue
        full = f"{found['module']}{found['name']}"
        steps.setdefault(full, {})[found["rest"]] = array
        if found["rest"] in ("original", "original0"):
            arrays[full] = array
    masks: dict[str, StreamedArray | None] = {}
    for name, parts in steps.items():
        odd = sorted(part for part in parts if not re.fullmatch(r"original0?|\d+\.mask", part))
        of_masks = [array for part, array in parts.items() if part.endswith(".mask")]
        if odd or not of_masks or name not in arrays:
            what = f"from {odd[0]!r} too" if odd else "by a function without a mask"
            raise CheckpointError(
                f"{checkpoint.name}: {name}: is computed {what}, which is not in the file as a number; take the "
                "parametrization off (torch.nn.utils.parametrize.remove_parametrizations) and save again"
            )
        first, *others = (checked_mask(checkpoint, name, mask, arrays[name]) for mask in of_masks)
        for other in others:
            first = masked(first, other)
        masks[name] = first
    return Parts(arrays, masks)


PARAMETRIZATIONS = ImportFormat(
    "`torch.nn.utils.parametrize`, with a module that has a buffer `mask`",
    "`parametrizations.NAME.original` (or `original0`) and `parametrizations.NAME.0.mask`; of several masks "
    "what all keep",
    _recognises,
    _parts,
)
"""Source: `torch.nn.utils.parametrize.ParametrizationList`."""
