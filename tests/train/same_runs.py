"""Whether two runs are the same to the bit."""

import numpy as np

from masktools.runs import Run

__all__ = ["differences"]


def differences(one: Run, other: Run) -> list[str]:
    """Name everything in which two runs differ, their wall times left aside."""
    found = []
    if one.epochs != other.epochs:
        return [f"epochs {one.epochs} and {other.epochs}"]
    for a, b in zip(one, other, strict=True):
        place = f"epoch {a.epoch}"
        for key in ("step", "extra", "config", "active", "tensor_names", "topology"):
            same = getattr(a, key) == getattr(b, key)
            found += [] if same else [f"{place} {key}"]
        for layer in a.layers:
            if not np.array_equal(a.mask(layer), b.mask(layer)):
                found.append(f"{place} mask {layer}")
            if not np.array_equal(a.weight(layer), b.weight(layer)):
                found.append(f"{place} weight {layer}")
        theirs = b.tensors()
        found += [f"{place} {key}" for key, value in a.tensors().items() if not np.array_equal(value, theirs[key])]
    lines = ([{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics] for run in (one, other))
    if next(lines) != next(lines):
        found.append("metrics")
    return found
