"""Plain weights, without masks: what is 0 is inactive, or what is not among the largest."""

from masktools.importers.checkpoint import Checkpoint
from masktools.importers.parts import ImportFormat, Parts

__all__ = ["DENSE", "ZEROS"]


def _recognises(checkpoint: Checkpoint) -> bool:  # noqa: ARG001
    return True  # the last that is asked


def _never(checkpoint: Checkpoint) -> bool:  # noqa: ARG001
    return False  # chosen by a density, not by what is in the file


def _parts(checkpoint: Checkpoint) -> Parts:
    return Parts(checkpoint.arrays)


ZEROS = ImportFormat(
    "any program that saves a state dict (ITOP, sparse_learning, …)",
    "the arrays as they are; a weight is active where it is not 0",
    _recognises,
    _parts,
)

DENSE = ImportFormat(
    "DNW, GMP: dense weights that are sparsified in every pass",
    "the arrays as they are; the largest weights of each layer, or of all layers, are active (`--density`)",
    _never,
    _parts,
    needs_density=True,
)
"""Source: ``ChooseTopEdges`` in https://github.com/allenai/dnw: all but the largest magnitudes are taken for 0."""
