"""Whether alignment finds a planted permutation, what it finds where there is none, and how long it takes.

    python benchmarks/alignment.py                 planted permutations, independent masks, the solver's import
    python benchmarks/alignment.py --resnet50      one alignment at the shapes of ResNet-50

Planted: A is random with the same density in every layer; B is A with its hidden units permuted and then half of the
active weights of each layer moved to random inactive places. The null is the same alignment with B shuffled within
each layer. Share is the part of the active weights in common (both masks have as many), order the part of all hidden
units that are put back where they were.
"""

import argparse
import dataclasses
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from masktools.masks import PackedMask
from masktools.nulls.shuffles import Masks, layer_shuffle
from masktools.structure.alignment.matching import Alignment, align
from masktools.structure.alignment.nnstd import nnstd
from masktools.structure.alignment.starts import STARTS
from masktools.structure.alignment.units import Permutations, permute
from masktools.structure.overlap import LayerOverlap, overlap_of
from masktools.topology.graph import Topology
from masktools.topology.permutation_groups import PermutationGroup, permutation_groups
from masktools_train.models import build_model
from masktools_train.tracing import trace

FEWEST = 19
"""Null masks that are drawn in any case: p = .05 at best."""

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))


class Bottleneck(nn.Module):
    """The block of ResNet-50."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(before, width, 1, bias=False), nn.Conv2d(width, width, 3, stride, 1)
        self.conv3 = nn.Conv2d(width, 4 * width, 1)
        same = before == 4 * width
        self.downsample = nn.Identity() if same else nn.Conv2d(before, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the two ways."""
        return (self.conv3(self.conv2(self.conv1(x).relu()).relu()) + self.downsample(x)).relu()


def resnet50() -> nn.Module:
    """Return the layers of ResNet-50, without batch norm, which has no part in alignment."""
    blocks: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, (width, count) in enumerate(STAGES):
        for block in range(count):
            blocks.append(Bottleneck(before, width, 2 if stage and not block else 1))
            before = 4 * width
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


@dataclasses.dataclass
class Network:
    """An operator graph with its shapes and groups."""

    topology: Topology
    shapes: Mapping[str, tuple[int, ...]]
    groups: tuple[PermutationGroup, ...]


def network(model: nn.Module, *shape: int) -> Network:
    """Trace a model."""
    topology = trace(model, torch.rand(2, *shape))
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(parameters[name].shape) for name in topology.layers}
    return Network(topology, shapes, permutation_groups(topology, shapes))


NETWORKS: Mapping[str, Callable[[], Network]] = {
    "784-300-100-10": lambda: network(build_model("lenet-300-100", {}, (784,), 10), 784),
    "64-300-100-10": lambda: network(build_model("lenet-300-100", {}, (64,), 10), 64),
    "Conv-4": lambda: network(build_model("conv-4", {}, (3, 32, 32), 10), 3, 32, 32),
    "ResNet-20": lambda: network(build_model("resnet20", {}, (3, 32, 32), 10), 3, 32, 32),
}


def random_masks(net: Network, density: float, rng: np.random.Generator) -> Masks:
    """Return masks with the same density in every layer."""
    first = {name: np.zeros(shape, dtype=np.bool_) for name, shape in net.shapes.items()}
    for mask in first.values():
        mask.reshape(-1)[: max(1, round(density * mask.size))] = True
    return layer_shuffle(first, rng)


def rewired(masks: Masks, share: float, rng: np.random.Generator) -> Masks:
    """Move a share of the active weights of each layer to random inactive places."""
    moved = {}
    for name, mask in masks.items():
        flat = mask.reshape(-1).copy()
        active, inactive = np.flatnonzero(flat), np.flatnonzero(~flat)
        count = round(share * active.size)
        flat[rng.choice(active, count, replace=False)] = False
        flat[rng.choice(inactive, count, replace=False)] = True
        moved[name] = flat.reshape(mask.shape)
    return moved


def planted(net: Network, density: float, share: float, seed: int) -> tuple[Masks, Masks, Permutations]:
    """Return A, B and the orders that put B's units back."""
    rng = np.random.default_rng((seed, 1))
    a = random_masks(net, density, rng)
    orders = [rng.permutation(group.size) for group in net.groups]
    return a, rewired(permute(a, net.groups, orders), share, rng), [np.argsort(order) for order in orders]


def total(a: Masks, b: Masks) -> LayerOverlap:
    """Return the overlap of all layers together."""
    packed = ({name: PackedMask.from_bool(mask) for name, mask in masks.items()} for masks in (a, b))
    return overlap_of(*packed).total


def numbers(overlap: LayerOverlap) -> str:
    """Return Jaccard index, share and kappa."""
    return f"{overlap.jaccard:.3f} {overlap.share:.3f} {overlap.kappa:.3f}"


def in_place(found: Alignment, back: Permutations) -> float:
    """Return the part of the hidden units that are put back."""
    same = sum(int((order == known).sum()) for order, known in zip(found.permutations, back, strict=True))
    return same / sum(len(order) for order in back)


def drawn(net: Network, a: Masks, b: Masks, draws: int, seconds: float) -> list[LayerOverlap]:
    """Return the overlaps of aligned null masks: as many as asked for, or at least 19 and what the time allows."""
    rng, begun, found = np.random.default_rng((0, 2)), time.process_time(), list[LayerOverlap]()
    while len(found) < draws and (len(found) < FEWEST or time.process_time() - begun < seconds):
        masks = layer_shuffle(b, rng)
        found.append(total(a, align(a, masks, net.topology).apply(masks)))
    return found


