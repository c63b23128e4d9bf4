"""What a snapshot costs: bits beside the entropy bound, times beside plain h5py, and how long training waits.

    python benchmarks/storage.py

The masks have the shapes of ResNet-50, ERK densities and random places: random is the worst case, for which the
bound is the sum over layers of ``N * H(p)`` bits. Peers write the same masks with h5py alone.
"""

import argparse
import functools
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn

from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.snapshot.write import write_snapshot
from masktools_train.algorithms import Static
from masktools_train.background import BackgroundWriter
from masktools_train.budgets import erk
from masktools_train.capture import Capture
from masktools_train.sparsifier import Sparsifier

Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]
Job = Callable[[Path], object]
Encode = Callable[[np.ndarray[Any, np.dtype[np.bool_]]], np.ndarray[Any, Any]]

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Channels within a block, and number of blocks; a block puts out four times as many."""

PEERS: dict[str, tuple[Encode, dict[str, Any]]] = {
    "h5py bool, gzip 4": (np.asarray, {"compression": "gzip", "compression_opts": 4}),
    "h5py packbits": (np.packbits, {}),
    "h5py packbits, gzip 1": (np.packbits, {"compression": "gzip", "compression_opts": 1}),
}


def resnet50() -> dict[str, tuple[int, ...]]:
    """Return the weight shapes of ResNet-50 that are pruned: 54 layers, 25,502,912 weights."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7)}
    before = 64
    for stage, (width, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 1, 1)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            shapes[f"{name}.conv3.weight"] = (4 * width, width, 1, 1)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (4 * width, before, 1, 1)
            before = 4 * width
    return {**shapes, "fc.weight": (1000, before)}


def random_masks(density: float, seed: int = 0) -> Masks:
    """Return masks with ERK counts at random places."""
    rng, shapes = np.random.default_rng(seed), resnet50()
    masks = {}
    for name, count in erk(shapes, density).items():
        mask = np.zeros(math.prod(shapes[name]), dtype=np.bool_)
        mask[:count] = True
        masks[name] = rng.permutation(mask).reshape(shapes[name])
    return masks


def entropy_bits(masks: Masks) -> float:
    """Return the sum over layers of ``N * H(p)``: no code stores random masks of known counts in fewer bits."""
    total = 0.0
    for mask in masks.values():
        for share in (float(mask.mean()), 1 - float(mask.mean())):
            total -= mask.size * share * math.log2(share) if share else 0
    return total


def stored(path: Path, group: str) -> int:
    """Return the bytes that the datasets of a group take in a file."""
    with h5py.File(path) as file:
        return sum(item.id.get_storage_size() for item in file[group].values())


def timed(job: Callable[[], Any]) -> float:
    """Return the seconds that a job takes."""
    begun = time.perf_counter()
    job()
    return time.perf_counter() - begun


def write_peer(path: Path, masks: Masks, encode: Encode, options: dict[str, Any]) -> None:
    """Write masks with h5py alone."""
    with h5py.File(path, "w") as file:
        for name, mask in masks.items():
            file.create_dataset(f"masks/{name}", data=encode(mask), **options)


def read_peer(path: Path, masks: Masks) -> None:
    """Read masks that were written with h5py alone into boolean arrays."""
    with h5py.File(path) as file:
        for name, mask in masks.items():
            values = file[f"masks/{name}"][()]
            if values.dtype != np.bool_:
                np.unpackbits(values, count=mask.size).reshape(mask.shape).view(np.bool_)


def jobs_of(folder: Path, masks: Masks, weights: dict[str, Any]) -> dict[str, tuple[Path, Job, Job]]:
    """Return for each variant a file, how it is written, and how its masks or weights are read as full arrays."""

    def ours(kind: str) -> Job:
        layers = tuple(LayerContent.from_dense(name, mask, weights[name], kind) for name, mask in masks.items())
        return lambda path: write_snapshot(path, SnapshotContent(1, 1, layers))

    def peer(encode: Encode, settings: dict[str, Any]) -> Job:
        return lambda path: write_peer(path, masks, encode, settings)

    jobs: dict[str, tuple[Path, Job, Job]] = {
        name: (folder / "peer.h5", peer(*how), lambda path: read_peer(path, masks)) for name, how in PEERS.items()
    }
    snapshot = folder / "epoch-0001.h5"
    jobs["masks"] = snapshot, ours("none"), lambda path: [m.to_bool() for m in Snapshot(path).masks().values()]
    jobs["masks and active weights"] = snapshot, ours("active"), lambda path: Snapshot(path).weights()
    return jobs


