"""A recorded network from which weights can be taken away, and given back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from masktools_train.reevaluate.restored import Restored

__all__ = ["TrainedNetwork"]


class TrainedNetwork:
    """The network of a snapshot under its masks.

    Parameters
    ----------
    source
        Run, snapshot and device.

    Attributes
    ----------
    source
        The same.
    model
        The network, on the device.
    masks
        The masks as recorded, by layer, on the CPU.
    weights
        Weights of the layers in full shape, 0 where they are inactive, on the CPU.
    active
        Number of active weights of each layer.
    size
        Number of weights of all layers.

    Raises
    ------
    RecipeError
        If the model code builds another network now.
    RunError
        If the run records no recipe.
    SnapshotError
        If the snapshot cannot be read or holds no weights.
    """

    def __init__(self, source: Restored) -> None:
        self.source = source
        self.model = source.model()
        self.masks = source.masks()
        self._state = source.state_of(source.snapshot)
        # Not a product: what a mask leaves out may be recorded too, and be no number.
        self.weights = {name: torch.where(mask, self._state[name], 0.0) for name, mask in self.masks.items()}
        self.active = {name: int(mask.sum()) for name, mask in self.masks.items()}
        self.size = sum(mask.numel() for mask in self.masks.values())
        # Under every name: another module may hold a weight of a layer too, and first.
        self._parameters = dict(self.model.named_parameters(remove_duplicate=False))
        self.keep(self.masks)

    def parameters(self) -> list[Tensor]:
        """Return the weights of the layers as the model has them, in the order of the masks."""
        return [self._parameters[name] for name in self.masks]

    @torch.no_grad()
    def keep(self, masks: Mapping[str, Tensor]) -> None:
        """Put the trained weights under other masks into the model.

        Parameters
        ----------
        masks
            Boolean, by layer, each of its weight's shape, on the CPU.
        """
        for name, mask in masks.items():
            self._parameters[name].copy_(torch.where(mask, self.weights[name], 0.0))

    def state(self) -> dict[str, Tensor]:
        """Return what the model needs to be as it is now, but with all trained weights: copies on the CPU."""
        now = self.model.state_dict()
        others = {name: now[name].detach().to("cpu", copy=True) for name in self._state if name not in self.masks}
        return {**self.weights, **others}

    def first_examples(self, count: int) -> tuple[Tensor, Tensor]:
        """Return training examples in the order in which training saw them first, without augmentation.

        Parameters
        ----------
        count
            How many; all where there are fewer.

        Returns
        -------
        inputs, targets
            On the device; they do not depend on the size of batches.
        """
        recipe = self.source.recipe
        inputs: list[Tensor] = []
        targets: list[Tensor] = []
        missing = count
        # A batch is never larger than what is missing at first, so that few examples cost little.
        batches = self.source.data.training(min(count, recipe.batch_size), recipe.seed)
        for batch, labels in batches.epoch(0):
            inputs.append(batch[:missing])
            targets.append(labels[:missing])
            missing -= len(inputs[-1])
            if missing <= 0:
                break
        return torch.cat(inputs), torch.cat(targets)
