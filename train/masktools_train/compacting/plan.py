"""Which hidden units a network does not need."""

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from masktools.topology.fields import Field
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import Member
from masktools.topology.reach import forward
from masktools_train.compacting.cautious import meeting, read_by, useful_masks
from masktools_train.compacting.constants import EQUAL, Reads, contribution
from masktools_train.compacting.sets import UnitSet

__all__ = ["Plan", "Reading", "plan_of", "reading_of"]

Masks = Mapping[str, NDArray[np.bool_]]
Folds = dict[str, NDArray[np.float64]]

LAST = "the last unit of its layer"


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """What is read of the units under some masks.

    Parameters
    ----------
    masks
        The weights that can change an output.
    reaching
        For each node which units reach an output, and where.
    read
        For each layer node, by number, which units of its source it reads, and where.
    live
        For each of them which of these units the input reaches at a position where they are read.
    """

    masks: dict[str, NDArray[np.bool_]]
    reaching: tuple[Field, ...]
    read: dict[int, Field]
    live: dict[int, NDArray[np.bool_]]


def reading_of(topology: Topology, masks: Masks, reached: tuple[Field, ...]) -> Reading:
    """Return what is read of the units.

    Parameters
    ----------
    topology
        A cautious operator graph.
    masks
        Boolean mask by layer name.
    reached
        For each node which units the input reaches (`masktools.topology.reach.forward`).
    """
    useful, reaching = useful_masks(topology, masks)
    read = {
        number: read_by(topology, node, useful[node.weight], reaching[number])
        for number, node in enumerate(topology.nodes)
        if node.weight is not None
    }
    live = {number: meeting(field, reached[topology.nodes[number].inputs[0]]) for number, field in read.items()}
    return Reading(useful, reaching, read, live)


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What to take out of a network.

    Parameters
    ----------
    gone
        For each set of units which of them go; at least one stays.
    masks
        The active weights that are left, in their old shapes.
    folds
        What is added to the outputs of layers in the place of constant units, by the name of the weight, shape
        (outputs,).
    dead, folded
        Number of units that go because nothing reads them, and because they are constant.
    kept
        Number of units that are dead or constant and stay, by reason.
    """

    gone: tuple[NDArray[np.bool_], ...]
    masks: dict[str, NDArray[np.bool_]]
    folds: Folds
    dead: int
    folded: int
    kept: dict[str, int]


def plan_of(
    topology: Topology,
    sets: tuple[UnitSet, ...],
    masks: Masks,
    weights: Mapping[str, NDArray[np.float64]],
    reads: Reads,
    biased: Collection[str],
) -> Plan:
    """Decide which units go.

    A unit goes if every layer that reads it reads a constant whose contribution is the same at all positions, or
    does not read it at all. What only such units read is not needed either, so this is repeated until nothing changes.

    Parameters
    ----------
    topology
        A cautious operator graph.
    sets
        The sets of hidden units.
    masks
        Boolean mask by layer name.
    weights
        The weights.
    reads
        What the layers read.
    biased
        Names of the weights to whose outputs a constant can be added.
    """
    reached = forward(topology, masks)
    gone = [np.zeros(each.group.size, dtype=np.bool_) for each in sets]
    constant = [np.zeros(each.group.size, dtype=np.bool_) for each in sets]
    folds: Folds = {}
    left: dict[str, NDArray[np.bool_]] = dict(masks)
    while True:
        reading = reading_of(topology, left, reached)
        left = {name: mask.copy() for name, mask in reading.masks.items()}
        kept: dict[str, int] = {}
        before = sum(int(units.sum()) for units in gone)
        folding = _Folding(topology, reading, weights, reads, biased)
        cleared: list[tuple[str, NDArray[np.intp]]] = []
        for number, each in enumerate(sets):
            read, live = _units_read(topology, each, reading)
            for unit in np.flatnonzero(~live & ~gone[number]):
                reason = each.refusal
                added: Folds = {}
                if reason is None and read[unit]:
                    found = folding.fold(each, int(unit))
                    reason, added = (found, {}) if isinstance(found, str) else (None, found)
                if reason is not None:
                    kept[reason] = kept.get(reason, 0) + 1
                    continue
                gone[number][unit] = True
                constant[number][unit] = bool(read[unit])
                for name, values in added.items():
                    folds[name] = folds.get(name, 0) + values
                if read[unit]:
                    cleared += [(member.layer, _columns(member, int(unit))) for member in each.readers]
        for name, columns in cleared:
            left[name][:, columns] = False
        if sum(int(units.sum()) for units in gone) == before:
            break
    for units, folded in zip(gone, constant, strict=True):
        if units.all():
            # An axis cannot be empty. Nothing reads the unit any more: what it was goes with its weights.
            stays = int((units & folded).argmin())
            units[stays] = folded[stays] = False
            kept[LAST] = kept.get(LAST, 0) + 1
    folded_units = sum(int(units.sum()) for units in constant)
    dead = sum(int(units.sum()) for units in gone) - folded_units
    return Plan(tuple(gone), left, folds, dead, folded_units, kept)


def _columns(member: Member, unit: int) -> NDArray[np.intp]:
    start = member.start + unit * member.block
    return np.arange(start, start + member.block)


def _units_read(topology: Topology, each: UnitSet, reading: Reading) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which units of a set are read by any layer, and which of them the input reaches there."""
    read, live = np.zeros(each.group.size, dtype=np.bool_), np.zeros(each.group.size, dtype=np.bool_)
    for member in each.readers:
        part = slice(member.start, member.start + each.group.size * member.block)
        for number, node in enumerate(topology.nodes):
            if node.weight == member.layer:
                read |= reading.read[number].anywhere[part].reshape(-1, member.block).any(axis=1)
                live |= reading.live[number][part].reshape(-1, member.block).any(axis=1)
    return read, live


