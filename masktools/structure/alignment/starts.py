"""Where alignment begins: coordinate descent finds the nearest optimum, so that much depends on it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masktools.structure.alignment.assignment import best_assignment
from masktools.structure.alignment.problem import Problem
from masktools.structure.alignment.units import Permutations

__all__ = ["STARTS"]

_STEPS = 20
_COLD, _WARM = 1.5, 0.05
_ROUNDS = 15
_DECIDED = 1e-3
"""The relaxation: temperatures in between, the last and the first factor of the evidence, rounds of normalisation, and
the doubt left in the least certain group at which it ends."""


def identity(problem: Problem) -> Permutations:
    """Leave B as it is: the right start for networks that grew from the same initial weights."""
    return [np.arange(group.size, dtype=np.intp) for group in problem.groups]


def from_inputs(problem: Problem) -> Permutations:
    """Settle one group after the other from the inputs on, by the weights whose other side is settled already.

    With the identity as a start most of what a group is matched by is noise: the orders at the other side of its
    weights are wrong themselves.
    """
    return _one_by_one(problem, range(len(problem.groups)))


def from_outputs(problem: Problem) -> Permutations:
    """Settle one group after the other from the outputs back."""
    return _one_by_one(problem, reversed(range(len(problem.groups))))


def relaxed(problem: Problem) -> Permutations:
    """Settle all groups together: each unit is spread over its likely places until the evidence decides.

    Notes
    -----
    Mean-field annealing, as in the softassign algorithm for graph matching (Gold and Rangarajan, 1996). The beliefs
    about a group, a doubly stochastic matrix, begin uniform. They are replaced, group after group, by
    exp(factor * evidence), made doubly stochastic (Sinkhorn); the evidence is what its weights have in common on
    average over the beliefs about the other groups. The factor grows from 0.05 to 1.5 in 20 steps.
    """
    beliefs: list[NDArray[np.floating[Any]]] = [
        np.full((group.size, group.size), 1 / group.size, dtype=problem.type) for group in problem.groups
    ]
    for factor in np.geomspace(_WARM, _COLD, _STEPS):
        for number in range(len(beliefs)):
            beliefs[number] = _doubly_stochastic(problem.type(factor) * problem.expected_gain(number, beliefs))
        if all(1 - belief.max(axis=0).mean() < _DECIDED for belief in beliefs):
            break
    return [best_assignment(belief) for belief in beliefs]


def _one_by_one(problem: Problem, order: Iterable[int]) -> Permutations:
    permutations, settled = list(identity(problem)), set[int]()
    for group in order:
        permutations[group] = best_assignment(problem.gain(group, permutations, settled))
        settled.add(group)
    return permutations


def _doubly_stochastic(logarithms: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Scale rows and columns in turn, in logarithms: factors would leave the range of a float."""
    for _ in range(_ROUNDS):
        for axis in (1, 0):
            logarithms = logarithms - logarithms.max(axis=axis, keepdims=True)
            logarithms -= np.log(np.exp(logarithms).sum(axis=axis, keepdims=True))
    return np.asarray(np.exp(logarithms))


STARTS: Mapping[str, Callable[[Problem], Permutations]] = {
    "identity": identity,
    "inputs": from_inputs,
    "outputs": from_outputs,
    "relaxed": relaxed,
}
"""Every start by name; a new one is its function and one line here."""
