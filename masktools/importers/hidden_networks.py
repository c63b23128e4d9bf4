"""Hidden networks (edge-popup): weights that were never trained, and a score for each."""

from typing import TYPE_CHECKING

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts

if TYPE_CHECKING:
    from masktools.snapshot.streamed import StreamedArray

__all__ = ["HIDDEN_NETWORKS"]

_SCORES = ".scores"


def _recognises(checkpoint: Checkpoint) -> bool:
    arrays = checkpoint.arrays
    return any(name.endswith(_SCORES) and f"{name.removesuffix(_SCORES)}.weight" in arrays for name in arrays)


def _parts(checkpoint: Checkpoint) -> Parts:
    arrays = {name: array for name, array in checkpoint.arrays.items() if not name.endswith(_SCORES)}
    scores: dict[str, StreamedArray] = {}
    for name, score in checkpoint.arrays.items():
        if not name.endswith(_SCORES):
            continue
        weight = f"{name.removesuffix(_SCORES)}.weight"
        if weight not in arrays or arrays[weight].shape != score.shape or score.dtype.kind != "f":
            raise CheckpointError(f"{checkpoint.name}: {name}: belongs to no weight of shape {score.shape}")
        scores[weight] = score
    return Parts(arrays, scores=scores)


HIDDEN_NETWORKS = ImportFormat(
    "hidden-networks",
    "`MODULE.weight` and `MODULE.scores`; the weights with the largest scores (in magnitude) are active (`--density`)",
    _recognises,
    _parts,
    needs_density=True,
)
"""Source: ``SubnetConv`` in https://github.com/allenai/hidden-networks, whose prune rate is the share that it keeps."""
