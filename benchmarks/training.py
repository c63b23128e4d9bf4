"""What sparse training costs: time of a training step as a ratio to the dense step, side by side in one run.

Every variant steps in turn with the dense network, round after round, so that a machine whose speed drifts slows both
alike; the figure is the median over rounds of the ratio within the round. Steps are forward, backward and SGD with
momentum. Where masks change, one step of a hundred updates them: its time is found by updating at every other
step. All layers but the last have the same density; the last is dense (with rigl-torch the first is, too). Peers
(rigl-torch, sparselab) are measured where they are installed.

    python benchmarks/training.py --threads 1
"""

import argparse
import re
import statistics
import sys
import time
import types
from collections.abc import Callable

import torch
from torch import nn

from masktools_train.algorithms import DNW, SET, Algorithm, RigL, Static
from masktools_train.models.mlp import MLP
from masktools_train.models.resnet import resnet20
from masktools_train.sparsifier import Sparsifier

Step = Callable[[], None]
Build = Callable[[], nn.Module]

UPDATES = 100
"""Steps from one update of the masks to the next."""

Column = dict[str, float | None]

NETWORKS: dict[str, tuple[Build, tuple[int, ...], tuple[float, ...], int]] = {
    "MLP 300-100": (lambda: MLP([784, 300, 100, 10]), (128, 784), (0.1, 0.02), 1),
    "MLP 4x1024": (lambda: MLP([784, 1024, 1024, 1024, 1024, 10]), (128, 784), (0.1, 0.02), 2),
    "MLP 4x4096": (lambda: MLP([784, 4096, 4096, 4096, 4096, 10]), (128, 784), (0.01,), 20),
    "ResNet-20": (lambda: resnet20((3, 32, 32), 10), (32, 3, 32, 32), (0.1,), 10),
}
"""How to build a network, its batch, densities, and by how much fewer steps are made in a round."""


def algorithms(interval: int) -> dict[str, tuple[Algorithm, int | None]]:
    """Return algorithms that update every so many steps, and the step after which they are frozen."""
    return {
        "static": (Static(), None),
        "RigL": (RigL(delta_t=interval), None),
        "SET": (SET(interval=f"{interval}it"), None),
        "DNW": (DNW(), None),
        "DNW frozen": (DNW(), 0),
    }


MASKED = {f"masked {name}": (name, "masked") for name in ("static", "RigL", "SET", "DNW")}
SPARSE = {f"sparse {name}": (name, "sparse") for name in ("static", "DNW frozen", "RigL", "SET")}
PEERS = ("rigl-torch RigL", "sparselab Static", "sparselab RigL")


