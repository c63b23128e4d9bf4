"""Re-evaluations that lie beside runs: trained again, or pruned further."""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from masktools.errors import RunError
from masktools.run_collections import open_runs
from masktools.runs import Run
from masktools.structure.configuration import config_differences
from masktools.structure.reevaluation import VariantResult

__all__ = ["Again", "beside", "chance_accuracies", "runs_beside", "variant_results"]

_OWN = ("origin", "algorithm", "seed", "name", "snapshot", "execution", "computation")
"""What a re-evaluation always has of its own; where it differs in another key, it was asked to."""

_PRUNED = "prune-"

_REWIND = "rewind_epoch"
"""The option of a variant by which it begins later."""


@dataclasses.dataclass(frozen=True)
class Again:
    """One re-evaluation of a run.

    Parameters
    ----------
    run
        The re-evaluation itself.
    origin
        What its configuration says about where its mask is from.
    label
        What was done: the variant, of which epoch's mask if not the last one's, and how it was trained if otherwise.
    seed
        Its seed.
    accuracy, untrained
        Test accuracy in the end, and at epoch 0.
    active, density
        Active weights in the end.
    """

    run: Run
    origin: Mapping[str, Any]
    label: str
    seed: int
    accuracy: float
    untrained: float
    active: int
    density: float

    @property
    def pruned(self) -> bool:
        """Whether it was pruned further, not trained again."""
        return str(self.origin.get("variant", "")).startswith(_PRUNED)


def beside(run: Run) -> list[Again]:
    """Return the finished re-evaluations in the directories beside a run whose names begin with its own.

    Parameters
    ----------
    run
        The run, for example ``runs/dnw-s0``; looked through are ``runs/dnw-s0-reinit``, ``runs/dnw-s0-pruned``, ...

    Raises
    ------
    RunError
        If a re-evaluation cannot be read.
    """
    found: dict[str, Again] = {}
    for other in runs_beside(run):
        again = _again(run, other)
        if again is not None:
            # A copy of what was found already is no repetition.
            found.setdefault(repr((again.label, again.seed, again.origin, other.config.get("optimizer"))), again)
    return list(found.values())


def runs_beside(run: Run) -> Iterator[Run]:
    """Yield the runs in the directories beside a run whose names begin with its own; a snapshot file has none.

    Parameters
    ----------
    run
        The run, for example ``runs/dnw-s0``: directories are ``runs/dnw-s0-reinit``, ``runs/dnw-s0-frozen``, ...
    """
    place = run.path.resolve()
    if not place.is_dir():
        return
    for folder in sorted(place.parent.glob(f"{_literal(place.name)}-*/")):
        try:
            runs = open_runs(folder)
        except RunError:  # a directory of something else
            continue
        yield from runs


def _literal(name: str) -> str:
    """Return a name as a pattern that matches nothing else."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _again(run: Run, other: Run) -> Again | None:
    """Return a re-evaluation, None for another run, or one that is not finished."""
    config, metrics = other.config, other.metrics
    origin = config.get("origin")
    if not isinstance(origin, Mapping) or origin.get("run") != run.name or not metrics:
        return None
    first, last = metrics[0], metrics[-1]
    pruned = str(origin.get("variant", "")).startswith(_PRUNED)
    options = origin.get("options", {})
    trained = not pruned or bool(options.get("finetune_epochs"))
    accuracy, untrained = last.get("test_accuracy"), first.get("test_accuracy")
    if not isinstance(accuracy, int | float) or (trained and last.get("epoch") != _last_epoch(other)):
        return None
    changed = [
        f"{each.key}={each.b}"
        for each in config_differences(run.config, config)
        if each.key.partition(".")[0] not in _OWN and not pruned
    ]
    early = origin.get("epoch") not in (None, run.final.epoch)
    words = [
        str(origin.get("variant")),
        *([f"{_REWIND}={options[_REWIND]}"] if _REWIND in options else []),
        *([f"mask of epoch {origin.get('epoch')}"] if early else []),
        *changed,
    ]
    return Again(
        run=other,
        origin=origin,
        label=", ".join(words),
        seed=config["seed"] if isinstance(config.get("seed"), int) else 0,
        accuracy=float(accuracy),
        untrained=float(untrained) if isinstance(untrained, int | float) else math.nan,
        active=int(last.get("active") or 0),
        density=float(last.get("density") or 0.0),
    )


def _last_epoch(run: Run) -> int | None:
    """Return the epoch after which a re-evaluation is finished: it counts its own, wherever it begins to train."""
    planned, config = run.planned_epoch, run.config
    if planned is not None:
        return planned
    epochs, begins = config.get("epochs"), config.get("origin", {}).get("options", {}).get(_REWIND, 0)
    return epochs - begins if isinstance(epochs, int) and isinstance(begins, int) else None


def chance_accuracies(runs: Iterable[Run]) -> list[float]:
    """Return the accuracies of always naming the most frequent class that runs record, each once.

    Parameters
    ----------
    runs
        The runs; those that record none, because they were made by other programs or before it was recorded, do not
        count.
    """
    found = (run.info.get("chance_accuracy") for run in runs)
    known = (value for value in found if isinstance(value, int | float) and not isinstance(value, bool))
    return sorted({float(value) for value in known if math.isfinite(value)})


def variant_results(found: Sequence[Sequence[Again]]) -> tuple[VariantResult, ...]:
    """Return the accuracies of every start that all runs of a group were trained from again.

    Parameters
    ----------
    found
        The re-evaluations of each run of the group.

    Returns
    -------
    tuple of VariantResult
        Of several runs one accuracy a run, the mean over its trainings: masks are what was repeated. Of a single run
        one a seed. Its ``untrained`` are those of epoch 0.
    """
    by_label: list[dict[str, list[Again]]] = []
    for each in found:
        labels: dict[str, list[Again]] = {}
        for again in each:
            if not again.pruned:
                labels.setdefault(again.label, []).append(again)
        by_label.append(labels)
    common = [label for label in by_label[0] if all(label in labels for labels in by_label)] if by_label else []
    results = []
    for label in common:
        members = [labels[label] for labels in by_label]
        if len(members) == 1:
            parts = [[again] for again in sorted(members[0], key=lambda again: again.seed)]
        else:
            parts = members
        results.append(
            VariantResult(
                variant=label,
                seeds=tuple(part[0].seed for part in parts),
                accuracies=tuple(statistics.fmean(again.accuracy for again in part) for part in parts),
                untrained=tuple(statistics.fmean(again.untrained for again in part) for part in parts),
            )
        )
    return tuple(sorted(results, key=lambda result: -result.interval.mean))
