"""All pairs of the epochs of a ResNet-50 run, layer by layer, beside other ways to count them.

    python benchmarks/overlap.py

Masks have the shapes of ResNet-50 at ERK densities; from epoch to epoch a share of the active weights moves. All ways
count the same 90 masks in the same run and must agree to the last bit. Prints times and ratios.
"""

import argparse
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from storage import Masks, random_masks, resnet50

from masktools.masks import PackedMask
from masktools.run_writer import RunWriter
from masktools.runs import open_run
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.stacks import MaskStack
from masktools.structure.epochs import compare_epochs, epoch_matrix
from masktools.structure.source import stack_of

Counts = dict[str, "np.ndarray[Any, np.dtype[Any]]"]


def epochs_of(density: float, count: int, moved: float) -> list[dict[str, PackedMask]]:
    """Return the packed masks of a run whose masks drift."""
    rng, masks, found = np.random.default_rng(1), random_masks(density), []
    for _ in range(count):
        found.append({name: PackedMask.from_bool(mask) for name, mask in masks.items()})
        masks = {name: drifted(mask, moved, rng) for name, mask in masks.items()}
    return found


def drifted(mask: Any, moved: float, rng: np.random.Generator) -> Any:
    """Move a share of the active weights to inactive places."""
    shape, mask = mask.shape, mask.reshape(-1).copy()
    active = np.flatnonzero(mask)
    leaving = rng.choice(active, min(int(moved * active.size), mask.size - active.size), replace=False)
    arriving = rng.choice(np.flatnonzero(~mask), leaving.size, replace=False)
    mask[leaving], mask[arriving] = False, True
    return mask.reshape(shape)


def by_booleans(epochs: list[Masks]) -> Counts:
    """Count with a boolean product for each pair."""
    found = {name: np.zeros((len(epochs),) * 2, dtype=np.int64) for name in epochs[0]}
    for i, a in enumerate(epochs):
        for j, b in enumerate(epochs[: i + 1]):
            for name, counts in found.items():
                counts[i, j] = counts[j, i] = np.count_nonzero(a[name] & b[name])
    return found


def by_bitwise_count(stack: MaskStack, block: int = 2**14) -> Counts:
    """Count with numpy's population count, in blocks that fit the cache."""
    found = {}
    for name, rows in stack.bits.items():
        counts = np.zeros((len(rows),) * 2, dtype=np.int64)
        for start in range(0, rows.shape[1], block):
            part = rows[:, start : start + block]
            for i in range(len(part)):
                counts[i, : i + 1] += np.bitwise_count(part[: i + 1] & part[i]).sum(axis=1, dtype=np.int64)
        found[name] = np.tril(counts) + np.tril(counts, -1).T
    return found


def by_int8(epochs: list[Masks]) -> Counts:
    """Count with torch's int8 matrix product."""
    found = {}
    for name in epochs[0]:
        matrix = torch.from_numpy(np.stack([masks[name].reshape(-1) for masks in epochs])).to(torch.int8)
        width = -(-matrix.shape[1] // 8) * 8
        matrix = torch.nn.functional.pad(matrix, (0, width - matrix.shape[1]))
        found[name] = torch._int_mm(matrix, matrix.T.contiguous()).numpy().astype(np.int64)  # noqa: SLF001
    return found


def by_csr(epochs: list[Masks]) -> Counts:
    """Count with scipy's sparse product."""
    found = {}
    for name in epochs[0]:
        matrix = scipy.sparse.csr_array(np.stack([masks[name].reshape(-1) for masks in epochs]).astype(np.int32))
        found[name] = (matrix @ matrix.T).toarray().astype(np.int64)
    return found


def timed(function: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Return the median time of a function and its result."""
    times, result = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


def written(folder: Path, epochs: list[dict[str, PackedMask]]) -> Path:
    """Write a run without weight values."""
    writer = RunWriter(folder / "run")
    for number, masks in enumerate(epochs):
        layers = tuple(LayerContent(name, mask, None, "none") for name, mask in masks.items())
        writer.snapshot(SnapshotContent(number, number, layers))
    return writer.path


def peak(path: Path) -> float:
    """Return the peak memory in MB of a process that reads a run and compares all of its epochs."""
    program = f"import masktools as mt; mt.compare_epochs({str(path)!r}, {str(path)!r})"
    subprocess.run([sys.executable, "-c", program], check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--moved", type=float, default=0.1, help="share of active weights that moves each epoch")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--without", nargs="*", default=[], help="peers to leave out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packed = epochs_of(options.density, options.epochs, options.moved)
        path = written(Path(folder), packed)
        memory = peak(path)  # before anything else is a child process
        stack = MaskStack.of(packed, len(packed))
        weights = sum(math.prod(shape) for shape in resnet50().values())
        pairs = len(packed) * (len(packed) + 1) // 2
        print(f"{len(packed)} epochs of {weights:,} weights in {len(stack.bits)} layers, {pairs:,} pairs")
        ours, _ = timed(lambda: epoch_matrix(MaskStack(stack.bits, stack.shapes)), options.repeat)
        counted, right = timed(lambda: MaskStack(stack.bits, stack.shapes).intersections(), options.repeat)
        booleans = [{name: mask.to_bool() for name, mask in masks.items()} for masks in packed]
        peers: dict[str, Callable[[], Counts]] = {
            "boolean loop": lambda: by_booleans(booleans),
            "numpy bitwise_count": lambda: by_bitwise_count(stack),
            "torch int8": lambda: by_int8(booleans),
            "scipy csr": lambda: by_csr(booleans),
        }
        print(f"{'':34s}{'seconds':>9s}{'ratio to ours':>15s}")
        print(f"{'ours, counts':34s}{counted:9.3f}{counted / ours:15.2f}")
        print(f"{'ours, with chance, kappa and z':34s}{ours:9.3f}{1:15.2f}")
        for name, function in peers.items():
            if name in options.without:
                continue
            seconds, found = timed(function, 1)
            agree = all(np.array_equal(found[layer], right[layer]) for layer in right)
            print(f"{name:34s}{seconds:9.3f}{seconds / ours:15.1f}{'' if agree else '   DIFFERENT COUNTS'}", flush=True)
        booleans.clear()
        read, _ = timed(lambda: [snapshot.masks() for snapshot in open_run(path)], 3)
        stacked, _ = timed(lambda: stack_of(open_run(path)), 3)
        whole, _ = timed(lambda: compare_epochs(path, path), 3)
        print(f"from disk: reading {read:.2f} s, reading into a stack {stacked:.2f} s, comparing all {whole:.2f} s")
        print(f"comparing all / reading = {whole / read:.2f}; peak memory of the process {memory:.0f} MB")


if __name__ == "__main__":
    main()