@dataclasses.dataclass(frozen=True, eq=False)
class _Folding:
    """Whether constants can go into biases."""

    topology: Topology
    reading: Reading
    weights: Mapping[str, NDArray[np.float64]]
    reads: Reads
    biased: Collection[str]

    def fold(self, each: UnitSet, unit: int) -> Folds | str:
        """Return what a constant unit adds to the outputs of the layers that read it, or why that cannot be said."""
        folds: Folds = {}
        for member in each.readers:
            found = self._layer(member.layer, _columns(member, unit))
            if isinstance(found, str):
                return found
            if found is not None:
                folds[member.layer] = folds.get(member.layer, 0) + found
        return folds

    def _layer(self, name: str, columns: NDArray[np.intp]) -> NDArray[np.float64] | str | None:
        mask = self.reading.masks[name][:, columns]
        rows = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
        if not len(rows):
            return None
        weight = np.where(mask, self.weights[name][:, columns], 0)[rows]
        total = np.full(len(rows), np.nan)
        for number, node in enumerate(self.topology.nodes):
            if node.weight != name:
                continue
            where = self.reading.read[number].columns[columns][:, self.reading.read[number].index]
            if not where.any():
                continue
            if number not in self.reads.values:
                return "what the layer reads is not known"
            values = self.reads.constant(number, columns, where)
            if values is None:
                return "its value depends on the input"
            source = self.topology.nodes[node.inputs[0]].shape
            added = contribution(node, source, weight, values, self.reading.reaching[number], rows)
            if added is None:
                same = all(np.ptp(row[there]) == 0 for row, there in zip(values, where, strict=True) if there.any())
                return "its constant meets padding" if same else "its constant differs from position to position"
            if (np.abs(added - total) > EQUAL * np.maximum(1, np.abs(total))).any():
                return "its constants differ where a weight is used several times"
            total = np.where(np.isnan(total), added, total)
        if total.any() and name not in self.biased:
            return "a bias is used elsewhere too"
        folded = np.zeros(len(mask))
        folded[rows] = total
        return folded
