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
from masktools_train.data.source import chance_accuracy, first_inputs
from masktools_train.initialization import check_model, initial_model, load_into
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
            raise RunError(
                f"{self.run.path}: records no training recipe that can be run again: {self._instead(error)}"
            ) from None

    @property
    def foreign(self) -> bool:
        """Whether the run is of another program or loop, and says nothing of a recipe."""
        return not {"model", "data", "epochs"} & set(self.run.config)

    def _instead(self, error: pydantic.ValidationError) -> str:
        """Say what a run without a recipe lacks, and how it comes to have one."""
        if self.foreign:
            network = (
                "import it once more"
                if "imported" in self.run.info
                else "save a state dict of the network (torch.save) and import that (docs/own_loop.md)"
            )
            return f"{network}, with --recipe NAME for data and optimizer and --model NAME for the network"
        if "compacted_from" in self.run.config:
            return "the recipe of a compacted network would build the larger one; take the run that it was made of"
        keys = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
        return f"in its configuration (masktools info --config) these keys are missing, unknown or out of range: {keys}"

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
            If the model code builds another network now, or does not take the data.
        SnapshotError
            If the snapshot holds no weights.
        """
        # Before it computes anything: what is trained in this process later could not be deterministic otherwise.
        prepare_determinism(self.recipe.computation.deterministic)
        model = initial_model(self.recipe, self.data.input_shape, self.data.classes)
        state = self.state_of(self.snapshot)
        masks = self.masks()
        load_into(model, {name: value * masks[name] if name in masks else value for name, value in state.items()})
        model.to(self.device)
        example = first_inputs(self.data, 1).expand(2, *self.data.input_shape)
        check_model(model, example, self.recipe.model.name, self.data.classes)
        return model