def measure_storage(folder: Path, rounds: int) -> None:
    """Print size and times of files at four sparsities, every variant once a round."""
    print(
        f"{'sparsity':>8s} {'what':24s}{'bits/weight':>12s}{'x bound':>9s}{'write s':>9s}{'read s':>8s}{'file MB':>9s}"
    )
    for density in (0.2, 0.1, 0.05, 0.02):
        masks, rng = random_masks(density), np.random.default_rng(1)
        weights = {name: rng.standard_normal(mask.shape, dtype=np.float32) for name, mask in masks.items()}
        size, bound = sum(mask.size for mask in masks.values()), entropy_bits(masks)
        jobs = jobs_of(folder, masks, weights)
        writes: dict[str, list[float]] = {name: [] for name in jobs}
        reads: dict[str, list[float]] = {name: [] for name in jobs}
        told: dict[str, tuple[int, int, int]] = {}
        for _ in range(rounds):
            for name, (path, write, read) in jobs.items():
                writes[name].append(timed(lambda write=write, path=path: write(path)))
                reads[name].append(timed(lambda read=read, path=path: read(path)))
                values = stored(path, "weights") if name == "masks and active weights" else 0
                told[name] = (stored(path, "masks"), values, path.stat().st_size)
        for name, (bits, _, whole) in told.items():
            print(
                f"{1 - density:8.0%} {name:24s}{8 * bits / size:12.4f}{8 * bits / bound:9.3f}"
                f"{statistics.median(writes[name]):9.3f}{statistics.median(reads[name]):8.3f}{whole / 1e6:9.2f}"
            )
        active = sum(int(mask.sum()) for mask in masks.values())
        print(
            f"{'':8s} bound {bound / size:.4f} bits/weight; values take "
            f"{told['masks and active weights'][1] / active:.3f} bytes per active weight\n"
        )


class Network(nn.Module):
    """The weights of ResNet-50, to be recorded and never run."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in resnet50().items():
            layer = nn.Linear(shape[1], shape[0], bias=False)
            if len(shape) == 4:
                layer = nn.Conv2d(shape[1], shape[0], shape[2], bias=False)
            self.add_module(name.removesuffix(".weight").replace(".", "_"), layer)


def epoch_of_steps(steps: int, interrupt: Callable[[], None] | None) -> tuple[float, float, float, float]:
    """Take steps of small products; after a tenth of them record a snapshot.

    Returns
    -------
    tuple of float
        Seconds of all steps without the call that records, of that call, and of the median and the longest step.
    """
    left, right = torch.randn(512, 512), torch.randn(512, 512)
    times, called = [], 0.0
    for step in range(steps):
        if interrupt and step == steps // 10:
            called = timed(interrupt)
        times.append(timed(lambda: torch.mm(left, right)))
    return sum(times), called, statistics.median(times), max(times)


def measure_hold_up(folder: Path, rounds: int, seconds: float, density: float = 0.1) -> None:
    """Print for how long a snapshot that is written in the background holds training up.

    Where cores are short, the loop loses time to whatever else computes. What it loses to another process that takes
    as much CPU time as the writer is printed beside what it loses to the writer.
    """
    model = Network()
    sparsifier = Sparsifier(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        Static(),
        density=density,
        distribution="erk",
        total_steps=1,
    )
    capture, writer = Capture(model, sparsifier), RunWriter(folder / "run")

    def copy_alone() -> None:
        for layer in sparsifier.layers:
            layer.parameter.detach().to("cpu", copy=True)
            layer.mask.to("cpu", torch.bool, copy=True)

    print(
        f"{'torch threads':>13s}{'copy':>8s}{'beyond copy':>13s}{'in loop':>9s}{'write':>8s}{'write CPU':>11s}"
        f"{'loop':>8s}{'lost':>8s}{'lost to other':>15s}{'longest step':>14s}{'to other':>10s}{'alone':>7s}   (ms)"
    )
    for threads in (1, 2):
        torch.set_num_threads(threads)
        epoch_of_steps(20, None)
        steps = max(20, round(seconds / epoch_of_steps(100, None)[2]))
        found: list[tuple[float, ...]] = []
        for _ in range(rounds):
            pairs = [(timed(copy_alone), timed(lambda: capture.captured(1))) for _ in range(5)]
            copied, captured = (statistics.median(column) for column in zip(*pairs, strict=True))
            alone, _, _, longest_alone = epoch_of_steps(steps, None)
            written: list[tuple[float, float]] = []

            def record(background: BackgroundWriter, written: list[tuple[float, float]]) -> None:
                content = capture.captured(1)

                def write() -> None:
                    begun = time.thread_time()
                    written.append((timed(lambda: writer.snapshot(content())), time.thread_time() - begun))

                background.submit(write)

            with BackgroundWriter() as background:
                together, called, _, longest = epoch_of_steps(steps, functools.partial(record, background, written))
            whole, busy = written[0]
            spin = [sys.executable, "-ISc", f"import time\nwhile time.process_time() < {busy}: pass"]
            others: list[subprocess.Popen[bytes]] = []
            beside, _, _, longest_beside = epoch_of_steps(
                steps, lambda spin=spin, others=others: others.append(subprocess.Popen(spin))
            )
            others[0].wait()
            lost = (together - alone, beside - alone)
            found.append(
                (copied, captured - copied, called, whole, busy, alone, *lost, longest, longest_beside, longest_alone)
            )
        medians = [1e3 * statistics.median(column) for column in zip(*found, strict=True)]
        widths = (8, 13, 9, 8, 11, 8, 8, 15, 14, 10, 7)
        print(f"{threads:13d}" + "".join(f"{m:{w}.0f}" for m, w in zip(medians, widths, strict=True)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of an epoch beside which is written")
    parser.add_argument("--only", choices=("storage", "hold-up"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="storage-") as name:
        if options.only != "hold-up":
            measure_storage(Path(name), options.rounds)
        if options.only != "storage":
            measure_hold_up(Path(name), options.rounds, options.seconds)


if __name__ == "__main__":
    main()
