"""What a recipe comes to: its data, its network, the optimizer and the masks, put together before the first step."""

import dataclasses
import functools

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools.errors import RecipeError
from masktools.topology.graph import Topology
from masktools_train.algorithms import REGISTRY
from masktools_train.computation import Computation
from masktools_train.data import Data, load_data
from masktools_train.data.source import TrainingBatches, first_inputs
from masktools_train.distributed import Processes
from masktools_train.flops import ForwardCost, forward_cost_where_known
from masktools_train.initialization import Start, check_model, initial_model, load_into
from masktools_train.levels import Levels
from masktools_train.optimizers import build_optimizer
from masktools_train.progress import Observer
from masktools_train.recipe import Recipe
from masktools_train.sparsifier import Sparsifier
from masktools_train.tracing import TraceError, trace

__all__ = ["Assembly", "assemble"]


@dataclasses.dataclass(frozen=True, eq=False)
class Assembly:
    """All that training needs.

    Parameters
    ----------
    data
        The recipe's data, on the device.
    batches
        This process's share of the training batches.
    model
        The network, on the device, under its first masks.
    topology
        Its operator graph, or None if it cannot be traced.
    cost
        What a dense forward pass takes, or None where that cannot be counted.
    computation
        What calls the network.
    optimizer
        Over all its parameters.
    sparsifier
        What keeps it sparse.
    levels
        How often it is trained.
    """

    data: Data
    batches: TrainingBatches
    model: nn.Module
    topology: Topology | None
    cost: ForwardCost | None
    computation: Computation
    optimizer: Optimizer
    sparsifier: Sparsifier
    levels: Levels


def assemble(
    recipe: Recipe, device: torch.device, observer: Observer, start: Start, data: Data | None, processes: Processes
) -> Assembly:
    """Put together what a recipe names.

    Parameters
    ----------
    recipe, device, observer, data, processes
        As for `masktools_train.trainer.Trainer`.
    start
        Where to start.

    Returns
    -------
    Assembly
        At the step after which `start` begins.

    Raises
    ------
    RecipeError
        If data, model and options do not fit together.
    """
    if processes.world > 1 and recipe.execution != "masked":
        raise RecipeError(f"execution {recipe.execution!r} is for one process; several compute masked")
    data = load_data(recipe.data.name, recipe.data.options).to(device) if data is None else data
    batches_of = functools.partial(
        data.training, recipe.batch_size, recipe.seed, recipe.data.augment, recipe.data.shift
    )
    batches = batches_of(processes=processes)
    model = initial_model(recipe, data.input_shape, data.classes)
    if start.state is not None:
        load_into(model, start.state)
    model.to(device)
    example = first_inputs(data, 1).expand(2, *data.input_shape)
    check_model(model, example, recipe.model.name, data.classes)
    topology = _traced(model, example, observer)
    cost = forward_cost_where_known(model, example, observer.warned)
    computation = Computation(model, recipe.computation, device, processes)
    optimizer = build_optimizer(recipe.optimizer, model, recipe.computation.fused)
    spec, per_epoch = recipe.algorithm, batches.steps_per_epoch
    algorithm = REGISTRY[spec.name].model_validate(spec.options)
    sparsifier = Sparsifier(
        model,
        optimizer,
        algorithm,
        density=spec.density,
        total_steps=recipe.epochs * per_epoch,
        distribution=spec.distribution,
        seed=recipe.seed,
        dense_layers=spec.dense_layers,
        layer_densities=spec.layer_densities,
        freeze_step=None if spec.freeze_epoch is None else spec.freeze_epoch * per_epoch,
        masks=start.masks,
        steps_per_epoch=per_epoch,
        # Whole batches: what an algorithm sees first must not depend on the number of processes.
        batches=batches_of(processes=Processes()).epoch(0),
        execution=recipe.execution,
    )
    levels = Levels(algorithm, sparsifier, per_epoch, recipe.epochs * per_epoch)
    if start.epoch >= recipe.epochs:
        raise RecipeError(f"start after epoch {start.epoch} is not before the end of training, {recipe.epochs}")
    if start.epoch:
        sparsifier.attach(optimizer, start.epoch * per_epoch)
    return Assembly(data, batches, model, topology, cost, computation, optimizer, sparsifier, levels)


def _traced(model: nn.Module, example: Tensor, observer: Observer) -> Topology | None:
    """Record the operator graph; a model that cannot be traced is trained all the same, and said so."""
    try:
        return trace(model, example)
    except TraceError as error:
        observer.warned(f"operator graph not recorded, connectivity will not be known: {error}")
        return None
