"""Which epoch each of several checkpoints is of: by the numbers in their names, else in their order."""

import re
from collections.abc import Sequence
from pathlib import Path

from masktools.errors import CheckpointError

__all__ = ["epochs_of", "natural_order"]

_WORD = re.compile(r"(?:epochs?|ep|ckpt|checkpoint|step|level)[-_=. ]?0*(\d{1,9})(?!\d)", re.IGNORECASE)
"""A number behind one of these words is an epoch, or counts like one."""

_LARGEST = 10**9 - 1


def epochs_of(paths: Sequence[Path], given: Sequence[int] | None = None) -> tuple[list[int], str]:
    """Return the epoch of each checkpoint, and where it is from.

    Parameters
    ----------
    paths
        The checkpoints.
    given
        The epochs themselves.

    Returns
    -------
    epochs
        In the order of `paths`, all different.
    origin
        ``given``, ``names``, or ``order`` where names do not tell (0, 1, … in natural order).

    Raises
    ------
    CheckpointError
        If not as many different epochs are given as there are checkpoints.
    """
    if given is not None:
        if len(given) != len(paths) or len(set(given)) != len(given):
            raise CheckpointError(f"--epochs: {len(paths)} different epochs are needed, got {list(given)}")
        if any(not 0 <= epoch <= _LARGEST for epoch in given):
            raise CheckpointError(f"--epochs: an epoch is a number from 0 to {_LARGEST}, got {list(given)}")
        return list(given), "given"
    names = [_label(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{path.resolve().parent.name}/{name}" for path, name in zip(paths, names, strict=True)]
    for numbers in (_behind_words(names), _varying(names)):
        if numbers is not None:
            return numbers, "names"
    order = sorted(range(len(names)), key=lambda index: (natural_order(names[index]), index))
    return [order.index(index) for index in range(len(names))], "order"


def _label(path: Path) -> str:
    return path.name if path.is_dir() else path.name.split(".safetensors")[0].removesuffix(path.suffix)


def _behind_words(names: Sequence[str]) -> list[int] | None:
    found = [_WORD.findall(name) for name in names]
    if not all(found):
        return None
    numbers = [int(each[-1]) for each in found]
    return numbers if len(set(numbers)) == len(numbers) else None


def _varying(names: Sequence[str]) -> list[int] | None:
    """Return the only number that differs from name to name, where all else in them is equal."""
    parts = [re.split(r"(\d+)", name) for name in names]
    if len(names) < 2 or len({tuple(part[::2]) for part in parts}) > 1:
        return None
    columns = [column for column in zip(*(part[1::2] for part in parts), strict=True) if len(set(column)) > 1]
    if len(columns) != 1 or any(len(number) > 9 for number in columns[0]):
        return None
    numbers = [int(number) for number in columns[0]]
    return numbers if len(set(numbers)) == len(numbers) else None


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Return a key by which names are sorted as people do: 10 after 9."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]
