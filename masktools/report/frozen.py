"""Runs beside others that were trained again with their mask fixed at an early epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.report.again import runs_beside
from masktools.runs import Run
from masktools.structure.configuration import ABSENT, config_differences
from masktools.structure.freezing import FreezePoint, FreezeResult

__all__ = ["freeze_result", "frozen_beside", "is_frozen"]

_ENDING = "-frozen"

_KEY = "algorithm.freeze_epoch"

_CIRCUMSTANCES = ("name", "execution", "computation")
"""How it is computed, not what."""


def frozen_beside(run: Run) -> dict[int, Mapping[str, Any]]:
    """Return the last record of each finished run like this one whose mask was fixed, by the epoch at which it was.

    Parameters
    ----------
    run
        The run, for example ``runs/dnw-s0``; looked through are the directories beside it whose names begin with
        ``dnw-s0-``.

    Raises
    ------
    RunError
        If such a run cannot be read.
    """
    config = run.config
    if _freeze_epoch(config) is not None or not _last(run):
        return {}
    found: dict[int, Mapping[str, Any]] = {}
    for other in runs_beside(run):
        epoch, last = _freeze_epoch(other.config), _last(other)
        if epoch is not None and last and _differ_in_that(config, other.config):
            found.setdefault(epoch, last)
    return found


def freeze_result(found: Mapping[Run, Mapping[int, Mapping[str, Any]]]) -> FreezeResult | None:
    """Return accuracy and work of runs beside those of the same runs with their masks fixed, None if nothing is common.

    Parameters
    ----------
    found
        What `frozen_beside` returned for each run of a group; only epochs that all of them have are taken.
    """
    own = {run: _last(run) for run in found}
    common = sorted(set.intersection(*map(set, found.values()))) if found else []
    if not common:
        return None
    accuracies = tuple(float(last["test_accuracy"]) for last in own.values())
    points = []
    for epoch in common:
        frozen = [each[epoch] for each in found.values()]
        ratios = [_ratio(each, last) for each, last in zip(frozen, own.values(), strict=True)]
        known = tuple(ratio for ratio in ratios if ratio is not None)
        points.append(
            FreezePoint.of(
                epoch,
                accuracies,
                tuple(float(each["test_accuracy"]) for each in frozen),
                tuple(int(each["dense_gradient_steps"]) for each in frozen),
                tuple(int(each["step"]) for each in frozen),
                known if len(known) == len(ratios) else None,
            )
        )
    share = sum(last["dense_gradient_steps"] / last["step"] for last in own.values()) / len(own)
    return FreezeResult(tuple(str(run.path) for run in found), accuracies, share, tuple(points))


def is_frozen(run: Run, places: Sequence[Path]) -> bool:
    """Say whether a run is one of these with its mask fixed, where ``masktools freeze`` writes them.

    Parameters
    ----------
    run
        The run.
    places
        Resolved directories of runs.
    """
    folder = run.path.resolve().parent
    if not folder.name.endswith(_ENDING) or _freeze_epoch(run.config) is None:
        return False
    return folder.with_name(folder.name.removesuffix(_ENDING)) in places


def _freeze_epoch(config: Mapping[str, Any]) -> int | None:
    algorithm = config.get("algorithm")
    epoch = algorithm.get("freeze_epoch") if isinstance(algorithm, Mapping) else None
    return epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None


def _differ_in_that(config: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Say whether nothing but the fixed mask tells them apart; a key that came later has the value of its default."""
    return all(
        each.key == _KEY or each.a is ABSENT or each.key.partition(".")[0] in _CIRCUMSTANCES
        for each in config_differences(config, other)
    )


def _last(run: Run) -> Mapping[str, Any]:
    """Return the last record of a run that is finished and says what it ended with, else an empty one."""
    last: Mapping[str, Any] = (run.metrics or [{}])[-1]
    known = all(_number(last.get(key)) for key in ("test_accuracy", "dense_gradient_steps", "step"))
    return (
        last if known and last["step"] > 0 and last.get("epoch") == run.final.epoch == run.config.get("epochs") else {}
    )


def _ratio(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> float | None:
    """Return training FLOPs against those of the run itself, None where they were not counted."""
    a, b = mine.get("training_flops"), theirs.get("training_flops")
    return a / b if a and b else None


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
