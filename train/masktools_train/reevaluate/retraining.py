"""One training of a recorded mask: a part that can be done in any process, and need not be done twice."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from masktools.runs import open_run
from masktools_train.devices import pick_device
from masktools_train.progress import Observer
from masktools_train.recipe import Recipe
from masktools_train.reevaluate.fixed import fixed_recipe
from masktools_train.reevaluate.restored import Restored
from masktools_train.reevaluate.variants.registry import find_variant
from masktools_train.reevaluate.variants.variant import Asked, Variant
from masktools_train.training import train

__all__ = ["Retrained", "Retraining", "forget", "planned", "restored", "retrain"]


@dataclasses.dataclass(frozen=True)
class Retraining:
    """What to train again.

    Parameters
    ----------
    run, epoch
        Run directory and epoch of the mask.
    variant
        Name of the way of starting again.
    seed
        Seed of the data order and of all that is drawn.
    overrides
        Keys of the recipe that are set otherwise.
    rewind_epoch, other
        What some variants depend on.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    out
        Run directory to write, or None.
    """

    run: Path
    epoch: int
    variant: str
    seed: int
    overrides: Mapping[str, Any]
    rewind_epoch: int | None
    other: Path | None
    device: str
    out: Path | None

    @property
    def key(self) -> str:
        """Name of the part in messages."""
        return f"{self.run.resolve().name}: {self.variant}, seed {self.seed}"


@dataclasses.dataclass(frozen=True)
class Retrained:
    """Test accuracies of a network that was started again.

    Parameters
    ----------
    untrained
        Before the first step: what mask and starting weights are worth by themselves.
    trained
        In the end.
    """

    untrained: float
    trained: float


def restored(run: Path, epoch: int, device: str) -> Restored:
    """Return a run at an epoch; the data of the last one asked for are kept until `forget` is called.

    Parameters
    ----------
    run, epoch
        Run directory, and epoch of the snapshot.
    device
        ``auto``, ``cpu`` or ``cuda:N``.

    Raises
    ------
    RunError
        If there is no such run or epoch.
    RecipeError
        If there is no such device.
    """
    opened = open_run(run)
    snapshot = opened.at(epoch)
    return _restored(run, epoch, device, snapshot.path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _restored(run: Path, epoch: int, device: str, written: int) -> Restored:
    del written  # a run that was trained anew is another one
    opened = open_run(run)
    return Restored(opened, opened.at(epoch), pick_device(device))


def forget() -> None:
    """Let go of the data that `restored` keeps."""
    _restored.cache_clear()


def planned(part: Retraining, source: Restored) -> tuple[Variant, Recipe, Asked]:
    """Return how a part starts, what is trained, and what the start is told.

    Parameters
    ----------
    part
        What to train.
    source
        Its run, from `restored`.

    Raises
    ------
    RecipeError
        If there is no such variant, it lacks something, or a key cannot be overridden.
    RunError, SnapshotError
        If a run cannot be read.
    """
    variant = find_variant(part.variant)
    asked = Asked(source, part.seed, part.rewind_epoch, None if part.other is None else open_run(part.other))
    recipe = fixed_recipe(
        source,
        source.masks(),
        variant=part.variant,
        seed=part.seed,
        overrides=part.overrides,
        options=variant.options(asked),
    )
    return variant, recipe, dataclasses.replace(asked, epochs=recipe.epochs)


def retrain(part: Retraining, observer: Observer | None = None) -> Retrained:
    """Train a mask again, or go on where that was left.

    Parameters
    ----------
    part
        What to train.
    observer
        Who watches.

    Returns
    -------
    Retrained
        Test accuracy before the first step and in the end.

    Raises
    ------
    RecipeError
        If the variant cannot be started from this run, or the recipe cannot be trained.
    RunError, SnapshotError
        If a run cannot be read or written.
    """
    source = restored(part.run, part.epoch, part.device)
    variant, recipe, asked = planned(part, source)
    result = train(
        recipe,
        part.out,
        device=part.device,
        observer=observer,
        resume=True,
        start=lambda: variant.start(asked),
        data=source.data,
    )
    return Retrained(result.records[0].test_accuracy, result.final.test_accuracy)
