"""Results of taking out of a network what it does not need."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from masktools.frames import ToFrame
from masktools.topology.graph import Topology

__all__ = ["CompactReport", "CompactTotal", "Cost", "LayerChange", "LeftAlone", "Proof", "multiply_accumulates"]


@dataclasses.dataclass(frozen=True)
class LayerChange:
    """One layer before and after.

    Parameters
    ----------
    name
        Name of the weight.
    shape_before, shape_after
        Its shapes.
    active_before, active_after
        Numbers of active weights.
    """

    name: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...]
    active_before: int
    active_after: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        fields = dataclasses.asdict(self)
        return {**fields, "shape_before": list(self.shape_before), "shape_after": list(self.shape_after)}


@dataclasses.dataclass(frozen=True)
class LeftAlone:
    """A set of hidden units out of which nothing was taken, whatever it holds.

    Parameters
    ----------
    layer
        Name of the first parameter along which they lie.
    units
        Their number.
    reason
        Why.
    """

    layer: str
    units: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a network costs when it is run densely.

    Parameters
    ----------
    parameters
        Number of parameters, those included that are zero.
    bytes
        Size of parameters and buffers.
    multiply_accumulates
        Of all its layers for one input: see `multiply_accumulates`.
    seconds
        Median time of a batch; None where it was not measured.
    """

    parameters: int
    bytes: int
    multiply_accumulates: int
    seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class CompactTotal:
    """The network before and after.

    Parameters
    ----------
    units_before, units_after
        Numbers of hidden units: channels or features that can be told apart in all layers they meet.
    dead
        Units taken out because nothing that leads to an output reads them.
    folded
        Units taken out because they are constant where they are read: ghosts, whose constant went into biases.
    kept
        Units that are dead or constant and yet stayed, by reason.
    left
        Sets of units that were left alone.
    before, after
        What both networks cost.
    """

    units_before: int
    units_after: int
    dead: int
    folded: int
    kept: Mapping[str, int]
    left: tuple[LeftAlone, ...]
    before: Cost
    after: Cost

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; costs are pairs of keys that end with ``_before`` and ``_after``."""
        costs = {
            f"{field.name}_{when}": getattr(cost, field.name)
            for field in dataclasses.fields(Cost)
            for when, cost in (("before", self.before), ("after", self.after))
        }
        return {
            "units_before": self.units_before,
            "units_after": self.units_after,
            "dead": self.dead,
            "folded": self.folded,
            "kept": dict(self.kept),
            "left": [dataclasses.asdict(group) for group in self.left],
            **costs,
        }


@dataclasses.dataclass(frozen=True)
class Proof:
    """How far the outputs of two networks are apart on the same inputs.

    Parameters
    ----------
    inputs
        Number of inputs.
    float32, float64
        Largest difference of an output when both are calculated in this precision. In double precision both networks
        come from the stored weights, and constants are folded without rounding them to single precision.
    largest_output
        Largest absolute value of an output of the network before, in double precision.
    tolerance
        Largest difference that was accepted.
    """

    inputs: int
    float32: float
    float64: float
    largest_output: float
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class CompactReport(ToFrame):
    """A network without the units that it does not need, beside the one that it was.

    Parameters
    ----------
    run, epoch
        The network.
    layers
        In network order.
    total
        Units and costs.
    proof
        That both are the same function.
    batch_size, threads
        How the times were measured.
    out
        The run that was written, or None.
    program
        File in it that holds the network as a program of its own, or None.
    program_problem
        Why there is none, where a run was written.
    """

    run: str
    epoch: int
    layers: tuple[LayerChange, ...]
    total: CompactTotal
    proof: Proof
    batch_size: int
    threads: int
    out: str | None = None
    program: str | None = None
    program_problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "run": self.run,
            "epoch": self.epoch,
            "layers": [layer.to_dict() for layer in self.layers],
            "total": {
                "active_before": sum(layer.active_before for layer in self.layers),
                "active_after": sum(layer.active_after for layer in self.layers),
                **self.total.to_dict(),
                "batch_size": self.batch_size,
                "threads": self.threads,
            },
            "proof": self.proof.to_dict(),
            "out": self.out,
            "program": self.program,
            "program_problem": self.program_problem,
        }


def multiply_accumulates(topology: Topology, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Count the products that linear and convolutional layers need for one input when they are calculated densely.

    Padding counts as input. What attention, norms and activations calculate is left out.

    Parameters
    ----------
    topology
        The operator graph.
    shapes
        Shape of the weight by layer name.

    Examples
    --------
    >>> from masktools.topology.graph import Node
    >>> nodes = Node("input", (), (4,)), Node("linear", (0,), (3,), "fc"), Node("output", (1,), (3,))
    >>> multiply_accumulates(Topology(nodes), {"fc": (3, 4)})
    12
    """
    return sum(
        math.prod(shapes[node.weight]) * math.prod(node.shape[1:]) for node in topology.nodes if node.weight is not None
    )
