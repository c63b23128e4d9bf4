"""Alignment: the order of B's hidden units in which two networks have most in common."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.errors import StructureError
from masktools.frames import ToFrame
from masktools.structure.alignment.assignment import best_assignment
from masktools.structure.alignment.problem import Problem
from masktools.structure.alignment.starts import STARTS
from masktools.structure.alignment.units import Arrays, Permutations, permute
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import PermutationGroup

__all__ = ["Alignment", "align"]


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment(ToFrame):
    """An order of B's hidden units.

    Parameters
    ----------
    groups
        The sets of hidden units that are permuted alike.
    permutations
        For each group the unit of B at each place; shape (size of the group,).
    objective_before, objective
        Sum over layers of <A, B>, and of <A, P B>: of masks the numbers of common active weights.
    sweeps
        Rounds over the groups that the descent took from the start that was kept; the last one changed nothing.
    start
        Which start was kept: a key of `STARTS`, or ``random``.
    parameters
        Names of all weights and biases of the operator graph, permuted or not.
    """

    groups: tuple[PermutationGroup, ...]
    permutations: tuple[NDArray[np.intp], ...]
    objective_before: float
    objective: float
    sweeps: int
    start: str
    parameters: frozenset[str]

    def apply(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Put the units of B in the order of A's.

        Parameters
        ----------
        arrays
            Masks, weights, gradients, biases, ... of B by the name of the parameter whose shape they have.

        Returns
        -------
        dict
            New arrays under the same names; those whose units keep their order are returned as they are.

        Raises
        ------
        StructureError
            If the operator graph names no such parameter, or an extent does not fit; the message names it.
        """
        unknown = [name for name in arrays if name not in self.parameters]
        if unknown:
            raise StructureError(f"{unknown[0]} is no parameter of the operator graph, so its units are unknown")
        return permute(arrays, self.groups, self.permutations)

    def to_dict(self) -> dict[str, Any]:
        """Return the objective and, for each group, its members and its permutation, as JSON-ready values."""
        return {
            "objective_before": self.objective_before,
            "objective": self.objective,
            "sweeps": self.sweeps,
            "start": self.start,
            "groups": [
                {**dataclasses.asdict(group), "permutation": order.tolist()}
                for group, order in zip(self.groups, self.permutations, strict=True)
            ],
        }


def align(
    a: Arrays,
    b: Arrays,
    topology: Topology,
    *,
    starts: Sequence[str] = tuple(STARTS),
    restarts: int = 0,
    seed: int = 0,
) -> Alignment:
    """Permute the hidden units of B so that its masks or weights have most in common with those of A.

    Maximises the sum over layers of <A, P B>. From each start every group in turn takes its best order given the order
    of all others (a linear assignment), until no group improves; the best result is kept. The optimum of the whole is
    not guaranteed. Units that nothing tells apart are matched arbitrarily.

    **Alignment makes overlap out of nothing**: it picks the best of a vast number of orders, and masks that have
    nothing in common agree afterwards far above the chance level of masks in a given order. What was found means
    something only against the same call on random masks in place of `b`.

    Parameters
    ----------
    a, b
        Boolean masks or real weights by layer name, axes in PyTorch's order; exactly the layers of the graph.
    topology
        The operator graph.
    starts
        Keys of `STARTS`; of equally good results the first is kept.
    restarts
        Number of random orders to start from besides.
    seed
        Seed of the random orders and of the order in which groups are improved; the same seed gives the same result.

    Returns
    -------
    Alignment
        The permutation of each group of units, and what it brings; `Alignment.apply` puts arrays of B in order.

    Raises
    ------
    StructureError
        If there is no start or no such start, or the two networks do not fit the graph; the message names the layer.

    Notes
    -----
    The descent is the weight matching of Ainsworth et al. (Git Re-Basin, arXiv 2209.04836, algorithm 1). A weight
    with both axes in one group makes the problem of that group quadratic; it is linearised at the present order, and an
    order is taken only if the objective itself rises. For masks all sums are exact; for weights, and in the relaxed
    start, rounding depends on the machine and may decide between nearly equal orders.
    """
    problem = Problem(a, b, topology)
    for name in starts:
        if name not in STARTS:
            raise StructureError(f"no start {name!r} of an alignment; known are {', '.join(STARTS)}")
    if restarts < 0 or not (starts or restarts):
        raise StructureError("an alignment needs at least one start")
    begun = [(name, STARTS[name](problem)) for name in starts]
    rng = np.random.default_rng(seed)
    begun += [("random", [rng.permutation(group.size) for group in problem.groups]) for _ in range(restarts)]
    objective, kept, permutations, sweeps = -math.inf, "", begun[0][1], 0
    for name, start in begun:
        found, rounds = _descend(problem, start, np.random.default_rng(seed))
        reached = problem.objective(found)
        if reached >= objective + problem.resolution:
            objective, kept, permutations, sweeps = reached, name, found, rounds
    return Alignment(
        groups=problem.groups,
        permutations=tuple(permutations),
        objective_before=problem.objective([np.arange(group.size) for group in problem.groups]),
        objective=objective,
        sweeps=sweeps,
        start=kept,
        parameters=frozenset({*topology.layers, *(node.bias for node in topology.nodes if node.bias is not None)}),
    )


def _descend(problem: Problem, start: Permutations, rng: np.random.Generator) -> tuple[Permutations, int]:
    """Improve group after group until none improves; return the orders and the number of rounds."""
    permutations = list(start)
    pending = set(range(len(problem.groups)))
    sweeps = 0
    while pending:
        sweeps += 1
        for group in rng.permutation(len(problem.groups)).tolist():
            if group in pending:
                pending.discard(group)
                if _improve(problem, group, permutations):
                    # A group is worth another look only when the order at the other side of its weights has changed.
                    pending |= problem.neighbours(group)
    return permutations, sweeps


def _improve(problem: Problem, group: int, permutations: list[NDArray[np.intp]]) -> bool:
    """Give a group its best order; return whether that is an improvement."""
    gain, present = problem.gain(group, permutations), permutations[group]
    order, rows = best_assignment(gain), np.arange(len(gain))
    if group in problem.neighbours(group):
        # The gain holds only near the present order.
        before = problem.objective(permutations, group)
        permutations[group] = order
        improved = problem.objective(permutations, group) - before >= problem.resolution
        permutations[group] = order if improved else present
        return improved
    improved = bool((gain[rows, order] - gain[rows, present]).sum(dtype=np.float64) >= problem.resolution)
    if improved:
        permutations[group] = order
    return improved
