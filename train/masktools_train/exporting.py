"""Recorded networks as state dicts of torch: as `torch.nn.utils.prune` keeps them, or plain."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.exporters.parameters import MASK, Parameter, array_names, parameters
from masktools.exporters.registry import ExportFormat
from masktools.structure.source import Recorded

if TYPE_CHECKING:
    import torch

__all__ = ["STATE_FORMATS", "plain_state", "pruned_state"]

ORIGINAL = "_orig"
"""What `torch.nn.utils.prune` appends to the name of a weight that is multiplied by its mask."""


def pruned_state(moment: Recorded) -> "dict[str, torch.Tensor]":
    """Return the state dict of a model whose layers were pruned with `torch.nn.utils.prune.custom_from_mask`.

    Every layer of the snapshot has a ``NAME_orig``, with the values of inactive weights where the snapshot is dense
    and 0 elsewhere, and a ``NAME_mask`` of the same type, as torch keeps it. So prune each of them, with any mask,
    before ``model.load_state_dict``.

    Parameters
    ----------
    moment
        The network at one moment.

    Raises
    ------
    StructureError
        If the snapshot holds no weights of a layer, or two tensors would have the same name.
    SnapshotError
        If the snapshot cannot be read.
    """
    array_names(moment, ORIGINAL, MASK)
    state = {}
    for parameter in parameters(moment):
        stored = _there(parameter, parameter.stored)
        state[f"{parameter.name}{ORIGINAL}"] = _tensor(stored)
        state[f"{parameter.name}{MASK}"] = _tensor(parameter.mask.astype(stored.dtype))
    return state | _others(moment)


def plain_state(moment: Recorded) -> "dict[str, torch.Tensor]":
    """Return the state dict of a model that knows of no mask: inactive weights are 0.

    Parameters
    ----------
    moment
        The network at one moment.

    Raises
    ------
    StructureError
        If the snapshot holds no weights of a layer.
    SnapshotError
        If the snapshot cannot be read.
    """
    state = {parameter.name: _tensor(_there(parameter, parameter.weight)) for parameter in parameters(moment)}
    return state | _others(moment)


def _there(parameter: Parameter, weight: NDArray[Any] | None) -> NDArray[Any]:
    if weight is None:
        raise StructureError(
            f"{parameter.moment.snapshot.path}: was written without weights (layer {parameter.name!r}), and a state "
            "dict needs them"
        )
    return weight


def _others(moment: Recorded) -> "dict[str, torch.Tensor]":
    return {name: _tensor(tensor) for name, tensor in moment.snapshot.tensors().items()}


def _tensor(array: NDArray[Any]) -> "torch.Tensor":
    import torch  # takes longer to load than all the rest

    return torch.from_numpy(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))


def _write_pruned(moment: Recorded, path: Path, graph: str) -> None:  # noqa: ARG001
    _save(pruned_state(moment), path)


def _write_plain(moment: Recorded, path: Path, graph: str) -> None:  # noqa: ARG001
    _save(plain_state(moment), path)


def _save(state: "dict[str, torch.Tensor]", path: Path) -> None:
    import torch

    # Given a path, torch would write the name of the temporary file into the archive.
    with path.open("wb") as file:
        torch.save(state, file)


STATE_FORMATS: Mapping[str, ExportFormat] = {
    "prune": ExportFormat(
        ("pt", "pth"),
        "a state dict for a model pruned with `torch.nn.utils.prune`: `NAME_orig`, `NAME_mask`",
        _write_pruned,
    ),
    "plain": ExportFormat((), "a state dict for the model as it is: inactive weights are 0", _write_plain),
}
"""By name, the formats that torch writes."""
