"""``state.pt``: everything that training needs to go on after a stop."""

from pathlib import Path
from typing import Any

import torch

from masktools.atomic import replacing
from masktools.errors import RunError
from masktools.runs import STATE

__all__ = ["copied", "load_state", "remove_state", "save_state"]

_PARTS = frozenset({"level", "epoch", "steps", "records", "model", "optimizer", "sparsifier", "rewind"})
"""What training saves at least."""


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the state of a run directory, atomically.

    Raises
    ------
    RunError
        If it cannot be written; the state that was there stays.
    """
    try:
        with replacing(folder / STATE) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk with either
        raise RunError(f"{folder / STATE}: cannot be written: {error}") from error


def remove_state(folder: Path) -> None:
    """Remove the state of a finished run.

    Raises
    ------
    RunError
        If it cannot be removed.
    """
    try:
        (folder / STATE).unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{folder / STATE}: cannot be removed: {error}") from error


def copied(tree: Any) -> Any:
    """Return nested dicts, lists and tuples with every tensor copied to the CPU, for writing while training goes on."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().to("cpu", copy=True)
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(copied(value) for value in tree)
    return tree


def load_state(folder: Path) -> dict[str, Any] | None:
    """Return the state of a run directory, or None where there is none.

    Raises
    ------
    RunError
        If the file cannot be read, or lacks a part.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler makes of damaged bytes
        raise RunError(f"{path}: cannot be read: {type(error).__name__}: {error}") from error
    missing = sorted(_PARTS - set(state)) if isinstance(state, dict) else sorted(_PARTS)
    if missing:
        raise RunError(f"{path}: is no training state: {missing[0]!r} is missing")
    return dict(state)
