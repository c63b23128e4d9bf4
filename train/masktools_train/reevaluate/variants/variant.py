"""What a way of starting again is, and what it is told."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from masktools.errors import RecipeError, SnapshotError
from masktools.runs import Run
from masktools.snapshot.read import Snapshot
from masktools.structure.values.trained import has_dense_weights
from masktools_train.initialization import Start, initial_model
from masktools_train.reevaluate.restored import Restored

__all__ = ["Asked", "Variant"]


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """One network to start.

    Parameters
    ----------
    source
        The run, at the epoch of the mask.
    seed
        Seed of the data order and of all that is drawn: weights, shuffles.
    rewind_epoch
        Epoch whose weights to go back to; None where the run tells by itself.
    other
        Another run, for variants that take its mask.
    epochs
        Length of training; None is that of the run.
    """

    source: Restored
    seed: int
    rewind_epoch: int | None = None
    other: Run | None = None
    epochs: int | None = None

    def initial(self) -> Snapshot:
        """Return the snapshot of the initialisation.

        Raises
        ------
        RunError
            If there is none.
        SnapshotError
            If it does not hold all weights.
        """
        snapshot = self.source.run.at(0)
        if not has_dense_weights(snapshot):
            raise SnapshotError(f"{snapshot.path}: was written without weights, or active ones alone; all are needed")
        return snapshot

    def initial_state(self) -> dict[str, Tensor]:
        """Return parameters and buffers that the run was initialised with.

        Raises
        ------
        RunError, SnapshotError
            As `initial` does.
        """
        return self.source.state_of(self.initial())

    def new_state(self) -> dict[str, Tensor]:
        """Return parameters and buffers that the seed draws; what has several names in the model, under the first."""
        recipe = self.source.recipe.model_copy(update={"seed": self.seed})
        model = initial_model(recipe, self.source.data.input_shape, self.source.data.classes)
        first: dict[int, tuple[str, Tensor]] = {}
        for name, value in model.state_dict(keep_vars=True).items():
            first.setdefault(id(value), (name, value.detach()))
        return dict(first.values())

    def other_run(self) -> Run:
        """Return the other run.

        Raises
        ------
        RecipeError
            If none was given.
        """
        if self.other is None:
            raise RecipeError(
                "variants 'other' and 'other-aligned' take the mask of another run: name it (--other RUN)"
            )
        return self.other


def _nothing(asked: Asked) -> Mapping[str, Any]:
    del asked
    return {}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way of starting again.

    Parameters
    ----------
    name
        What it is called.
    summary
        Weights and mask in a few words.
    start
        Makes the start.
    draws_weights
        Whether the seed draws weights: the run's own would draw those that the run began with.
    options
        What else the start depends on, for the record.
    check
        Raises where there is no such start, without the work of making it; what it returns does not count.
    """

    name: str
    summary: str
    start: Callable[[Asked], Start]
    draws_weights: bool = True
    options: Callable[[Asked], Mapping[str, Any]] = _nothing
    check: Callable[[Asked], Any] = _nothing
