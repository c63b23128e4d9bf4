"""Record snapshots of a model: our own loop's, or anyone's."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masktools.runs import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.topology.graph import Topology
from masktools_train.masked_layers import prunable_weights
from masktools_train.sparsifier import Sparsifier

__all__ = ["Recorder"]


class Recorder:
    """Writes a run directory, one snapshot an epoch.

    >>> recorder = Recorder("runs/mine", model, sparsifier)  # doctest: +SKIP
    >>> recorder.snapshot(epoch=1)  # doctest: +SKIP

    Parameters
    ----------
    path
        The run directory; made when missing.
    model
        The network.
    sparsifier
        What knows the masks; without one every layer is recorded as dense.
    config
        What every snapshot repeats of the configuration, JSON-serialisable.
    topology
        The operator graph, from `masktools_train.trace`; connectivity can be analysed only with it.
    weights
        Which weight values to store: ``active`` ones, ``dense`` (all of them, those included that train behind
        the mask) or ``none``.
    dtype
        ``float32`` or ``float16``, of the stored weights.
    """

    def __init__(
        self,
        path: str | Path,
        model: nn.Module,
        sparsifier: Sparsifier | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        topology: Topology | None = None,
        weights: str = "active",
        dtype: str = "float32",
    ) -> None:
        self.writer = RunWriter(path)
        self._model = model
        self._sparsifier = sparsifier
        self._config = dict(config or {})
        self._topology = topology
        self._kind = weights
        self._dtype = np.dtype(dtype)

    def snapshot(self, epoch: int, step: int = 0, **extra: int | float | str) -> Path:
        """Write the snapshot of an epoch and return its path.

        At epoch 0 the *dense* initial weights are stored beside the first masks.

        Parameters
        ----------
        epoch
            Number of finished epochs; 0 is the initialisation.
        step
            Number of finished optimizer steps.
        extra
            Further facts about this moment, for example ``level=3``.

        Raises
        ------
        SnapshotError
            If the file cannot be written.
        """
        return self.writer.snapshot(self.content(epoch, step, **extra))

    def content(self, epoch: int, step: int = 0, **extra: int | float | str) -> SnapshotContent:
        """Return what `snapshot` writes, copied off the device."""
        return self.captured(epoch, step, **extra)()

    def captured(self, epoch: int, step: int = 0, **extra: int | float | str) -> Callable[[], SnapshotContent]:
        """Copy off the device what `snapshot` writes; selecting and packing is left to the function returned.

        That takes longer than the copy, and can be done while training goes on.
        """
        weights = prunable_weights(self._model)
        known = {layer.name: layer for layer in self._sparsifier.layers} if self._sparsifier else {}
        kind = "dense" if epoch == 0 and self._kind == "active" else self._kind
        copies: list[tuple[str, NDArray[Any] | None, NDArray[Any] | None, tuple[int, ...], bool]] = []
        for name, weight in weights.items():
            layer = known.get(name)
            values: Tensor = weight
            if self._sparsifier and layer and kind == "dense":
                values = self._sparsifier.initial[name] if epoch == 0 else layer.dense_values
            mask = _array(layer.mask, torch.bool) if layer else None
            copies.append(
                (
                    name,
                    mask,
                    None if kind == "none" else _array(values),
                    tuple(weight.shape),
                    layer.prunable if layer else True,
                )
            )
        # By identity, because a weight that layers share has several names and is stored under the first.
        pruned = {id(weight) for weight in weights.values()}
        state = self._model.state_dict(keep_vars=True)
        tensors = {name: _array(value) for name, value in state.items() if id(value) not in pruned}

        def content() -> SnapshotContent:
            layers = tuple(
                LayerContent.from_dense(
                    name,
                    np.ones(shape, dtype=np.bool_) if mask is None else mask,
                    None if values is None else values.astype(self._dtype, copy=False),
                    kind,
                    prunable=prunable,
                )
                for name, mask, values, shape, prunable in copies
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
