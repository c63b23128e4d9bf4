"""What is left of sparse networks without the units that they do not need, and how much faster that is.

First networks trained on the embedded digits, with ERK budgets; then built-in networks with random masks, biases and
statistics, every layer of the same density. Both networks run in turn, batch after batch of 128; times are medians.

    python benchmarks/compact.py --threads 1
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from masktools_train.compacting.compact import compact
from masktools_train.compacting.network import compact_model
from masktools_train.compacting.proof import outputs, seconds_per_batch
from masktools_train.models import build_model
from masktools_train.recipe import load_recipe, resolve_recipe
from masktools_train.sparse_layer import prunable_weights
from masktools_train.training import train

TRAINED: dict[str, dict[str, Any]] = {
    "lenet-300-100": {},
    "conv-4": {"optimizer.lr": 0.02},
    "resnet20": {},
    "resnet50": {
        "model.options": {"stem": "cifar"},
        "epochs": 8,
        "optimizer.lr": 0.05,
        "schedule.warmup_epochs": 1,
    },
    "mobilenet-v2": {
        "data.name": "compact_networks:large_digits",
        "epochs": 40,
        "optimizer.name": "adamw",
        "optimizer.lr": 2e-3,
        "schedule.warmup_epochs": 4,
    },
    "densenet": {"model.name": "compact_networks:densenet"},
    "u-net": {"model.name": "compact_networks:u_net"},
    "vit-tiny": {
        "model.options": {"patch": 2, "depth": 6},
        "epochs": 40,
        "optimizer.name": "adamw",
        "optimizer.lr": 1e-3,
        "schedule.warmup_epochs": 4,
    },
}
"""Networks that are trained, and how they differ from the recipe for digits and 20 epochs of ERK budgets."""

RANDOM = {
    "lenet-300-100": (1, 28, 28),
    "conv-4": (3, 32, 32),
    "resnet20": (3, 32, 32),
    "vgg-16": (3, 32, 32),
    "resnet50": (3, 32, 32),
    "mobilenet-v2": (3, 32, 32),
    "vit-tiny": (3, 32, 32),
}
"""Networks with random masks, and the shape of their inputs."""

HEADER = (
    f"{'model':15s}{'masks':>9s}{'units':>7s}{'after':>7s}{'dead':>6s}{'folded':>7s}{'kept':>6s}{'parameters':>12s}"
    f"{'after':>12s}{'ratio':>7s}{'ms':>9s}{'after':>9s}{'ratio':>7s}{'apart':>8s}"
)


def line(
    model: str,
    masks: str,
    units: tuple[int, int, int, int, int],
    parameters: tuple[int, int],
    seconds: tuple[float, float],
    apart: float,
) -> str:
    """Return one line of the table."""
    before, after, dead, folded, kept = units
    return (
        f"{model:15s}{masks:>9s}{before:7d}{after:7d}{dead:6d}{folded:7d}{kept:6d}{parameters[0]:12,d}"
        f"{parameters[1]:12,d}{parameters[0] / parameters[1]:7.2f}{1e3 * seconds[0]:9.2f}{1e3 * seconds[1]:9.2f}"
        f"{seconds[0] / seconds[1]:7.2f}{apart:8.0e}"
    )


def trained(model: str, algorithm: str, options: argparse.Namespace) -> str:
    """Train a network on digits and return the line of it."""
    changes = {
        "model.name": model,
        "algorithm.name": algorithm,
        "algorithm.density": options.density,
        "algorithm.distribution": "erk",
        "epochs": 20,
        **TRAINED[model],
    }
    if options.epochs:
        changes["epochs"] = options.epochs
    recipe = resolve_recipe(load_recipe("digits"), changes)
    with tempfile.TemporaryDirectory() as folder:
        result = train(recipe, Path(folder) / "run", device="cpu")
        report = compact(Path(folder) / "run", device="cpu")
    total = report.total
    seconds = (total.before.seconds or 0, total.after.seconds or 1)
    units = (total.units_before, total.units_after, total.dead, total.folded, sum(total.kept.values()))
    parameters = (total.before.parameters, total.after.parameters)
    apart = report.proof.float32 / max(1, report.proof.largest_output)
    found = line(model, algorithm, units, parameters, seconds, apart)
    exact = report.proof.float64 / max(1, report.proof.largest_output)
    return f"{found}  float64 {exact:.0e} on {report.proof.inputs} inputs; accuracy {result.final.test_accuracy:.3f}"


def sparse(model: nn.Module, density: float) -> dict[str, Tensor]:
    """Draw biases, statistics and masks; return the masks."""
    random = torch.Generator().manual_seed(0)
    weights = prunable_weights(model)
    for name, parameter in model.named_parameters():
        if name not in weights and parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=random)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer += 0.1 * torch.randn(buffer.shape, generator=random)
    masks = {name: torch.rand(weight.shape, generator=random) < density for name, weight in weights.items()}
    for name, weight in weights.items():
        # As large as they have to be for signals to keep their size.
        weight.data *= masks[name] * density**-0.5
    return masks


def drawn(name: str, options: argparse.Namespace) -> str:
    """Draw a network and return the line of it."""
    torch.manual_seed(0)
    model = build_model(name, {}, RANDOM[name], 10)
    masks = sparse(model, options.density)
    begun = time.perf_counter()
    found = compact_model(model, torch.randn(16, *RANDOM[name]), masks)
    needed = time.perf_counter() - begun
    inputs = torch.randn(128, *RANDOM[name])
    before, after = seconds_per_batch((model, found.model), inputs, budget=30)
    first = outputs(model, inputs)
    apart = float((first - outputs(found.model, inputs)).abs().max() / first.abs().max().clamp(min=1))
    parameters = [sum(parameter.numel() for parameter in each.parameters()) for each in (model, found.model)]
    units = (found.units_before, found.units_after, found.dead, found.folded, sum(found.kept.values()))
    made = line(name, "random", units, (parameters[0], parameters[1]), (before, after), apart)
    return f"{made}  compacted in {needed:.1f} s"


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--density", type=float, default=0.02)
    parser.add_argument("--epochs", type=int, help="of all networks, instead of their own")
    parser.add_argument("--trained", nargs="*", default=list(TRAINED))
    parser.add_argument("--algorithms", nargs="*", default=["dnw", "rigl"])
    parser.add_argument("--random", nargs="*", default=list(RANDOM))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, cpu, {options.threads} threads; density {options.density:g}\n")
    print(HEADER)
    for name in options.trained:
        for algorithm in options.algorithms:
            print(trained(name, algorithm, options), flush=True)
    for name in options.random:
        print(drawn(name, options), flush=True)


if __name__ == "__main__":
    main()
