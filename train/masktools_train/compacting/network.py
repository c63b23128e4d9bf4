"""Make a network smaller that does not need all its units."""

import copy
import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masktools.errors import StructureError
from masktools.structure.compaction import LeftAlone
from masktools.topology.graph import Topology
from masktools.topology.reach import forward
from masktools_train.compacting.cautious import cautious
from masktools_train.compacting.constants import Reads, reads_of
from masktools_train.compacting.holders import Holders
from masktools_train.compacting.plan import Plan, plan_of, reading_of
from masktools_train.compacting.proof import check, exact_arithmetic, proof_of
from masktools_train.compacting.sets import UnitSet, unit_sets
from masktools_train.compacting.surgery import cut, set_masked
from masktools_train.sparse_layer import prunable_weights
from masktools_train.tracing import trace

__all__ = ["CompactNetwork", "compact_model"]

_LISTENED = 8
"""Inputs on which constants are read."""


@dataclasses.dataclass(frozen=True, eq=False)
class CompactNetwork:
    """A network without the units that it does not need.

    Parameters
    ----------
    model
        The smaller network, parameters in the precision that they had.
    masks
        Its boolean masks by layer name.
    topology
        Its operator graph.
    units_before, units_after
        Numbers of hidden units.
    dead, folded
        Units taken out because nothing reads them, and because they are constant.
    kept
        Units that are dead or constant and stayed, by reason.
    left
        Sets of units out of which nothing was taken.
    original_topology
        The operator graph of the network before.
    exact
        The network before (under its masks) and after, in double precision.
    """

    model: nn.Module
    masks: dict[str, NDArray[np.bool_]]
    topology: Topology
    units_before: int
    units_after: int
    dead: int
    folded: int
    kept: Mapping[str, int]
    left: tuple[LeftAlone, ...]
    original_topology: Topology
    exact: tuple[nn.Module, nn.Module]


def compact_model(
    model: nn.Module, example: Tensor, masks: Mapping[str, NDArray[np.bool_] | Tensor] | None = None
) -> CompactNetwork:
    """Return an equivalent network without the hidden units that a sparse one does not need.

    Units that no weight on a way to an output reads are left out. So are units that the input does not reach, if what
    they are can go into the biases of the layers that read them. What cannot be told or cut stays. That both networks
    are the same function is checked on `example`.

    Parameters
    ----------
    model
        The network; it is not changed. What counts is what it does in evaluation mode.
    example
        Inputs, at least two different ones.
    masks
        Boolean masks by layer name; layers without one are dense. None takes all weights that are not zero.

    Returns
    -------
    CompactNetwork
        With the smaller network, as a copy whose modules have the same names.

    Raises
    ------
    StructureError
        If the operator graph cannot be traced, the masks do not fit, the network cannot be run in double
        precision, its code does not run with fewer units, or the outputs differ.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 2))
    >>> with torch.no_grad():
    ...     model[2].weight[:, 3:] = 0
    >>> compact_model(model, torch.randn(8, 4)).model[0]
    Linear(in_features=4, out_features=3, bias=True)
    """
    if len(example) < 2 or bool((example == example[:1]).all()):
        raise StructureError("at least two different inputs are needed to tell what depends on them")
    with exact_arithmetic():
        topology = trace(model, example)
        active = _masks(model, masks)
        single = copied(model)
        set_masked(single, active)
        double = copied(single).double()
        sets, plan = _planned(double, topology, active, example)
        smaller = copied(double)
        left = cut(smaller, sets, plan)
        rounded = _rounded(smaller, model)
        check(proof_of((single, double), (rounded, smaller), [example]))
    return CompactNetwork(
        model=rounded,
        masks=left,
        topology=trace(rounded, example),
        units_before=sum(each.group.size for each in sets),
        units_after=sum(int((~gone).sum()) for gone in plan.gone),
        dead=plan.dead,
        folded=plan.folded,
        kept=plan.kept,
        left=tuple(
            LeftAlone((each.group.members or each.group.biases)[0].layer, each.group.size, each.refusal)
            for each in sets
            if each.refusal
        ),
        original_topology=topology,
        exact=(double, smaller),
    )


