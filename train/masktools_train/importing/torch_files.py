"""Read files of `torch.save` without running what is in them, and without loading tensors before they are needed."""

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Tree
from masktools.snapshot.streamed import PIECE, StreamedArray
from masktools_train.error_text import first_line

__all__ = ["read_torch"]

_SAFE_SINCE = (2, 6)
"""Before this version, a file could run code even with ``weights_only=True`` (CVE-2025-32434)."""

_GLOBAL = re.compile(r"GLOBAL (\S+)")
_TYPES: Mapping[torch.dtype, type[np.generic]] = {
    torch.float16: np.float16,
    torch.bfloat16: np.float32,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bool: np.bool_,
    torch.uint8: np.uint8,
    torch.int8: np.int8,
    torch.int16: np.int16,
    torch.int32: np.int32,
    torch.int64: np.int64,
}
"""What NumPy calls each element type; bfloat16, which it lacks, becomes float32."""


def read_torch(path: Path) -> Tree:
    """Return what a file holds, its tensors as arrays that are read when they are asked for.

    Parameters
    ----------
    path
        What `torch.save` wrote.

    Raises
    ------
    CheckpointError
        If it needs more than tensors and plain values, or is damaged.
    """
    version = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
    if version < _SAFE_SINCE:
        raise CheckpointError(
            f"{path}: torch {torch.__version__} cannot read it without risk; install torch 2.6 or later"
        )
    tree = _converted(_loaded(path))
    if not isinstance(tree, Mapping):
        raise CheckpointError(f"{path}: holds a {type(tree).__name__}, not tensors by name")
    return tree


def _loaded(path: Path) -> Any:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if "mmap" not in str(error):
                raise
            return torch.load(path, map_location="cpu", weights_only=True)  # a file from before torch 1.6
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        found = _GLOBAL.search(str(error))
        if found is None:
            raise CheckpointError(f"{path}: is no file of torch.save, or it is damaged: {first_line(error)}") from error
        raise CheckpointError(
            f"{path}: needs {found[1]} to be read, and what needs more than tensors can run code; where you trust it, "
            "save it again with torch.save(model.state_dict(), FILE), or as safetensors"
        ) from error
    except Exception as error:  # whatever the unpickler makes of damaged bytes
        raise CheckpointError(f"{path}: is no file of torch.save, or it is damaged: {first_line(error)}") from error


def _converted(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _array(value.detach())
    if isinstance(value, Mapping):
        return {str(key): _converted(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_converted(inner) for inner in value]
    return value


def _array(tensor: Tensor) -> StreamedArray:
    """Return a tensor in pieces; one that NumPy cannot hold as an array of void, which nothing takes."""
    shape = tuple(tensor.shape)
    known = tensor.layout == torch.strided and tensor.dtype in _TYPES
    # A stride of 0 makes a large tensor of a small file.
    if not known or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return StreamedArray(shape, np.dtype("V1"), lambda: iter(()))

    def pieces() -> Iterator[NDArray[Any]]:
        flat = tensor.reshape(-1)
        for start in range(0, flat.numel(), PIECE):
            part = flat[start : start + PIECE]
            yield (part.float() if part.dtype == torch.bfloat16 else part).numpy()

    return StreamedArray(shape, np.dtype(_TYPES[tensor.dtype]), pieces)
