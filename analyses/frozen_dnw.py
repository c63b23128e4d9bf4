"""What does it cost to fix DNW's structure early, and what does it save? The same seeds, frozen and not."""

import argparse
import math
from pathlib import Path

import torch

import masktools as mt
import masktools_train as mtt


def changes(options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """Return the overrides of each variant; the first is what the others are compared with."""
    common: dict[str, object] = {"algorithm.name": "dnw", "epochs": options.epochs}
    if options.model:
        common["model.name"] = options.model
    if options.widths:
        common["model.options.widths"] = options.widths
    sparse = {**common, "execution": "auto"}
    frozen = {f"frozen at epoch {epoch}": {**sparse, "algorithm.freeze_epoch": epoch} for epoch in options.freeze}
    by_itself = {f"frozen when {options.rule}": {**sparse, "algorithm.freeze_when": options.rule}}
    rest = {"static": {**sparse, "algorithm.name": "static"}, "dense": {**common, "algorithm.name": "dense"}}
    return {"dnw": common} | by_itself | frozen | rest


def mean(values: list[float], digits: int) -> str:
    """Write mean and half width of the 95 % interval over seeds."""
    found = mt.mean_interval(values)
    return f"{found.mean:.{digits}f} ±{(found.high or math.nan) - found.mean:.{digits}f}"


def main() -> None:
    """Train what is not there yet, and print a line a variant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="fashion-mnist")
    parser.add_argument("--model", help="another model than the recipe's")
    parser.add_argument("--widths", type=int, nargs="+", help="of an mlp")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--freeze", type=int, nargs="*", default=[1, 5, 10], help="epochs after which to freeze")
    parser.add_argument("--rule", default="kappa>0.9 over 3", help="when to freeze by itself")
    parser.add_argument("--out", type=Path, default=Path("runs/frozen-dnw"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    raw = mtt.load_recipe(options.recipe)
    results: dict[str, list[mtt.TrainResult]] = {name: [] for name in changes(options)}
    # Seed by seed, and within it all variants: a machine whose speed drifts slows all of them alike.
    for seed in range(options.seeds):
        for number, (name, overrides) in enumerate(changes(options).items()):
            recipe = mtt.resolve_recipe(raw, {**overrides, "seed": seed})
            results[name].append(mtt.train(recipe, options.out / f"{number}-s{seed}", resume=True))
    print(f"{options.recipe}, {options.epochs} epochs, {options.seeds} seeds; ± 95 % interval over seeds.\n")
    print(" " * 28 + "      accuracy   less than dnw  frozen at          time   FLOPs  dense steps")
    first = results["dnw"]
    for name, runs in results.items():
        lost = [100 * (a.final.test_accuracy - b.final.test_accuracy) for a, b in zip(first, runs, strict=True)]
        seconds = [[math.fsum(record.seconds for record in run.records[1:]) for run in each] for each in (runs, first)]
        ratios = [mine / theirs for mine, theirs in zip(*seconds, strict=True)]
        flops = [
            (a.final.training_flops or 0) / (b.final.training_flops or 1) for a, b in zip(runs, first, strict=True)
        ]
        frozen = sorted(run.final.frozen_epoch for run in runs if run.final.frozen_epoch is not None)
        shares = [run.final.dense_gradient_steps / run.final.step for run in runs]
        print(
            f"{name:28s}{mean([100 * run.final.test_accuracy for run in runs], 2):>14s}"
            f"{'-' if name == 'dnw' else mean(lost, 2):>16s}"
            f"{f'{frozen[0]}-{frozen[-1]}' if frozen else '-':>11s}{'1' if name == 'dnw' else mean(ratios, 2):>14s}"
            f"{math.fsum(flops) / len(flops):8.2f}{math.fsum(shares) / len(shares):13.0%}"
        )
    print("\nless than dnw: percentage points, paired by seed. Time and FLOPs are of training, as ratios to dnw.")


if __name__ == "__main__":
    main()
