"""Every format that can be imported: a new one is its file and one line here."""

from collections.abc import Mapping

from masktools.errors import CheckpointError
from masktools.importers.beside import NPZ, SAFETENSORS, SHRINKBENCH
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.hidden_networks import HIDDEN_NETWORKS
from masktools.importers.mask_file import MASK_FILE, OPEN_LTH
from masktools.importers.parametrizations import PARAMETRIZATIONS
from masktools.importers.parts import ImportFormat
from masktools.importers.rigl_reproducibility import RIGL_REPRODUCIBILITY
from masktools.importers.rigl_torch import RIGL_TORCH
from masktools.importers.soft_threshold import SOFT_THRESHOLD
from masktools.importers.torch_prune import TORCH_PRUNE
from masktools.importers.zeros import DENSE, ZEROS

__all__ = ["FORMATS", "find_format"]

FORMATS: Mapping[str, ImportFormat] = {
    "open-lth": OPEN_LTH,
    "masks": MASK_FILE,
    "rigl-torch": RIGL_TORCH,
    "rigl-reproducibility": RIGL_REPRODUCIBILITY,
    "torch-prune": TORCH_PRUNE,
    "parametrizations": PARAMETRIZATIONS,
    "hidden-networks": HIDDEN_NETWORKS,
    "str": SOFT_THRESHOLD,
    "shrinkbench": SHRINKBENCH,
    "safetensors": SAFETENSORS,
    "npz": NPZ,
    "dense": DENSE,
    "zeros": ZEROS,
}
"""By name, in the order in which they are asked: what is particular comes first."""


def find_format(checkpoint: Checkpoint, name: str = "auto", density: float | None = None) -> str:
    """Return the name of the format of a checkpoint.

    Parameters
    ----------
    checkpoint
        What was read.
    name
        A key of `FORMATS`, or ``auto``.
    density
        What was asked for: with one, plain weights are ``dense``.

    Raises
    ------
    CheckpointError
        If the name is unknown, the checkpoint is none of that format, or a density is wanting.
    """
    if name not in ("auto", *FORMATS):
        raise CheckpointError(f"--format {name!r} is unknown; choose from auto, {', '.join(FORMATS)}")
    if name == "auto":
        found = next(key for key, form in FORMATS.items() if form.recognises(checkpoint))
        found = "dense" if found == "zeros" and density is not None else found
    else:
        found = name
        if name != "dense" and not FORMATS[name].recognises(checkpoint):
            raise CheckpointError(f"{checkpoint.name}: is not of format {name}, which reads {FORMATS[name].reads}")
    if FORMATS[found].needs_density and density is None:
        raise CheckpointError(f"{checkpoint.name}: format {found} holds no masks; say with --density how many weights")
    return found
