"""The parameters of a recorded network one by one, as other programs want them: whole, and the mask of each layer."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools import __version__
from masktools.errors import StructureError
from masktools.snapshot.content import axis_order
from masktools.structure.source import Recorded

__all__ = ["MASK", "NamedArray", "Parameter", "about", "array_names", "named_arrays", "parameters"]

MASK = "_mask"
"""What the name of a mask ends with, after the name of its weight."""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One layer; its arrays are read when they are asked for, and not kept, so that memory holds one layer at a time.

    Parameters
    ----------
    moment
        The network that it is of.
    name
        Name of the weight.
    """

    moment: Recorded
    name: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask, axes in PyTorch's order where they are named."""
        return self._ordered(self.moment.snapshot.mask(self.name))

    @property
    def stored(self) -> NDArray[Any] | None:
        """The weight as it was recorded: inactive weights are 0 unless the snapshot is dense; None without weights."""
        if self.moment.snapshot.layer(self.name).weights == "none":
            return None
        return self._ordered(self.moment.snapshot.weight(self.name))

    @property
    def weight(self) -> NDArray[Any] | None:
        """The weight that the network computes with: inactive weights are 0; None without weights."""
        stored = self.stored
        if stored is None or self.moment.snapshot.layer(self.name).weights != "dense":
            return stored
        return np.where(self.mask, stored, np.zeros((), stored.dtype))

    def _ordered(self, array: NDArray[Any]) -> NDArray[Any]:
        order = axis_order(self.moment.snapshot.layer(self.name).axes, array.ndim)
        return array if order is None else np.ascontiguousarray(array.transpose(order))


def parameters(moment: Recorded) -> Iterator[Parameter]:
    """Yield the layers in network order.

    Parameters
    ----------
    moment
        The network at one moment.
    """
    return (Parameter(moment, name) for name in moment.snapshot.layers)


def about(moment: Recorded) -> dict[str, str]:
    """Return what files with metadata say of themselves: version of masktools, epoch, name of the run.

    Parameters
    ----------
    moment
        The network at one moment.
    """
    path = moment.path.resolve()
    return {"masktools": __version__, "epoch": str(moment.epoch), "run": path.name if path.is_dir() else path.stem}


def array_names(moment: Recorded, *endings: str) -> None:
    """See that the arrays of a file can be told apart.

    Parameters
    ----------
    moment
        The network at one moment.
    endings
        What the name of each layer is followed by, for each array that is written of it.

    Raises
    ------
    StructureError
        If two arrays would have the same name; the message names the file.
    """
    snapshot = moment.snapshot
    names = [*(f"{layer}{ending}" for layer in snapshot.layers for ending in endings), *snapshot.tensor_names]
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise StructureError(f"{snapshot.path}: two arrays would have the name {twice!r}")


@dataclasses.dataclass(frozen=True)
class NamedArray:
    """An array that is to be written.

    Parameters
    ----------
    name
        Its name in the file.
    read
        Reads it, once its turn has come.
    """

    name: str
    read: Callable[[], NDArray[Any]]


def named_arrays(moment: Recorded) -> Iterator[NamedArray]:
    """Yield every array of a network: weights with inactive ones 0, masks, other tensors.

    Parameters
    ----------
    moment
        The network at one moment.

    Returns
    -------
    iterator of NamedArray
        Of each layer the weight, where it was recorded, and the mask; then all others.

    Raises
    ------
    StructureError
        If two arrays would have the same name.
    SnapshotError
        If the snapshot cannot be read.
    """
    array_names(moment, "", MASK)
    return _arrays(moment)


def _arrays(moment: Recorded) -> Iterator[NamedArray]:
    for parameter in parameters(moment):
        if moment.snapshot.layer(parameter.name).weights != "none":
            yield NamedArray(parameter.name, functools.partial(_weight, parameter))
        yield NamedArray(f"{parameter.name}{MASK}", functools.partial(_mask, parameter))
    for name, tensor in moment.snapshot.tensors().items():
        yield NamedArray(name, functools.partial(np.asarray, tensor))


def _weight(parameter: Parameter) -> NDArray[Any]:
    weight = parameter.weight
    assert weight is not None  # noqa: S101  (asked for only where there is one)
    return weight


def _mask(parameter: Parameter) -> NDArray[Any]:
    return parameter.mask
