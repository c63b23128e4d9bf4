"""Small synthetic runs, written the way training writes them."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from masktools.masks import PackedMask
from masktools.runs import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.topology.graph import Node, Topology

Masks = Mapping[str, NDArray[np.bool_]]
WriteRun = Callable[..., Path]

MLP_SIZES = (12, 8, 5)

# How long an example takes says more about a busy machine, or a first import, than about the code.
settings.register_profile("masktools", deadline=None)
settings.load_profile("masktools")


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


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Return a function that writes a run of the given masks, one snapshot an epoch, and returns its path."""

    def write(
        name: str,
        epochs: Sequence[Masks] | Mapping[int, Masks],
        config: Mapping[str, Any] | None = None,
        metrics: Sequence[Mapping[str, Any]] = (),
        topology: Topology | None = None,
    ) -> Path:
        config = {"seed": 0} if config is None else config
        writer = RunWriter(tmp_path / name)
        writer.describe({"config": config, "device": "cpu"})
        rng = np.random.default_rng(0)
        for epoch, masks in (epochs if isinstance(epochs, Mapping) else dict(enumerate(epochs))).items():
            layers = tuple(
                LayerContent.from_dense(layer, mask, rng.standard_normal(mask.shape).astype(np.float32))
                for layer, mask in masks.items()
            )
            biases = {
                f"{layer.removesuffix('weight')}bias": np.zeros(len(mask), np.float32) for layer, mask in masks.items()
            }
            writer.snapshot(SnapshotContent(epoch, 10 * epoch, layers, config, biases, topology))
        if metrics:
            writer.metrics(metrics)
        return writer.path

    return write


@pytest.fixture
def mlp_run(write_run: WriteRun) -> WriteRun:
    """Return a function that writes a run of an MLP, its operator graph included: masks move, then stay."""

    def write(name: str = "mlp", seed: int = 0, **rest: Any) -> Path:
        start, end = random_masks(seed), random_masks(seed + 1000)
        metrics = [
            {"epoch": epoch, "train": {"loss": 2.0 / (epoch + 1)}, "accuracy": math.nan if epoch == 0 else 0.5}
            for epoch in range(4)
        ]
        rest.setdefault("config", {"seed": seed, "optimizer": {"lr": 0.1}})
        return write_run(name, [start, start, end, end], metrics=metrics, topology=mlp_topology(), **rest)

    return write
