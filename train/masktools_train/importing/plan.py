"""One checkpoint made ready: its format found, its layers chosen, and how many weights of each stay."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from masktools.errors import CheckpointError
from masktools.importers.checkpoint import Checkpoint
from masktools.importers.layers import Choice, choose
from masktools.importers.parts import Parts
from masktools.importers.registry import FORMATS, find_format
from masktools.importers.sequential import sequential_graph
from masktools.importers.sources import Source
from masktools.topology.graph import Topology
from masktools_train.budgets import DISTRIBUTIONS, global_count, layer_counts
from masktools_train.importing.reading import open_checkpoint

if TYPE_CHECKING:
    from masktools_train.importing.networks import Network

__all__ = ["DISTRIBUTION_NAMES", "Asked", "Plan", "plan_import"]

DISTRIBUTION_NAMES = (*DISTRIBUTIONS, "global")
"""How a density may be spread over layers."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of every checkpoint alike; as for `masktools_train.import_run`."""

    format: str = "auto"
    key: str | None = None
    masks: Path | None = None
    density: float | None = None
    distribution: str = "uniform"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    sequential: bool = False
    input_shape: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A checkpoint made ready; nothing but headers was read of it.

    Parameters
    ----------
    checkpoint
        The file.
    format
        Name of its format.
    parts
        What it was taken apart into.
    chosen
        Its layers.
    counts
        How many weights stay in each layer whose largest are selected, or in all such layers together.
    topology
        The operator graph, where it is known.
    """

    checkpoint: Checkpoint
    format: str
    parts: Parts
    chosen: tuple[Choice, ...]
    counts: Mapping[str, int] | int
    topology: Topology | None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each layer."""
        return {choice.name: self.parts.arrays[choice.name].shape for choice in self.chosen}


def plan_import(source: Source, asked: Asked, network: "Network | None" = None) -> Plan:
    """Open a checkpoint and see what there is to do.

    Parameters
    ----------
    source
        Its files.
    asked
        What is asked.
    network
        The model that it belongs to.

    Raises
    ------
    CheckpointError
        If it cannot be read, is ambiguous, or does not fit what was asked.
    RecipeError
        If a density is out of range.
    """
    checkpoint = open_checkpoint(source, key=asked.key, masks=asked.masks)
    form = find_format(checkpoint, asked.format, asked.density)
    parts = FORMATS[form].parts(checkpoint)
    file = checkpoint.name
    odd = next((name for name, array in parts.arrays.items() if array.dtype.kind not in "fiub"), None)
    if odd is not None:
        raise CheckpointError(
            f"{file}: {odd}: its elements (complex, quantized, sparse, float8, …) are no numbers that a snapshot holds"
        )
    if network is not None:
        parts = network.fitted(parts, file)
    chosen = tuple(
        choose(
            parts,
            file,
            include=asked.include,
            exclude=asked.exclude,
            density=asked.density,
            network=None if network is None else network.layers,
        )
    )
    ranked = {choice.name: parts.arrays[choice.name].shape for choice in chosen if choice.mask in ("scores", "largest")}
    counts: Mapping[str, int] | int = {}
    if ranked and asked.density is not None:
        spread = asked.distribution
        counts = (
            global_count(ranked, asked.density) if spread == "global" else layer_counts(ranked, asked.density, spread)
        )
    plan = Plan(checkpoint, form, parts, chosen, counts, None if network is None else network.topology)
    if asked.sequential:
        return dataclasses.replace(plan, topology=sequential_graph(plan.shapes, file, asked.input_shape))
    return plan
