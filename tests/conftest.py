"""Small synthetic runs, written the way training writes them, and random masks that are drawn quickly."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from synthetic import Masks, mlp_topology, random_masks

from masktools.nulls.curveball import degree_shuffle
from masktools.nulls.ladder import LADDER
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.topology.graph import Topology

WriteRun = Callable[..., Path]

# How long an example takes says more about a busy machine, or a first import, than about the code.
settings.register_profile("masktools", deadline=None)
settings.load_profile("masktools")


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


@pytest.fixture
def short_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the null of degrees walk one step and not 41: p-values hold all the same, and come twenty times as fast."""
    null = dataclasses.replace(LADDER["degree"], draw=functools.partial(degree_shuffle, steps=1))
    monkeypatch.setitem(LADDER, "degree", null)
