"""Where training starts: the weights that a seed determines, or given ones."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from masktools.errors import RecipeError
from masktools_train.models import build_model
from masktools_train.probe import Probe
from masktools_train.recipe import Recipe
from masktools_train.seeding import seeded

__all__ = ["Start", "check_model", "initial_model", "load_into", "outputs_of"]


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """Where training starts, when not at a new initialisation with the algorithm's own masks.

    Parameters
    ----------
    state
        Parameters and buffers by name; None draws new ones from the recipe's seed.
    masks
        Boolean masks of all layers; None leaves them to the algorithm.
    epoch
        Number of epochs of schedule and data order that count as done, as when weights are rewound.
    level
        Level of an iterated method whose random numbers a model draws for itself (dropout).
    """

    state: Mapping[str, Tensor] | None = None
    masks: Mapping[str, Tensor] | None = None
    epoch: int = 0
    level: int = 0


def initial_model(recipe: Recipe, input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Build the recipe's network with the weights that its seed determines, on the CPU: the same on every device."""
    with seeded(recipe.seed, "init"):
        return build_model(recipe.model.name, recipe.model.options, input_shape, classes)


def load_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load parameters and buffers, all of them and no others; of several names of one tensor one is enough.

    Raises
    ------
    RecipeError
        If a name is missing or unknown, or a shape differs; the message names the first.
    """
    own = model.state_dict(keep_vars=True)
    unknown = sorted(set(state) - set(own))
    if unknown:
        raise RecipeError(f"{unknown[0]!r} is not in the model")
    given = {id(own[name]) for name in state}
    missing = [name for name, value in own.items() if id(value) not in given]
    if missing:
        raise RecipeError(f"{missing[0]!r} is missing in the given weights")
    for name, value in state.items():
        if own[name].shape != value.shape:
            raise RecipeError(f"{name!r} has shape {tuple(value.shape)}, the model needs {tuple(own[name].shape)}")
    model.load_state_dict(dict(state), strict=False)


def outputs_of(model: nn.Module, example: Tensor, called: str, whose: str) -> Any:
    """Run a model once, in evaluation mode, and return what it returns.

    Parameters
    ----------
    model
        The network; its buffers, modes and random numbers are left as they were.
    example
        A batch of inputs.
    called
        What the error calls the model.
    whose
        Where the shape of the batch is from, for the error.

    Raises
    ------
    RecipeError
        If it does not take the batch.
    """
    try:
        with Probe(model, None, None, 0).looking(evaluating=True), torch.no_grad():
            return model(example)
    except Exception as error:  # whatever the user's code makes of inputs that it does not expect
        shape = "x".join(map(str, example.shape))
        flat = "; a model of flat inputs has to flatten them" if example.ndim > 2 and "mat1" in str(error) else ""
        raise RecipeError(
            f"{called} cannot be called with a batch of shape {shape}, {whose}: {type(error).__name__}: "
            f"{' '.join(str(error).split())}{flat}"
        ) from error


def check_model(model: nn.Module, example: Tensor, name: str, classes: int) -> None:
    """Run a model once, in evaluation mode, to see that it takes the inputs and gives a number for each class.

    Parameters
    ----------
    model
        The network; its buffers, modes and random numbers are left as they were.
    example
        A batch of inputs.
    name
        What the recipe calls the model.
    classes
        Number of classes of the data.

    Raises
    ------
    RecipeError
        If it does not.
    """
    outputs = outputs_of(model, example, f"model {name!r}", "that of the data")
    if not isinstance(outputs, Tensor):
        raise RecipeError(f"model {name!r} returns {type(outputs).__name__}, not one tensor of outputs")
    if outputs.ndim != 2 or len(outputs) != len(example) or outputs.shape[1] < classes:
        raise RecipeError(
            f"model {name!r} returns outputs of shape {tuple(outputs.shape)} for {len(example)} inputs, which are no "
            f"numbers for each of {classes} classes"
        )
