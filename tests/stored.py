"""A small snapshot with something of everything, and how to tell two snapshots apart."""

from typing import Any

import numpy as np

from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.topology.graph import Node, Topology

TOPOLOGY = Topology(
    (
        Node("input", (), (40,)),
        Node("linear", (0,), (30,), weight="fc1.weight", bias="fc1.bias"),
        Node("identity", (1,), (30,), label="relu"),
        Node("linear", (2,), (7,), weight="fc2.weight"),
        Node("output", (3,), (7,)),
    )
)


def layer(name: str, shape: tuple[int, ...], kind: str = "active", dtype: str = "f4", **rest: Any) -> LayerContent:
    """Return a layer with a third of its weights active."""
    rng = np.random.default_rng(len(name))
    weight = None if kind == "none" else rng.standard_normal(shape).astype(dtype)
    return LayerContent.from_dense(name, rng.random(shape) < 1 / 3, weight, kind, **rest)


def content(**changes: Any) -> SnapshotContent:
    """Return a snapshot of two layers, tensors and a topology, with `changes`."""
    tensors = {
        "fc1.bias": np.linspace(-1, 1, 30, dtype=np.float32),
        "bn.num_batches_tracked": np.array(17, dtype=np.int64),
        "bn.running_var": np.ones(300, dtype=np.float64),
        "flags": np.array([True, False, True]),
    }
    fields: dict[str, Any] = {
        "epoch": 3,
        "step": 120,
        "layers": (layer("fc1.weight", (30, 40)), layer("fc2.weight", (7, 30), "dense")),
        "config": {"seed": 0, "name": "größe"},
        "tensors": tensors,
        "topology": TOPOLOGY,
        "extra": {"level": 2},
    }
    return SnapshotContent(**{**fields, **changes})


def everything(snapshot: Snapshot) -> list[Any]:
    """Return all that a snapshot says, as values that compare equal only when every bit is the same."""
    return [
        snapshot.epoch,
        snapshot.step,
        snapshot.config,
        snapshot.extra,
        snapshot.topology,
        list(snapshot.layers.values()),
        [(name, mask.shape, mask.bits.tobytes()) for name, mask in snapshot.masks().items()],
        [[item.name, item.kind, item.axes, item.prunable, _bytes(item.values)] for item in snapshot.contents()],
        {name: _bytes(value) for name, value in snapshot.tensors().items()},
    ]


def written(told: SnapshotContent) -> list[Any]:
    """Return what `everything` returns for a snapshot of this content, made without a file."""
    masks = [item.mask for item in told.layers]
    return [
        told.epoch,
        told.step,
        told.config,
        told.extra,
        told.topology,
        [(item.name, mask.shape, mask.active) for item, mask in zip(told.layers, masks, strict=True)],
        [(item.name, mask.shape, mask.bits.tobytes()) for item, mask in zip(told.layers, masks, strict=True)],
        [[item.name, item.kind, item.axes, item.prunable, _bytes(item.values)] for item in told.layers],
        {name: _bytes(value) for name, value in told.tensors.items()},
    ]


def _bytes(values: Any) -> Any:
    return None if values is None else (values.dtype.str, values.shape, values.tobytes())