def training(model: nn.Module, optimizer: torch.optim.Optimizer, shape: tuple[int, ...], device: str) -> Step:
    """Return a step of plain training."""
    inputs = torch.randn(shape, device=device)
    targets = torch.randint(10, shape[:1], device=device)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(inputs), targets))
        optimizer.step()

    return step


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of all variants."""
    return torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)


def ours(build: Build, shape: tuple[int, ...], variant: str, density: float, device: str, interval: int) -> Step:
    """Return a step of this package."""
    name, execution = (MASKED | SPARSE)[variant]
    algorithm, freeze_step = algorithms(interval)[name]
    torch.manual_seed(0)
    model = build().to(device)
    optimizer = sgd(model)
    Sparsifier(
        model, optimizer, algorithm, density=density, distribution="uniform", total_steps=10**6,
        dense_layers=["last"], freeze_step=freeze_step, execution=execution,
    )  # fmt: skip
    return training(model, optimizer, shape, device)


def peers(build: Build, shape: tuple[int, ...], variant: str, density: float, interval: int) -> Step | None:
    """Return a step of another package; None where it is not installed, or has no such layers."""
    torch.manual_seed(0)
    model = build()
    library, name = variant.split()
    if library == "rigl-torch":
        blocks = types.SimpleNamespace(Bottleneck=(), BasicBlock=())
        stub = types.SimpleNamespace(models=types.SimpleNamespace(resnet=blocks))
        sys.modules.setdefault("torchvision", stub)  # type: ignore[arg-type]
        try:
            from rigl_torch.RigL import RigLScheduler
        except ImportError:
            return None
        optimizer = sgd(model)
        scheduler = RigLScheduler(
            model, optimizer, dense_allocation=density, T_end=10**6, delta=interval, ignore_linear_layers=False
        )
        inputs, targets = torch.randn(shape), torch.randint(10, shape[:1])

        def step() -> None:
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs), targets))
            if scheduler():
                optimizer.step()

        return step
    try:
        import sparselab
    except ImportError:
        return None
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return None
    rule = sparselab.Static(1 - density) if name == "Static" else sparselab.RigL(1 - density, 0.3, interval, seed=0)
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    layers: list[nn.Module] = []
    for module in linear[:-1]:
        layer = sparselab.SparseLinear(module.in_features, module.out_features, sparsity=1 - density)
        layer.apply(rule)
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers, linear[-1])
    plain = training(model, sgd(model), shape, "cpu")

    def step_and_rule() -> None:
        plain()
        rule.step()

    return step_and_rule


def seconds(step: Step, steps: int, device: str) -> float:
    """Return the time of a number of steps."""
    if device != "cpu":
        torch.cuda.synchronize()
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def ratio(dense: Step, step: Step, steps: int, rounds: int, device: str) -> tuple[float, list[float]]:
    """Return the time of a step as a ratio to the dense one, and the times of dense steps."""
    seconds(step, 3, device)
    times = [(seconds(step, steps, device), seconds(dense, steps, device)) for _ in range(rounds)]
    return statistics.median(ours / theirs for ours, theirs in times), [theirs / steps for _, theirs in times]


def compare(build: Build, shape: tuple[int, ...], density: float, steps: int, options: argparse.Namespace) -> Column:
    """Return the ratios of all variants of one network, and the time of a dense step in milliseconds."""
    torch.manual_seed(0)
    model = build().to(options.device)
    dense = training(model, sgd(model), shape, options.device)
    seconds(dense, 3, options.device)
    column: Column = {}
    all_times = []
    for variant in (*MASKED, *SPARSE, *PEERS):
        if not re.search(options.variants, variant):
            column[variant] = None
            continue
        values = []
        # Without any update, then with one at every other step.
        for interval in (10**5, 2) if "RigL" in variant or "SET" in variant else (10**5,):
            if variant in PEERS:
                step = peers(build, shape, variant, density, interval) if options.device == "cpu" else None
            elif variant in SPARSE and any(isinstance(module, nn.Conv2d) for module in model.modules()):
                step = None
            else:
                step = ours(build, shape, variant, density, options.device, interval)
            if step is None:
                break
            value, times = ratio(dense, step, steps, options.rounds, options.device)
            values.append(value)
            all_times += times
        column[variant] = values[0] + (values[-1] - values[0]) * 2 / UPDATES if values else None
        print(f"{variant}: {values}", file=sys.stderr, flush=True)
    column["dense, ms"] = 1e3 * statistics.median(all_times)
    return column


def main() -> None:
    """Measure and print a row a variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20, help="steps in a round, fewer for large networks")
    parser.add_argument("--only", default="", help="part of a network's name")
    parser.add_argument("--variants", default="", help="regular expression that names of variants match")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    name = torch.cuda.get_device_name() if options.device != "cpu" else f"cpu, {options.threads} threads"
    print(f"torch {torch.__version__}, {name}; ratio of a step's time to the dense step's\n")
    columns: dict[str, Column] = {}
    for network, (build, shape, densities, fewer) in NETWORKS.items():
        for density in densities if options.only in network else ():
            steps = max(2, options.steps // fewer)
            columns[f"{network}, {density:g}"] = compare(build, shape, density, steps, options)
    print("| | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for variant in ("dense, ms", *MASKED, *SPARSE, *PEERS):
        cells = (column[variant] for column in columns.values())
        print(f"| {variant} | " + " | ".join("-" if cell is None else f"{cell:.2f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
