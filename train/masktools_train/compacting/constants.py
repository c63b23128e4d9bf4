"""What layers read where no input arrives: constants, and whether they can go into a bias."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from masktools.topology.fields import Field
from masktools.topology.graph import CONVOLUTIONS, Node, Topology
from masktools_train.evaluation_mode import evaluating

__all__ = ["EQUAL", "Reads", "contribution", "reads_of"]

EQUAL = 1e-12
"""Largest relative difference of values in double precision that are the same but for rounding."""

_FUNCTIONS = {nn.functional.linear: "linear", torch.conv1d: "conv1d", torch.conv2d: "conv2d", torch.conv3d: "conv3d"}


class _Listener(TorchFunctionMode):
    """Notes what linear and convolutional layers are fed, by the weight that they use."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names = names
        self.heard: dict[str, list[Tensor]] = {name: [] for name in names.values()}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FUNCTIONS:
            weight = args[1] if len(args) > 1 else kwargs.get("weight")
            name = self._names.get(id(weight))
            if name is not None:
                # A copy: what comes later may write into the same memory.
                self.heard[name].append((args[0] if args else kwargs["input"]).detach().clone())
        return func(*args, **kwargs)


@dataclasses.dataclass(frozen=True, eq=False)
class Reads:
    """What layers were fed.

    Parameters
    ----------
    values
        For each node (by number) an array of double precision, shape (inputs, units, positions); nodes of which it is
        not known are missing.
    """

    values: Mapping[int, NDArray[np.float64]]

    def constant(self, number: int, units: NDArray[np.intp], where: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return the values of some units of what a node reads, or None if they are not the same for all inputs.

        Parameters
        ----------
        number
            The node.
        units
            The units.
        where
            Where they have to be the same, shape (units, positions). Elsewhere they are those of the first input.
        """
        values = self.values[number][:, units]
        spread = np.where(where, np.ptp(values, axis=0), 0)
        return values[0] if spread.max() <= EQUAL * max(1.0, float(np.abs(values[0]).max())) else None


def reads_of(
    model: nn.Module, topology: Topology, weights: Mapping[str, nn.Parameter], inputs: Tensor, wanted: Collection[str]
) -> Reads:
    """Run a model on two batches and note what layers read.

    Parameters
    ----------
    model
        In double precision.
    topology
        Its operator graph.
    weights
        The weights by layer name.
    inputs
        At least two different inputs; each batch is a half of them.
    wanted
        Names of the layers to listen to.
    """
    listener = _Listener({id(weights[name]): name for name in wanted})
    halves = inputs.tensor_split(2)
    heard: list[dict[str, list[Tensor]]] = []
    for half in halves:
        listener.heard = {name: [] for name in wanted}
        with evaluating(model), torch.no_grad(), listener:
            model(half)
        heard.append(listener.heard)
    places: dict[str, int] = dict.fromkeys(wanted, 0)
    values = {}
    for number, node in enumerate(topology.nodes):
        if node.weight not in places:
            continue
        place, places[node.weight] = places[node.weight], places[node.weight] + 1
        calls = [each[node.weight] for each in heard]
        uses = sum(other.weight == node.weight for other in topology.nodes)
        if any(len(call) != uses for call in calls):
            continue  # called otherwise than the graph says, for example by a part of the weight
        shape = topology.nodes[node.inputs[0]].shape
        parts = [_arranged(call[place], node, shape, len(half)) for call, half in zip(calls, halves, strict=True)]
        known = [part for part in parts if part is not None]
        if len(known) == len(parts):
            values[number] = np.concatenate(known)
    return Reads(values)


def _arranged(fed: Tensor, node: Node, shape: tuple[int, ...], batch: int) -> NDArray[np.float64] | None:
    """Return what a layer was fed as an array (inputs, units, positions), or None where it lies otherwise."""
    units = fed.movedim(-1, 1) if node.op == "linear" else fed
    if units.ndim < 2 or units.shape[:2] != (batch, shape[0]) or units[0].numel() != math.prod(shape):
        return None
    return units.reshape(batch, shape[0], -1).double().cpu().numpy()


def contribution(
    node: Node,
    shape: tuple[int, ...],
    weight: NDArray[np.float64],
    values: NDArray[np.float64],
    useful: Field,
    rows: NDArray[np.intp],
) -> NDArray[np.float64] | None:
    """Return what constant units add to the outputs of a layer, or None if it is not the same at all positions.

    Parameters
    ----------
    node
        The layer.
    shape
        Shape of its source.
    weight
        Its weights for these units and rows, inactive ones 0; shape (rows, units, taps ...).
    values
        What the units are, shape (units, positions).
    useful
        Where outputs of the layer reach an output of the network: what is elsewhere does not count.
    rows
        The outputs that `weight` belongs to.

    Returns
    -------
    ndarray or None
        Shape (rows,); NaN for an output that counts nowhere.
    """
    if node.op == "linear":
        added = weight @ values
    else:
        added = _convolved(node, weight, values.reshape(-1, *shape[1:])).reshape(len(rows), -1)
    where = useful.columns[rows][:, useful.index]
    first = added[np.arange(len(rows)), where.argmax(axis=1)]
    apart = np.where(where, np.abs(added - first[:, None]), 0).max(axis=1)
    most = np.abs(weight).reshape(len(rows), len(values), -1).sum(axis=2) @ np.abs(values).max(axis=1)
    return np.where(where.any(axis=1), first, np.nan) if (apart <= EQUAL * most).all() else None


def _convolved(node: Node, weight: NDArray[np.float64], maps: NDArray[np.float64]) -> NDArray[np.float64]:
    convolve = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}[CONVOLUTIONS[node.op]]
    window = node.window
    assert window is not None  # noqa: S101  (a convolution has one)
    made: Tensor = convolve(
        torch.from_numpy(np.ascontiguousarray(maps))[None],
        torch.from_numpy(np.ascontiguousarray(weight)),
        None,
        window.stride,
        window.padding,
        window.dilation,
    )
    return made[0].numpy()
