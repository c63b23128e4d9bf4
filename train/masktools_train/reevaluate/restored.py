"""Bring a recorded network back to life."""

import dataclasses
import functools

import pydantic
import torch
from torch import Tensor, nn

from masktools.errors import RunError
from masktools.runs import Run
from masktools.snapshot.read import Snapshot
from masktools_train.computation import prepare_determinism
from masktools_train.data import Data, load_data
from masktools_train.data.source import chance_accuracy
from masktools_train.initialization import initial_model, load_into
from masktools_train.recipe import Recipe

__all__ = ["Restored"]


@dataclasses.dataclass(frozen=True, eq=False)
class Restored:
    """A snapshot with what its recipe names: data and model code.

    Parameters
    ----------
    run
        A run that was trained from a recipe.
    snapshot
        One of its snapshots.
    device
        Where to compute.

    Raises
    ------
    RunError
        On use, if the run does not record a recipe.
    """

    run: Run
    snapshot: Snapshot
    device: torch.device

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe that the run was trained by."""
        try:
            return Recipe.model_validate(self.run.config)
        except pydantic.ValidationError as error:
            keys = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
            raise RunError(f"{self.run.path}: records no training recipe that can be run again (see {keys})") from None

    @functools.cached_property
    def data(self) -> Data:
        """The recipe's data, on the device."""
        return load_data(self.recipe.data.name, self.recipe.data.options).to(self.device)

    @property
    def chance_accuracy(self) -> float:
        """Accuracy of always naming the most frequent test class."""
        return chance_accuracy(self.data)

    def masks(self) -> dict[str, Tensor]:
        """Return the snapshot's masks."""
        return {name: torch.from_numpy(mask.to_bool()) for name, mask in self.snapshot.masks().items()}

    @staticmethod
    def state_of(snapshot: Snapshot) -> dict[str, Tensor]:
        """Return all parameters and buffers of a snapshot, weights in full shape."""
        arrays = {**snapshot.weights(), **snapshot.tensors()}
        # Stored in half precision perhaps; a recorded dtype of a buffer (a counter, a double) is kept.
        return {
            name: (tensor.float() if tensor.dtype == torch.float16 else tensor)
            for name, tensor in ((name, torch.from_numpy(array.copy())) for name, array in arrays.items())
        }

    def model(self) -> nn.Module:
        """Return the network with the snapshot's parameters and buffers, on the device.

        Raises
        ------
        RecipeError
            If the model code builds another network now.
        SnapshotError
            If the snapshot holds no weights.
        """
        # Before it computes anything: what is trained in this process later could not be deterministic otherwise.
        prepare_determinism(self.recipe.computation.deterministic)
        model = initial_model(self.recipe, self.data.input_shape, self.data.classes)
        state = self.state_of(self.snapshot)
        masks = self.masks()
        load_into(model, {name: value * masks[name] if name in masks else value for name, value in state.items()})
        return model.to(self.device)
