"""Where runs lie: those below a directory, and those that someone may have meant who named a path without one."""

import difflib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from masktools.errors import RunError
from masktools.run_files import epochs_in

__all__ = ["held_runs", "holds_runs", "meant_runs", "natural_order", "required_directories", "run_directories", "spans"]

_DIGITS = re.compile(r"([0-9]+)")

_NAMED = 3
"""Runs that a sentence names."""

_ALIKE, _NEAR = 0.6, 0.1
"""How alike names are of which one may have been meant for the other (`difflib`), and how much less than the best."""


def run_directories(path: Path) -> list[Path]:
    """Return the run directories at or below a directory, sorted by name, numbers by their value.

    Parameters
    ----------
    path
        Where to look, at any depth. Hidden directories below it, and whatever lies within a run, are not looked into.
        Symbolic links are followed, each directory once.

    Raises
    ------
    RunError
        If a directory cannot be looked into.
    """
    found: list[Path] = []
    seen: set[Path] = set()
    waiting = deque([path])
    while waiting:
        folder = waiting.popleft()
        real = folder.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            if epochs_in(folder):
                found.append(folder)
                continue
            for inner in folder.iterdir():
                if inner.name.startswith(".") or not inner.is_dir():
                    continue
                # Links come last, so that a run is called by its own name rather than by that of a link to it.
                if inner.is_symlink():
                    waiting.append(inner)
                else:
                    waiting.appendleft(inner)
        except OSError as error:
            raise RunError(f"{folder}: cannot be looked into: {error.strerror or error}") from error
    return sorted(found, key=lambda place: [natural_order(part) for part in place.relative_to(path).parts])


def required_directories(path: Path) -> list[Path]:
    """Return the run directories at or below a directory, of which there has to be one, as `run_directories` does.

    Raises
    ------
    RunError
        If there is no run, or a directory cannot be looked into.
    """
    places = run_directories(path)
    if not places:
        raise RunError(f"{path}: no run (a directory with epoch-NNNN.h5) in or below this directory")
    return places


def natural_order(name: str) -> tuple[list[str | int], str]:
    """Return a key that sorts numbers within names by value; texts and numbers alternate, so both always compare."""
    return [int(part) if place % 2 else part for place, part in enumerate(_DIGITS.split(name))], name


def spans(numbers: Sequence[int]) -> str:
    """Write ascending integers as spans.

    >>> spans([0, 1, 2, 40])
    '0-2, 40'
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def held_runs(directory: Path) -> str:
    """Return what to add about a directory that is no run itself: which runs it holds; nothing if it holds none.

    Parameters
    ----------
    directory
        Only what lies in it, or else one level deeper, is looked at: a message must not take long.
    """
    names = [place.name for place in _runs_in(directory)]
    names = names or [f"{inner.name}/{place.name}" for inner in _folders(directory) for place in _runs_in(inner)]
    if not names:
        return ""
    if len(names) == 1:
        return f"; it holds the run {names[0]}"
    left = len(names) - _NAMED
    return f"; it holds runs: {', '.join(names[:_NAMED])}" + (f" and {left} more" if left > 0 else "")


def holds_runs(path: Path) -> bool:
    """Say whether a path is a directory that is no run itself and has runs below it, at any depth.

    Raises
    ------
    RunError
        If a directory cannot be looked into.
    """
    return path.is_dir() and run_directories(path) not in ([], [path])


def meant_runs(path: Path) -> str:
    """Return what to add about a path at which nothing is: the runs beside it whose names are most like it, if any.

    Parameters
    ----------
    path
        Where a run, or a snapshot, was looked for.
    """
    try:
        epochs = epochs_in(path.parent)
    except OSError:
        return ""
    if epochs:
        return f"; there are snapshots of epochs {spans(epochs)}"
    alike = {place: _likeness(path.name, place.name) for place in _folders(path.parent)}
    best = max(alike.values(), default=0.0)
    near = [place for place, value in alike.items() if value >= max(_ALIKE, best - _NEAR)]
    # A name that is no run, such as that of a directory of re-evaluations, is looked into only when it is like enough.
    runs = sorted((place for place in near if _is_run(place)), key=lambda place: -alike[place])[:_NAMED]
    if not runs:
        return ""
    *others, last = map(str, runs)
    return f"; did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


def _likeness(asked: str, name: str) -> float:
    return difflib.SequenceMatcher(None, asked, name, autojunk=False).ratio()


def _folders(directory: Path) -> list[Path]:
    """Return the directories in a directory, in natural order; none where it cannot be looked into."""
    try:
        found = [inner for inner in directory.iterdir() if not inner.name.startswith(".") and inner.is_dir()]
    except OSError:
        return []
    return sorted(found, key=lambda inner: natural_order(inner.name))


def _runs_in(directory: Path) -> Iterator[Path]:
    return (inner for inner in _folders(directory) if _is_run(inner))


def _is_run(directory: Path) -> bool:
    try:
        return bool(epochs_in(directory))
    except OSError:
        return False
