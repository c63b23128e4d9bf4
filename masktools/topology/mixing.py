"""Operators in which elements read other positions, or other units, whatever the weights: softmax and attention.

Attention is followed by this convention. The weights of its softmax are never zero, so that the values of a unit flow
from every position to every position (from no later one if it is causal). The weights sum to one, so that a product of
a query and a key bears on all the positions that are read with it. Hence a query has a path to an output of its head
where the input reaches one of the keys that it is multiplied with, and one of the values of that output; a key
likewise, where the input reaches the query. Elsewhere it changes nothing: a key that no input reaches is the same at
every position, and softmax does not see what all its entries have in common. Nor does it see anything in a single
entry: where an output reads one position only, neither query nor key has a path. That is the pattern of zeros of the
derivatives.
"""

import numpy as np
from numpy.typing import NDArray

from masktools.topology.fields import Field
from masktools.topology.graph import Heads, Node

__all__ = ["attended", "attended_back", "mixed"]


def mixed(field: Field, axes: tuple[int, ...]) -> Field:
    """Unite all elements along some axes; an axis of 0 is that of the units. Backwards it is the same."""
    values = field.to_array()
    return Field.from_array(np.broadcast_to(values.any(axis=axes, keepdims=True), values.shape).copy())


def attended(values: Field, node: Node) -> Field:
    """Return which outputs of an attention are reached: those of units whose values are, at a position read."""
    reached = values.to_array()
    if _heads(node).causal:
        return Field.from_array(_up_to(reached, node.shape[-1]))
    return Field.from_array(np.broadcast_to(reached.any(axis=-1, keepdims=True), node.shape).copy())


def attended_back(outputs: Field, queries: Field, keys: Field, values: Field, node: Node) -> tuple[Field, Field, Field]:
    """Return which queries, keys and values have a path through an attention to outputs that lead on.

    Parameters
    ----------
    outputs
        Which outputs of the attention reach an output of the network.
    queries, keys, values
        Which of them the input reaches.
    node
        The attention.
    """
    heads = _heads(node)
    out = _split(outputs, heads)
    query, key, value = (_split(field, heads) for field in (queries, keys, values))
    # Axes: head, unit, positions before the last axis, last axis of positions.
    asking, read = out.shape[-1], value.shape[-1]
    count = np.minimum(np.arange(asking) + 1, read) if heads.causal else np.full(asking, read)
    onward, back = (_up_to, _down_to) if heads.causal else (_everywhere, _everywhere)
    # Where the weights of a head bear on something: on an output that leads on and mixes values that the input reaches.
    weighed = (onward(value, asking) & out).any(axis=1, keepdims=True) & (count > 1)
    return (
        Field.from_array((onward(key, asking) & weighed).reshape(queries.shape)),
        Field.from_array(back(query & weighed, read).reshape(keys.shape)),
        Field.from_array(back(out, read).reshape(values.shape)),
    )


def _heads(node: Node) -> Heads:
    return node.heads or Heads(1)


def _split(field: Field, heads: Heads) -> NDArray[np.bool_]:
    shape = field.shape
    return field.to_array().reshape(heads.count, shape[0] // heads.count, -1, shape[-1])


def _everywhere(values: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    found = values.any(axis=-1, keepdims=True)
    return np.broadcast_to(found, (*values.shape[:-1], size)).copy()


def _up_to(values: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return for each of `size` positions whether any value at it or before it is true."""
    found = np.logical_or.accumulate(values, axis=-1)
    return found[..., np.minimum(np.arange(size), values.shape[-1] - 1)]


def _down_to(values: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return for each of `size` positions whether any value at it or after it is true."""
    found = np.logical_or.accumulate(values[..., ::-1], axis=-1)[..., ::-1]
    later = np.zeros((*values.shape[:-1], size), dtype=np.bool_)
    shared = min(size, values.shape[-1])
    later[..., :shared] = found[..., :shared]
    return later
