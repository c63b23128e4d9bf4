"""Open the files of a checkpoint, whatever wrote them."""

from collections.abc import Mapping
from pathlib import Path

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint, Tree, arrays_of
from masktools.importers.npz_file import read_npz
from masktools.importers.safetensors_file import read_safetensors
from masktools.importers.sources import Source, find_sources
from masktools.snapshot.streamed import StreamedArray

__all__ = ["open_checkpoint"]


def _tree(container: str, path: Path) -> Tree:
    if container == "safetensors":
        return read_safetensors(path)
    if container == "npz":
        return read_npz(path)
    from masktools_train.importing.torch_files import read_torch  # torch takes a second; other files do without

    return read_torch(path)


def open_checkpoint(source: Source, *, key: str | None = None, masks: Path | None = None) -> Checkpoint:
    """Open a checkpoint; its arrays are read when they are asked for.

    Parameters
    ----------
    source
        Its files.
    key
        Where in the file the network is; None looks for it.
    masks
        A file with the masks.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or holds no network or several.
    """
    tree = _tree(source.container, source.file)
    beside: Mapping[str, StreamedArray] | None = None
    if masks is not None:
        if source.masks is not None:
            raise CheckpointError(f"{source.path}: has masks of its own, --masks has nothing to add")
        found = find_sources(masks)
        if len(found) > 1 or found[0].masks is not None:
            raise CheckpointError(f"{masks}: is a replicate of open_lth; give the file with the masks (--masks)")
        beside = _masks(masks, _tree(found[0].container, found[0].file))
    elif source.masks is not None:
        beside = _masks(source.masks, _tree("torch", source.masks))
    return Checkpoint.of(str(source.path), source.container, tree, key, beside)


def _masks(path: Path, tree: Tree) -> Mapping[str, StreamedArray]:
    """Return the masks of a file, at the top or under the only key that holds arrays."""
    place: Tree = tree
    while not arrays_of(place):
        inner = [value for value in place.values() if isinstance(value, Mapping)]
        if len(inner) != 1:
            raise CheckpointError(f"{path}: holds no masks by name")
        place = inner[0]
    return arrays_of(place)
