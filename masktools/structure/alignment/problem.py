"""What is gained by taking one hidden unit of B for one of A, given what is taken for all other units."""

import math
import sys
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.stacks import rows_in_common
from masktools.structure.alignment.units import Arrays, Permutations, UnitLayer, unfold
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import permutation_groups

__all__ = ["Problem"]

_EXACT = 2**24
"""Sums of ones below this are exact in float32, in whatever order they are taken."""

_ROUNDING = 1e-10
"""Improvement of weights, relative to the product of their norms, that is none for certain."""

_DENSE = 2 / 3
"""Evidence in dense weights; see `Problem`."""


class _Face(NamedTuple):
    """A layer of A and B with the units of one group at its near end."""

    part: int
    a: UnitLayer
    b: UnitLayer


class Problem:
    """Two networks of one operator graph, and the sum over layers of <A, P B> as their hidden units are permuted.

    Parameters
    ----------
    a, b
        Masks or weights by layer name; exactly the layers of the graph.
    topology
        The operator graph.

    Attributes
    ----------
    groups
        The permutation groups.
    layers
        A and B, unit by unit; a layer has several parts where units of several groups lie along an axis.
    evidence
        By layer what a common active weight tells about whether two units are partners, in nats for each unit of
        <A, P B>. For masks it is log(1 / (2 p)), the log-likelihood ratio if a weight is kept by the true partner
        with probability 1/2 and shared with any other unit with the density p as probability. Dense weights have no
        such chance; partners whose weights correlate by r = 1/2 give r / (1 - r²) = 2/3 for a variance of 1.
    resolution
        Least improvement of the objective that is no rounding error.
    type
        Floating-point type of the gains: float32 where the counts of masks are exact in it, else float64.

    Raises
    ------
    StructureError
        If layers or shapes do not fit, a mask is to be matched with weights, or a number is not finite; the message
        names the layer.
    """

    def __init__(self, a: Arrays, b: Arrays, topology: Topology) -> None:
        _check(a, b)
        self.groups = permutation_groups(topology, {name: array.shape for name, array in a.items()})
        one, two = (unfold({name: arrays[name] for name in topology.layers}, self.groups) for arrays in (a, b))
        self.layers = list(zip(one, two, strict=True))
        self._faces: list[list[_Face]] = [[] for _ in self.groups]
        for part, (first, second) in enumerate(self.layers):
            if first.out is not None:
                self._faces[first.out].append(_Face(part, first, second))
            if first.fed is not None:
                self._faces[first.fed].append(_Face(part, first.turned(), second.turned()))
        self.evidence = {name: _evidence(a[name], b[name]) for name in topology.layers}
        booleans = all(array.dtype == np.bool_ for array in a.values())
        widest = max((sum(face.a.values[0].size for face in faces) for faces in self._faces), default=0)
        self.type: type[np.floating[Any]] = np.float32 if booleans and widest < _EXACT else np.float64
        squares = math.prod(math.fsum(_squares(array) for array in arrays.values()) for arrays in (a, b))
        if not math.isfinite(squares):
            raise StructureError("weights are too large: their squares overflow")
        self.resolution = 0.5 if booleans else max(_ROUNDING * math.sqrt(squares), sys.float_info.min)

    def gain(
        self, group: int, permutations: Permutations, settled: Collection[int] | None = None
    ) -> NDArray[np.floating[Any]]:
        """Return for each pair of units of a group what their weights have in common.

        Parameters
        ----------
        group
            Number of the group.
        permutations
            Order of the units of B in every group; that of the group itself bears only on weights that have both axes
            in it.
        settled
            If given, only weights count whose other axis is in one of these groups, or in none.

        Returns
        -------
        ndarray
            Shape (units of A, units of B). Exact for masks.
        """
        total = self._no_gain(group)
        for face in self._faces[group]:
            other = face.b.fed
            if other is None or settled is None or other in settled:
                values = face.b.values if other is None else face.b.values[:, :, permutations[other]]
                total += self._product(face.a.values, values)
        return total

    def expected_gain(self, group: int, beliefs: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.floating[Any]]:
        """Return for each pair of units of a group the evidence that they are partners, in nats.

        Parameters
        ----------
        group
            Number of the group.
        beliefs
            For each group the probability that the unit of B (column) belongs at the place of A (row).
        """
        total = self._no_gain(group)
        for face in self._faces[group]:
            values, other = face.b.values, face.b.fed
            if other is not None:
                flat = values.reshape(-1, values.shape[2]).astype(self.type, copy=False)
                values = (flat @ beliefs[other].T).reshape(values.shape)
            total += self.type(self.evidence[face.a.name]) * self._product(face.a.values, values)
        return total

    def objective(self, permutations: Permutations, group: int | None = None) -> float:
        """Return the sum over layers of <A, P B>, for masks the number of common active weights.

        Parameters
        ----------
        permutations
            Order of the units of B in every group.
        group
            If given, only the layers of this group count.
        """
        parts = range(len(self.layers)) if group is None else {face.part for face in self._faces[group]}
        return math.fsum(_common(a.values, b.permuted(permutations)) for a, b in map(self.layers.__getitem__, parts))

    def neighbours(self, group: int) -> set[int]:
        """Return the groups that share a weight with a group; itself, if a weight has both axes in it."""
        return {face.b.fed for face in self._faces[group] if face.b.fed is not None}

    def _no_gain(self, group: int) -> NDArray[np.floating[Any]]:
        size = self.groups[group].size
        return np.zeros((size, size), dtype=self.type)

    def _product(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.floating[Any]]:
        one, two = (array.reshape(len(array), -1) for array in (a, b))
        if one.dtype == two.dtype == np.bool_:
            return rows_in_common(one, two).astype(self.type)
        return np.asarray(one.astype(self.type, copy=False) @ two.astype(self.type, copy=False).T)


def _check(a: Arrays, b: Arrays) -> None:
    for name in (*a, *b):
        if name not in a or name not in b:
            raise StructureError(f"layer {name} is in one of the two networks only")
        shapes, types = zip(*((array.shape, array.dtype) for array in (a[name], b[name])), strict=True)
        if shapes[0] != shapes[1]:
            raise StructureError(f"layer {name} has shape {shapes[0]} in one network and {shapes[1]} in the other")
        if any(kind.kind not in "biuf" for kind in types):
            raise StructureError(f"layer {name}: masks or real weights are needed, not {types[0]} and {types[1]}")
        if len({kind == np.bool_ for kind in types}) > 1:
            raise StructureError(f"layer {name}: a mask cannot be matched with weights")
        if not (np.isfinite(a[name]).all() and np.isfinite(b[name]).all()):
            raise StructureError(f"layer {name}: weights must be finite")


def _evidence(a: NDArray[Any], b: NDArray[Any]) -> float:
    counts = [int(np.count_nonzero(array)) for array in (a, b)]
    scale = math.sqrt(_squares(a)) * math.sqrt(_squares(b))
    if scale == 0:
        return 0.0
    density = sum(counts) / (2 * a.size)
    return max(math.log(1 / (2 * density)), _DENSE) * math.sqrt(math.prod(counts)) / scale


def _squares(array: NDArray[Any]) -> float:
    return float(np.count_nonzero(array)) if array.dtype == np.bool_ else _common(array, array)


def _common(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.dtype == np.bool_:
        return float(np.count_nonzero(a & b))
    return float(np.vdot(a.astype(np.float64), b.astype(np.float64)))