def show_planted(densities: list[float], seeds: int, draws: int, seconds: float) -> None:
    """Print one line a network and density: before, after, null."""
    print("Planted permutation, half the active weights rewired; first of the pairs, J = Jaccard")
    print("network         density   before J, share, kappa   after J, share, kappa   order", end="")
    print(f"   null share mean, max   null kappa mean   draws       p   seconds   order, {seeds} pairs")
    for name, build in NETWORKS.items():
        net = build()
        for density in densities:
            a, b, back = planted(net, density, 0.5, seed=0)
            start = time.perf_counter()
            found = align(a, b, net.topology)
            took = time.perf_counter() - start
            nulls = drawn(net, a, b, draws, seconds)
            after = total(a, found.apply(b))
            p = (1 + sum(null.intersection >= after.intersection for null in nulls)) / (1 + len(nulls))
            others = [in_place(found, back)]
            for seed in range(1, seeds):
                a_other, b_other, back = planted(net, density, 0.5, seed)
                others.append(in_place(align(a_other, b_other, net.topology), back))
            print(
                f"{name:15} {density:7.2f}   {numbers(total(a, b)):>22}   {numbers(after):>21}   {others[0]:5.2f}   "
                f"{statistics.mean(null.share for null in nulls):15.3f}, {max(null.share for null in nulls):.3f}   "
                f"{statistics.mean(null.kappa for null in nulls):15.3f}   {len(nulls):5d}   {p:5.3f}   {took:7.2f}   "
                f"{min(others):.2f} to {max(others):.2f}",
                flush=True,
            )


def show_starts(cases: list[tuple[str, float, float]], seeds: int) -> None:
    """Print how often each start finds the planted permutation: as much in common as it, or more."""
    print(f"\nPairs of {seeds} in which a start reaches 98 % of the share that the planted permutation has")
    print(f"network         density  rewired   {'  '.join(f'{start:>8}' for start in STARTS)}")
    for name, density, share in cases:
        net = NETWORKS[name]()
        reached = dict.fromkeys(STARTS, 0)
        for seed in range(seeds):
            a, b, back = planted(net, density, share, seed)
            truth = total(a, permute(b, net.groups, back)).intersection
            for start in STARTS:
                reached[start] += align(a, b, net.topology, starts=(start,)).objective >= 0.98 * truth
        print(f"{name:15} {density:7.3f}  {share:7.2f}   {'  '.join(f'{n:8d}' for n in reached.values())}", flush=True)


def show_independent(density: float, seeds: int) -> None:
    """Print what alignment makes of independent masks, and their NNSTD."""
    print(f"\nIndependent masks at density {density:g}, mean of {seeds} pairs: share before and after alignment, NNSTD")
    for name, build in NETWORKS.items():
        net = build()
        rows = []
        for seed in range(seeds):
            rng = np.random.default_rng((seed, 3))
            a, b = random_masks(net, density, rng), random_masks(net, density, rng)
            aligned = align(a, b, net.topology).apply(b)
            rows.append((total(a, b).share, total(a, aligned).share, nnstd(a, b, net.topology).total.distance))
        before, after, distance = (statistics.mean(column) for column in zip(*rows, strict=True))
        print(f"{name:15} {before:.4f} -> {after:.3f}   {distance:.3f}", flush=True)


def show_import() -> None:
    """Print what loading the solver without its package saves."""
    programs = {
        "scipy.optimize": "from scipy.optimize import linear_sum_assignment",
        "its one file": "from masktools.structure.alignment.assignment import _from_file; assert _from_file()",
    }
    print("\nSeconds to load the assignment solver, beyond numpy; best of 7")
    for name, program in programs.items():
        code = f"import numpy, time; t = time.perf_counter(); {program}; print(time.perf_counter() - t)"
        times = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
        print(f"{name:15} {min(times):.3f}")


def show_resnet50() -> None:
    """Print how long an alignment takes from each start, and NNSTD, at 10 %."""
    net = network(resnet50(), 3, 64, 64)
    a, b, _ = planted(net, 0.1, 0.5, seed=0)
    weights = sum(mask.size for mask in a.values())
    print(f"\nResNet-50, {len(net.groups)} groups, {weights:,} weights at 10 %: seconds, sweeps, share")
    for kind, other in (("planted", b), ("null", layer_shuffle(b, np.random.default_rng((0, 2))))):
        for start in STARTS:
            begun = time.perf_counter()
            found = align(a, other, net.topology, starts=(start,))
            seconds = time.perf_counter() - begun
            share = found.objective / sum(int(mask.sum()) for mask in a.values())
            print(f"{kind:8} {start:9} {seconds:7.1f} s   {found.sweeps:3d}   {share:.3f}", flush=True)
        begun = time.perf_counter()
        distance = nnstd(a, other, net.topology).total.distance
        print(f"{kind:8} NNSTD     {time.perf_counter() - begun:7.1f} s         {distance:.3f}", flush=True)


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--densities", type=float, nargs="+", default=[0.02, 0.1])
    parser.add_argument("--seeds", type=int, default=5, help="planted pairs of each kind")
    parser.add_argument("--draws", type=int, default=199, help="null masks of each kind")
    parser.add_argument("--seconds", type=float, default=180, help=f"CPU time for them, whatever {FEWEST} take")
    parser.add_argument("--resnet50", action="store_true", help="only the shapes of ResNet-50")
    options = parser.parse_args()
    if options.resnet50:
        show_resnet50()
        return
    show_planted(options.densities, options.seeds, options.draws, options.seconds)
    cases = [(name, density, 0.5) for name in NETWORKS for density in options.densities]
    show_starts(
        [*cases, ("64-300-100-10", 0.05, 0.5), ("ResNet-20", 0.005, 0.5), ("ResNet-20", 0.05, 0.75)], options.seeds
    )
    show_independent(0.01, options.seeds)
    show_import()


if __name__ == "__main__":
    main()
