"""What a run was: configuration, versions, code, device."""

import datetime
import platform
import subprocess
from importlib import metadata
from typing import Any

import torch

from masktools_train.devices import describe_device
from masktools_train.recipe import Recipe

__all__ = ["describe_run"]

_PACKAGES = ("masktools", "torch", "numpy", "h5py", "pillow")


def describe_run(recipe: Recipe, device: torch.device, processes: int = 1) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Parameters
    ----------
    recipe
        The resolved recipe.
    device
        Where it trains.
    processes
        How many train it together.
    """
    return {
        "name": recipe.name,
        "seed": recipe.seed,
        "config": recipe.to_dict(),
        "device": describe_device(device),
        "processes": processes,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in _PACKAGES}},
        "git": _git(),
    }


def _git() -> dict[str, Any] | None:
    """Return commit and dirty flag of the working directory's repository, or None outside one."""
    commit = _output("git", "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit.strip(), "dirty": bool(_output("git", "status", "--porcelain", "--untracked-files=no"))}


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
