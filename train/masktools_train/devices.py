"""Which device to train on."""

import os

import torch

from masktools.errors import RecipeError
from masktools_train.distributed import launched

__all__ = ["describe_device", "pick_device"]


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; ``auto`` is CUDA where there is one, else the CPU.

    Of several processes launched together on a machine each gets its own CUDA device.

    Raises
    ------
    RecipeError
        If there is no such device here: training never falls back to another one unasked.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and launched():
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RecipeError(f"device {name!r} is unknown; use auto, cpu or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise RecipeError(f"device {name!r} is not supported; use auto, cpu or cuda:N")
    if launched() and device.type == "cuda" and str(device.index) != os.environ.get("LOCAL_RANK", "0"):
        raise RecipeError(f"device {name!r}: of several processes each has its own; use auto or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RecipeError(f"device {name!r} is not there: {torch.cuda.device_count()} CUDA devices found")
    return device


def describe_device(device: torch.device) -> str:
    """Return the device's name for the record."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
