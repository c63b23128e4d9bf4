"""What a run was: configuration, versions, code, device."""

import datetime
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
import torch.distributed as dist

from masktools_train.devices import describe_device
from masktools_train.recipe import Recipe

__all__ = ["describe_recording", "describe_run"]

_PACKAGES = ("masktools", "torch", "numpy", "h5py", "pillow")


def describe_run(
    recipe: Recipe,
    device: torch.device,
    processes: int = 1,
    chance_accuracy: float | None = None,
    last_epoch: int | None = None,
) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Parameters
    ----------
    recipe
        The resolved recipe.
    device
        Where it trains.
    processes
        How many train it together.
    chance_accuracy
        Accuracy of always naming the most frequent test class: programs that read the log have no data to count it in.
    last_epoch
        The epoch after which training is finished, those of all levels counted: who looks at a run whose training was
        stopped must not take its last mask for the final one.
    """
    chance = {} if chance_accuracy is None else {"chance_accuracy": chance_accuracy}
    planned = {} if last_epoch is None else {"last_epoch": last_epoch}
    return {
        "name": recipe.name,
        "seed": recipe.seed,
        **planned,
        **chance,
        "config": recipe.to_dict(),
        **_circumstances(device, processes),
    }


def describe_recording(name: str, config: Mapping[str, Any], device: torch.device | None) -> dict[str, Any]:
    """Return the content of ``run.json`` for a run of anyone's training loop.

    Parameters
    ----------
    name
        What it is called.
    config
        What its owner says; a ``seed`` in it is the run's.
    device
        Where the model is; the CPU if None.
    """
    processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    seed = {"seed": config["seed"]} if isinstance(config.get("seed"), int) else {}
    return {
        "name": name,
        **seed,
        "config": dict(config),
        **_circumstances(device or torch.device("cpu"), processes),
    }


def _circumstances(device: torch.device, processes: int) -> dict[str, Any]:
    """Return where, when and with what a run is made."""
    return {
        "device": describe_device(device),
        "processes": processes,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "git": _git(),
    }


def _versions() -> dict[str, str]:
    """Return the versions of what a run depends on."""
    packages = {name: metadata.version(name) for name in _PACKAGES}
    # A package's metadata may leave out which build of torch this is: 2.13.0 may be 2.13.0+cu130.
    return {"python": platform.python_version(), **packages, "torch": torch.__version__}


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
