"""Immediate dominators in a graph without cycles that falls into places."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

__all__ = ["UNREACHED", "immediate_dominators"]

UNREACHED = -1
"""Stands for the dominator of what no path leads to."""


def immediate_dominators(arcs: csr_array, places: Sequence[slice], starts: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Find the last vertex, before each vertex, that every path to it leads through.

    Parameters
    ----------
    arcs
        Row v lists, in any order, the vertices that lead to vertex v; shape (vertices, vertices).
    places
        The vertices, split so that arcs lead from places to later ones only: none joins two vertices of a place.
    starts
        Where paths begin; shape (vertices,). All of them follow one source in front of the graph.

    Returns
    -------
    ndarray
        Shape (vertices,): the immediate dominator; the number of vertices stands for the source, and `UNREACHED` for
        that of a vertex that no path leads to.

    Notes
    -----
    The dominators of a vertex other than itself are those that all its predecessors share, each of them counted
    among its own. They form a tree under the source, in which the immediate dominator is the lowest
    common ancestor of the predecessors (Cooper, Harvey and Kennedy, A simple, fast dominance algorithm, 2001; without
    cycles one pass in topological order suffices). Here it is found for all vertices of a place together. As long as
    the predecessors of a vertex are not all the same, those in the last of their places give way to their immediate
    dominators: the common ancestor is in an earlier place, because no vertex dominates another one of its place or of
    an earlier place. After at most as many rounds as there are places, and usually after one, all are the same.
    """
    vertices = arcs.shape[0]
    rank = np.full(vertices + 1, -1, dtype=np.int32)
    above = np.full(vertices + 1, UNREACHED, dtype=np.int32)
    above[vertices] = vertices
    for number, place in enumerate(places):
        rank[place] = number
        bounds = arcs.indptr[place.start : place.stop + 1]
        before = arcs.indices[bounds[0] : bounds[-1]]
        degree = np.diff(bounds)
        reached = above[before] != UNREACHED
        if not reached.all():
            kept = np.concatenate([[0], np.cumsum(reached)])[bounds - bounds[0]]
            before, degree = before[reached], np.diff(kept)
        rows = np.flatnonzero(degree)
        found = above[place]
        found[rows] = _common(before, degree[rows], above, rank)
        found[starts[place]] = vertices
    return above[:vertices]


def _common(
    before: NDArray[np.int32], degree: NDArray[np.integer], above: NDArray[np.int32], rank: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Return the lowest common ancestor of each set of vertices, the sets one after the other, none empty."""
    common = np.empty(len(degree), dtype=np.int32)
    sets = np.arange(len(degree))
    while len(sets):
        first = np.cumsum(degree) - degree
        common[sets] = before[first]
        differs = np.minimum.reduceat(before, first) != np.maximum.reduceat(before, first)
        inside = np.repeat(differs, degree)
        before, degree, sets = before[inside], degree[differs], sets[differs]
        if len(sets):
            places = rank[before]
            last = np.maximum.reduceat(places, np.cumsum(degree) - degree)
            before = np.where(places == np.repeat(last, degree), above[before], before)
    return common
