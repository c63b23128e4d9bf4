"""Pruned networks as runs: their recipe, training on, and a run of one snapshot where nothing is trained."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masktools.errors import RunError
from masktools.run_files import METRICS, RUN_JSON, read_identity
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.structure.configuration import config_differences
from masktools_train.budgets import named_layers
from masktools_train.evaluation import Score
from masktools_train.identity import describe_run
from masktools_train.initialization import Start
from masktools_train.progress import EpochRecord, Observer
from masktools_train.recipe import Recipe
from masktools_train.reevaluate.fixed import fixed_recipe
from masktools_train.reevaluate.trained_network import TrainedNetwork
from masktools_train.training import train

__all__ = ["FineTuning", "fine_tune", "pruned_recipe", "write_pruned"]


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """How a pruned network is trained on: as it was trained, but for these.

    Parameters
    ----------
    epochs
        How long.
    lr
        Learning rate, from the first step to the last.
    """

    epochs: int
    lr: float

    def overrides(self) -> dict[str, Any]:
        """Return the keys of the recipe that differ."""
        return {"epochs": self.epochs, "optimizer.lr": self.lr, "schedule": {"name": "constant"}}


def pruned_recipe(
    network: TrainedNetwork,
    masks: Mapping[str, Tensor],
    variant: str,
    options: Mapping[str, Any],
    tuning: FineTuning | None = None,
) -> Recipe:
    """Return the recipe of a pruned network: that of the trained one, its mask fixed, with the same seed.

    Parameters
    ----------
    network
        The trained network.
    masks
        The masks that are left, by layer.
    variant
        How they were found.
    options
        What they depend on, for the record.
    tuning
        How the network is trained on; None keeps how it was trained, although nothing is.
    """
    source = network.source
    recipe = fixed_recipe(
        source,
        masks,
        variant=variant,
        seed=source.recipe.seed,
        overrides=None if tuning is None else tuning.overrides(),
        # Told apart even where it is trained on just as it was trained before.
        options={**options, "finetune_epochs": 0 if tuning is None else tuning.epochs},
    )
    # A layer that was dense by choice is not dense any more once it has lost weights.
    dense = named_layers(recipe.algorithm.dense_layers, list(masks))
    full = tuple(name for name in dense if bool(masks[name].all()))
    return recipe.model_copy(update={"algorithm": recipe.algorithm.model_copy(update={"dense_layers": full})})


def fine_tune(
    recipe: Recipe,
    network: TrainedNetwork,
    masks: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    out: Path | None,
    observer: Observer | None,
) -> float:
    """Train a pruned network on with its mask fixed, and return its test accuracy.

    Parameters
    ----------
    recipe
        From `pruned_recipe`.
    network
        The trained network.
    masks
        The masks that are left, by layer.
    state
        Parameters and buffers to start from.
    out
        Run directory to write, or to go on with; None writes nothing.
    observer
        Who watches.

    Raises
    ------
    RecipeError, RunError, SnapshotError, TrainingError
        As `train` does.
    """
    source = network.source
    start = Start(state=state, masks=masks)
    device = str(source.device)
    result = train(recipe, out, device=device, observer=observer, resume=True, start=start, data=source.data)
    return result.final.test_accuracy


def write_pruned(
    recipe: Recipe,
    network: TrainedNetwork,
    masks: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    score: Score,
    out: Path,
) -> None:
    """Write a pruned network as a run of one snapshot, of epoch 0, unless it is there already.

    Parameters
    ----------
    recipe, network, masks, state
        As for `fine_tune`.
    score
        Loss and accuracy of that network.
    out
        Run directory.

    Raises
    ------
    RunError
        If the directory holds another run, or cannot be written.
    SnapshotError
        If the snapshot cannot be written.
    """
    writer = RunWriter(out)
    with locked(writer.make()):
        if writer.occupied:
            _require_same(writer.path, recipe)
            if (writer.path / METRICS).is_file():  # written last
                return
        config, source = recipe.to_dict(), network.source
        writer.describe(describe_run(recipe, source.device, chance_accuracy=source.chance_accuracy, last_epoch=0))
        writer.snapshot(_content(config, recipe, network, masks, state))
        writer.metrics([_record(network, masks, score).to_dict()])


def _require_same(path: Path, recipe: Recipe) -> None:
    differences = config_differences(read_identity(path / RUN_JSON).get("config", {}), recipe.to_dict())
    if differences:
        first = differences[0]
        raise RunError(
            f"{path}: holds another run already: {first.key} was {first.a!r}, is {first.b!r}; choose another directory"
        )


def _content(
    config: Mapping[str, Any],
    recipe: Recipe,
    network: TrainedNetwork,
    masks: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> SnapshotContent:
    dtype = np.dtype(recipe.snapshot.dtype)
    layers = tuple(
        LayerContent.from_dense(
            name,
            mask.numpy(),
            state[name].numpy().astype(dtype),
            prunable=name not in recipe.algorithm.dense_layers,
        )
        for name, mask in masks.items()
    )
    tensors = {name: _array(value) for name, value in state.items() if name not in masks}
    return SnapshotContent(0, 0, layers, config, tensors, topology=network.source.snapshot.topology)


def _array(tensor: Tensor) -> Any:
    """Copy a tensor to NumPy, which lacks bfloat16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _record(network: TrainedNetwork, masks: Mapping[str, Tensor], score: Score) -> EpochRecord:
    active = sum(int(mask.sum()) for mask in masks.values())
    return EpochRecord(
        epoch=0,
        step=0,
        level=0,
        train_loss=None,
        train_accuracy=None,
        test_loss=score.loss,
        test_accuracy=score.accuracy,
        active=active,
        density=active / network.size,
        lr=None,
        dense_gradient_steps=0,
        seconds=0.0,
    )