def copied(model: nn.Module) -> nn.Module:
    """Copy a model.

    Raises
    ------
    StructureError
        If that is not possible.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever the user's modules hold
        raise StructureError(f"the network cannot be copied: {type(error).__name__}: {error}") from error


def _masks(model: nn.Module, masks: Mapping[str, NDArray[np.bool_] | Tensor] | None) -> dict[str, NDArray[np.bool_]]:
    weights = prunable_weights(model)
    if masks is None:
        return {name: (weight.detach() != 0).cpu().numpy() for name, weight in weights.items()}
    unknown = sorted(set(masks) - set(weights))
    if unknown:
        raise StructureError(f"layer {unknown[0]} is not in the model")
    found = {}
    for name, weight in weights.items():
        given = masks.get(name, np.ones(weight.shape, dtype=np.bool_))
        mask = given.cpu().numpy() if isinstance(given, Tensor) else given
        if mask.shape != tuple(weight.shape) or mask.dtype != np.bool_:
            raise StructureError(
                f"layer {name}: {mask.dtype} mask {mask.shape} does not fit weight {tuple(weight.shape)}"
            )
        found[name] = mask
    return found


def _planned(
    model: nn.Module, topology: Topology, masks: Mapping[str, NDArray[np.bool_]], example: Tensor
) -> tuple[tuple[UnitSet, ...], Plan]:
    holders = Holders(model)
    weights = prunable_weights(model)
    known = {name: masks[name] for name in topology.layers}
    sets = unit_sets(topology, {name: mask.shape for name, mask in known.items()}, holders)
    careful = cautious(topology, holders.running())
    reads = _reads(model, careful, known, weights, example)
    values = {name: weights[name].detach().cpu().numpy() for name in known}
    plan = plan_of(careful, sets, known, values, reads, _biased(topology, holders))
    # Layers that the network does not use have no part in the graph, and stay as they are.
    return sets, dataclasses.replace(plan, masks={name: plan.masks.get(name, mask) for name, mask in masks.items()})


def _reads(
    model: nn.Module,
    topology: Topology,
    masks: Mapping[str, NDArray[np.bool_]],
    weights: Mapping[str, nn.Parameter],
    example: Tensor,
) -> Reads:
    """Listen to the layers that read anything that the input does not reach."""
    reading = reading_of(topology, masks, forward(topology, masks))
    wanted = {
        str(topology.nodes[number].weight)
        for number, field in reading.read.items()
        if (field.anywhere & ~reading.live[number]).any()
    }
    inputs = torch.cat([example[: _LISTENED // 2], example[-(_LISTENED // 2) :]]).double()
    try:
        return reads_of(model, topology, weights, inputs, wanted)
    except Exception as error:  # whatever the user's code makes of another precision
        raise StructureError(
            f"the network cannot be run in double precision: {type(error).__name__}: {error}"
        ) from error


def _biased(topology: Topology, holders: Holders) -> frozenset[str]:
    """Return the weights to whose outputs a constant can be added by a bias that nothing else uses."""
    users: dict[str, set[str | None]] = {}
    for node in topology.nodes:
        if node.bias is not None:
            users.setdefault(node.bias, set()).add(node.weight)
    found = set()
    for name in topology.layers:
        own = [module.bias for module in holders.layers(name) if not holders.obstacle(name)]
        named = [node.bias for node in topology.nodes if node.weight == name]
        if any(bias is not None for bias in named):
            fits = all(
                bias is not None and users[bias] == {name} and any(holders.parameter(bias) is one for one in own)
                for bias in named
            )
            fits = fits and not any(one is None for one in own)
        else:
            fits = bool(own) and all(one is None for one in own)
        if fits:
            found.add(name)
    return frozenset(found)


def _rounded(model: nn.Module, like: nn.Module) -> nn.Module:
    """Return a copy of a model in double precision with every tensor in the precision that it had before."""
    made = copied(model)
    before = {**dict(like.named_parameters(remove_duplicate=False)), **dict(like.named_buffers(remove_duplicate=False))}
    for prefix, module in made.named_modules():
        for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            if tensor.is_floating_point():
                known = before.get(f"{prefix}.{name}" if prefix else name)
                # A bias that is new has the precision of its weight, which is read before or after it.
                tensor.data = tensor.data.to(module.weight.dtype if known is None else known.dtype)
    return made
