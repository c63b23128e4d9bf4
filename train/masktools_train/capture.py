"""What a snapshot holds, copied out of a model that goes on training."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.topology.graph import Topology
from masktools_train.given_masks import GivenMasks, chosen_masks
from masktools_train.model_weights import model_weights
from masktools_train.sparsifier import Sparsifier
from masktools_train.wrapping import unwrapped

__all__ = ["Capture"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Copy:
    """A layer, off the device."""

    name: str
    mask: NDArray[Any] | None
    values: NDArray[Any] | None
    shape: tuple[int, ...]
    prunable: bool


class Capture:
    """Takes the content of snapshots from a model; it knows of no file.

    Parameters
    ----------
    model
        The network.
    sparsifier
        What knows the masks.
    config, topology, weights, dtype, masks
        As for `masktools_train.Recorder`.
    """

    def __init__(
        self,
        model: nn.Module,
        sparsifier: Sparsifier | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        topology: Topology | None = None,
        weights: str = "active",
        dtype: str = "float32",
        masks: GivenMasks | None = None,
    ) -> None:
        self._model = unwrapped(model)
        self._sparsifier = sparsifier
        self._config = dict(config or {})
        self._topology = topology
        self._kind = weights
        self._dtype = np.dtype(dtype)
        self._masks = masks

    def content(self, epoch: int, step: int = 0, **extra: int | float | str) -> SnapshotContent:
        """Return the content of a snapshot, copied off the device."""
        return self.captured(epoch, step, **extra)()

    def captured(self, epoch: int, step: int = 0, **extra: int | float | str) -> Callable[[], SnapshotContent]:
        """Copy off the device what a snapshot holds; selecting and packing is left to the function returned.

        That takes longer than the copy, and can be done while training goes on.

        Raises
        ------
        RecipeError
            If a mask is wanting or fits no layer.
        """
        found = model_weights(self._model)
        masks = chosen_masks(self._masks, found.layers) if self._sparsifier is None else {}
        known = {layer.name: layer for layer in self._sparsifier.layers} if self._sparsifier else {}
        kind = "dense" if epoch == 0 and self._kind == "active" else self._kind
        copies = []
        for name, weight in found.layers.items():
            layer, values = known.get(name), weight.values
            # A moving average has values of its own, and nothing behind its masks.
            if self._sparsifier and layer and kind == "dense" and values is layer.parameter:
                values = self._sparsifier.initial[name] if epoch == 0 else layer.dense_values
            mask = layer.mask if layer else masks.get(name)
            copies.append(
                _Copy(
                    name,
                    None if mask is None else _array(mask, torch.bool),
                    None if kind == "none" else _array(values),
                    tuple(weight.values.shape),
                    layer.prunable if layer else True,
                )
            )
        tensors = {name: _array(value) for name, value in found.others.items()}

        def content() -> SnapshotContent:
            layers = tuple(
                LayerContent.from_dense(
                    copy.name,
                    np.ones(copy.shape, dtype=np.bool_) if copy.mask is None else copy.mask,
                    None if copy.values is None else copy.values.astype(self._dtype, copy=False),
                    kind,
                    prunable=copy.prunable,
                )
                for copy in copies
            )
            return SnapshotContent(
                epoch, step, layers, self._config, tensors, topology=self._topology, extra=dict(extra)
            )

        return content


def _array(tensor: Tensor, dtype: torch.dtype | None = None) -> NDArray[Any]:
    """Copy a tensor to a NumPy array, once; bfloat16, which NumPy lacks, becomes float32 without loss."""
    if dtype is None:
        dtype = torch.float32 if tensor.dtype == torch.bfloat16 else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).numpy()
