"""The operator graph of a model that a checkpoint belongs to, and whether it does."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from masktools.errors import CheckpointError
from masktools.importers.parts import Parts
from masktools.snapshot.streamed import StreamedArray
from masktools.topology.graph import Topology
from masktools_train.initialization import outputs_of
from masktools_train.models import build_model
from masktools_train.own_graph import graph_of
from masktools_train.sparse_layer import prunable_weights

__all__ = ["Network"]

_COUNTER = "num_batches_tracked"
"""Of batch norm; older versions of torch, and other programs, do not save it."""

_SHOWN = 6
"""How many names of the model an error shows."""


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A model, without its weights.

    Parameters
    ----------
    name
        As it was asked for.
    topology
        Its operator graph.
    layers
        Names of its weights, in network order.
    state
        All parameters and buffers by name.
    """

    name: str
    topology: Topology
    layers: tuple[str, ...]
    state: Mapping[str, Tensor]

    @classmethod
    def build(
        cls,
        name: str,
        options: Mapping[str, Any],
        input_shape: Sequence[int],
        classes: int,
        whose: str = "that of --input-shape",
    ) -> "Network":
        """Build a model as recipes do, and trace it.

        Parameters
        ----------
        name
            A built-in name, or ``package.module:function``.
        options
            Its keyword arguments.
        input_shape, classes
            Shape of one input and number of outputs.
        whose
            Where the shape is from, for the error.

        Raises
        ------
        RecipeError
            If it cannot be built, or does not take such inputs.
        TraceError
            If it cannot be followed.
        """
        with torch.random.fork_rng():
            model = build_model(name, options, input_shape, classes)
        example = torch.zeros(2, *input_shape)
        # First as it is: what fails in the model's own code is no operation that cannot be followed.
        outputs_of(model, example, f"--model {name}", whose)
        topology = graph_of(model, example)
        return cls(name, topology, tuple(prunable_weights(model)), model.state_dict(keep_vars=True))

    def fitted(self, parts: Parts, file: str) -> Parts:
        """Return the parts of a checkpoint of this model, counters that it lacks set to 0.

        Parameters
        ----------
        parts
            Of the checkpoint.
        file
            For messages.

        Raises
        ------
        CheckpointError
            If names or shapes differ; the message names the first that does.
        """
        arrays = dict(parts.arrays)
        given = {id(self.state[name]) for name in arrays if name in self.state}
        for name, value in self.state.items():
            if name.rpartition(".")[2] == _COUNTER and name not in arrays:
                arrays[name] = StreamedArray.of(np.zeros((), np.int64))
                given.add(id(value))
        problems = [f"{name!r} is not in the model" for name in arrays if name not in self.state]
        problems += [f"{name!r} is not in the file" for name, value in self.state.items() if id(value) not in given]
        problems += [
            f"{name!r} has shape {array.shape}, in the model {tuple(self.state[name].shape)}"
            for name, array in arrays.items()
            if name in self.state and tuple(self.state[name].shape) != array.shape
        ]
        problems += [f"{name!r} is a layer, and not in the file" for name in self.layers if name not in arrays]
        if problems:
            more = f" (and {len(problems) - 1} more such differences)" if len(problems) > 1 else ""
            other = "" if all(name in self.state for name in arrays) else self._instead()
            raise CheckpointError(f"{file}: does not fit --model {self.name}: {problems[0]}{more}{other}")
        return dataclasses.replace(parts, arrays=arrays)

    def _instead(self) -> str:
        """Say what the model has in place of names that it has not, and how another model is given."""
        names = [name for name in self.state if name.rpartition(".")[2] != _COUNTER]
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        own = "" if ":" in self.name else "; a model of your own is --model package.module:function"
        return f"; the model has {shown}{own}"
