"""What the paths are that someone gives: files, shards, folders."""

import dataclasses
import hashlib
import re
from pathlib import Path

from masktools.errors import CheckpointError
from masktools.importers.safetensors_file import INDEX, shards

__all__ = ["Source", "find_sources"]

_LEVEL = re.compile(r"level_(\d+)")
_MODEL = re.compile(r"model_ep(\d+)_it(\d+)\.pth")
_FOLDER = ("model.safetensors.index.json", "model.safetensors")
"""Where a Hugging Face folder has its weights."""


@dataclasses.dataclass(frozen=True)
class Source:
    """One checkpoint.

    Parameters
    ----------
    path
        What was given, or the level of it.
    container
        ``torch``, ``safetensors``, ``npz`` or ``open-lth``.
    file
        The file with the weights.
    masks
        The file with the masks, of ``open-lth``; else None.
    """

    path: Path
    container: str
    file: Path
    masks: Path | None = None

    def digest(self) -> str:
        """Return the digest (BLAKE2b, 32 hexadecimal digits) of all files of the checkpoint, one after the other."""
        digest = hashlib.blake2b(digest_size=16)
        files = shards(self.file) if self.container == "safetensors" else (self.file,)
        for path in (*files, *(() if self.masks is None else (self.masks,))):
            try:
                with path.open("rb") as file:
                    while data := file.read(2**20):
                        digest.update(data)
            except OSError as error:
                raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
        return digest.hexdigest()


def find_sources(path: Path) -> list[Source]:
    """Return the checkpoints that a path means: one, or one for each level of a replicate of open_lth.

    Parameters
    ----------
    path
        A file, a folder of Hugging Face, or a replicate's directory.

    Raises
    ------
    CheckpointError
        If there is nothing there that can be read.
    """
    if path.is_file():
        return [Source(path, _container(path), path)]
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such file or directory")
    levels = sorted((int(match[1]), each) for each in path.iterdir() if (match := _LEVEL.fullmatch(each.name)))
    if levels:
        return [_level(folder) for _, folder in levels]
    for name in _FOLDER:
        if (path / name).is_file():
            return [Source(path, "safetensors", path / name)]
    alone = sorted(path.glob("*.safetensors"))
    if len(alone) == 1:
        return [Source(path, "safetensors", alone[0])]
    raise CheckpointError(
        f"{path}: is a directory without {' or '.join(_FOLDER)}, and no replicate of open_lth (level_0, level_1, …); "
        "give the files themselves"
    )


def _container(path: Path) -> str:
    if path.name.endswith((".safetensors", INDEX)):
        return "safetensors"
    return "npz" if path.suffix.lower() == ".npz" else "torch"


def _level(folder: Path) -> Source:
    place = folder / "main"
    masks = place / "mask.pth"
    if not masks.is_file():
        raise CheckpointError(f"{masks}: is missing; a level of open_lth has one")
    models = [(int(m[1]), int(m[2]), each) for each in place.iterdir() if (m := _MODEL.fullmatch(each.name))]
    if not models:
        raise CheckpointError(f"{place}: holds no model_epE_itI.pth, so the weights of this level are not known")
    return Source(folder, "open-lth", max(models)[2], masks)
