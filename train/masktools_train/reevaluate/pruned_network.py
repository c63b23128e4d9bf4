"""What is left of a trained network under one smaller mask."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from masktools.errors import RecipeError
from masktools.topology.reach import effective_masks
from masktools_train.evaluation import evaluate
from masktools_train.progress import Observer
from masktools_train.reevaluate.pruned_runs import FineTuning, fine_tune, pruned_recipe, write_pruned
from masktools_train.reevaluate.recalibration import equal_batches, recalibrated, tracking_norms
from masktools_train.reevaluate.trained_network import TrainedNetwork

__all__ = ["Left", "Treatment"]


@dataclasses.dataclass(frozen=True)
class Left:
    """What is left under one mask.

    Parameters
    ----------
    active
        Number of active weights.
    accuracy
        Test accuracy with nothing but weights taken away.
    effective
        Number of weights on a path from input to output; None where the operator graph is not known.
    recalibrated, finetuned
        Test accuracy with new batch-norm statistics, and after training on; None where not asked for.
    """

    active: int
    accuracy: float
    effective: int | None
    recalibrated: float | None
    finetuned: float | None


class Treatment:
    """What is done with every pruned network: it is measured, and perhaps recalibrated, trained on and written.

    Parameters
    ----------
    network
        The trained network.
    recalibration_examples
        How many training examples batch norms are recalibrated on at most; None does not.
    tuning
        How each network is trained on; None does not.

    Attributes
    ----------
    recalibration_examples
        How many there are.

    Raises
    ------
    RecipeError
        If there is nothing to recalibrate.
    """

    def __init__(self, network: TrainedNetwork, recalibration_examples: int | None, tuning: FineTuning | None) -> None:
        self._network, self._tuning = network, tuning
        self._batches: tuple[Tensor, ...] | None = None
        self.recalibration_examples: int | None = None
        if recalibration_examples is not None:
            source = network.source
            if not tracking_norms(network.model):
                raise RecipeError(f"recalibrate: {source.run.path} has no batch norm with running statistics")
            inputs, _ = network.first_examples(recalibration_examples)
            self._batches = equal_batches(inputs, source.recipe.batch_size)
            self.recalibration_examples = len(inputs)

    def measure(
        self,
        masks: Mapping[str, Tensor],
        variant: str,
        options: Mapping[str, Any],
        out: Path | None,
        observer: Observer | None = None,
    ) -> Left:
        """Measure the trained network under masks.

        Parameters
        ----------
        masks
            Boolean, by layer, on the CPU.
        variant, options
            How they were found and what they depend on, for the record of a run.
        out
            Directory of the run to write, or None.
        observer
            Who watches the training.

        Returns
        -------
        Left
            What is left of the network.

        Raises
        ------
        RecipeError, RunError, SnapshotError, TrainingError
            As `masktools_train.train` does, and if `out` holds another run.
        """
        network = self._network
        model, data = network.model, network.source.data
        network.keep(masks)
        score = evaluate(model, data)
        plain, again, tuned = score.accuracy, None, None
        with self._recalibrated():
            if self._batches is not None:
                score = evaluate(model, data)
                again = score.accuracy
            state = network.state()
        if self._tuning is not None or out is not None:
            noted = {**options, "recalibration_examples": self.recalibration_examples or 0}
            recipe = pruned_recipe(network, masks, variant, noted, self._tuning)
            if self._tuning is not None:
                tuned = fine_tune(recipe, network, masks, state, out, observer)
            elif out is not None:
                write_pruned(recipe, network, masks, state, score, out)
        active = sum(int(mask.sum()) for mask in masks.values())
        return Left(active, plain, self._effective(masks), again, tuned)

    @contextlib.contextmanager
    def _recalibrated(self) -> Iterator[None]:
        if self._batches is None:
            yield
        else:
            with recalibrated(self._network.model, self._batches):
                yield

    def _effective(self, masks: Mapping[str, Tensor]) -> int | None:
        topology = self._network.source.snapshot.topology
        if topology is None:
            return None
        found = effective_masks(topology, {name: mask.numpy() for name, mask in masks.items()})
        return sum(int(np.count_nonzero(mask)) for mask in found.values())
