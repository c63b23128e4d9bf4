"""What sparse training costs: time of a training step as a ratio to the dense step, side by side in one run.

Every variant steps in turn, round after round, so that a machine whose speed drifts slows all of them alike;
the figure is the median over rounds of the ratio within the round.

    python benchmarks/training_step.py --threads 2
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from masktools_train.algorithms import DNW, Algorithm, RigL, Static
from masktools_train.models.mlp import MLP
from masktools_train.models.resnet import resnet20
from masktools_train.sparsifier import Sparsifier

Step = Callable[[], None]
MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "MLP 64-300-100-10": (lambda: MLP([64, 300, 100, 10]), (64, 64)),
    "MLP 784-300-100-10": (lambda: MLP([784, 300, 100, 10]), (128, 784)),
    "MLP 784-4x1024-10": (lambda: MLP([784, 1024, 1024, 1024, 1024, 10]), (128, 784)),
    "ResNet-20": (lambda: resnet20((3, 32, 32), 10), (32, 3, 32, 32)),
}
VARIANTS: dict[str, tuple[Algorithm | None, int | None]] = {
    "dense": (None, None),
    "static": (Static(), None),
    "RigL": (RigL(), None),
    "DNW": (DNW(), None),
    "DNW frozen": (DNW(), 0),
}


def stepper(build: Callable[[], nn.Module], shape: tuple[int, ...], variant: str, density: float, device: str) -> Step:
    """Return a function that takes one training step of a variant."""
    torch.manual_seed(0)
    model = build().to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    algorithm, freeze_step = VARIANTS[variant]
    if algorithm is not None:
        Sparsifier(
            model,
            optimizer,
            algorithm,
            density=density,
            distribution="erk",
            total_steps=10**6,
            freeze_step=freeze_step,
        )
    inputs = torch.randn(shape, device=device)
    targets = torch.randint(10, shape[:1], device=device)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(model(inputs), targets))
        optimizer.step()

    return step


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


def main() -> None:
    """Measure and print a row a model and density."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    name = torch.cuda.get_device_name() if options.device != "cpu" else f"cpu, {options.threads} threads"
    print(f"torch {torch.__version__}, {name}; ratio of a step's time to the dense step's\n")
    print(f"{'model':20s}{'density':>8s}{'dense ms':>10s}" + "".join(f"{v:>12s}" for v in list(VARIANTS)[1:]))
    for model, (build, shape) in MODELS.items():
        for density in (0.1, 0.02):
            steps = {v: stepper(build, shape, v, density, options.device) for v in VARIANTS}
            for step in steps.values():
                seconds(step, 3, options.device)
            times: dict[str, list[float]] = {v: [] for v in VARIANTS}
            for _ in range(options.rounds):
                for variant, step in steps.items():
                    times[variant].append(seconds(step, options.steps, options.device))
            dense = times["dense"]
            ratios = [
                statistics.median(t / d for t, d in zip(times[v], dense, strict=True)) for v in list(VARIANTS)[1:]
            ]
            cells = "".join(f"{ratio:12.2f}" for ratio in ratios)
            print(f"{model:20s}{density:8.2f}{1e3 * statistics.median(dense) / options.steps:10.2f}{cells}")


if __name__ == "__main__":
    main()
