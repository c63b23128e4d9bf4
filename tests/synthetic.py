"""Masks and operator graphs of a small fully connected network."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.masks import PackedMask
from masktools.topology.graph import Node, Topology

Masks = Mapping[str, NDArray[np.bool_]]

MLP_SIZES = (12, 8, 5)


def mlp_topology(sizes: Sequence[int] = MLP_SIZES) -> Topology:
    """Return the operator graph of fully connected layers ``fc1.weight``, ``fc2.weight``, ... with ReLU between."""
    nodes = [Node("input", (), (sizes[0],))]
    for number, width in enumerate(sizes[1:], start=1):
        nodes.append(Node("linear", (len(nodes) - 1,), (width,), weight=f"fc{number}.weight", bias=f"fc{number}.bias"))
        if number < len(sizes) - 1:
            nodes.append(Node("identity", (len(nodes) - 1,), (width,), label="relu"))
    nodes.append(Node("output", (len(nodes) - 1,), (sizes[-1],)))
    return Topology(tuple(nodes))


def random_masks(seed: int, density: float = 0.25, sizes: Sequence[int] = MLP_SIZES) -> dict[str, NDArray[np.bool_]]:
    """Return masks of a fully connected network with exactly the same number of active weights for every seed."""
    rng = np.random.default_rng(seed)
    masks = {}
    for number, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
        mask = np.zeros(before * after, dtype=np.bool_)
        mask[rng.choice(mask.size, max(1, round(density * mask.size)), replace=False)] = True
        masks[f"fc{number}.weight"] = mask.reshape(after, before)
    return masks


def pack(masks: Masks) -> dict[str, PackedMask]:
    """Return masks as packed bits."""
    return {name: PackedMask.from_bool(mask) for name, mask in masks.items()}
