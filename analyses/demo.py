"""What is in the structure of a sparse network? The paper's three questions, on handwritten digits in minutes."""

import argparse
from pathlib import Path

import masktools as mt
import masktools_train as mtt

ALGORITHMS = {"dnw": "DNW", "rigl": "RigL", "ltr": "LTR", "static": "random"}


def trained(algorithm: str, seed: int, folder: Path, epochs: int | None) -> Path:
    """Train a run, or find it trained already."""
    overrides = {"algorithm.name": algorithm, "seed": seed} | ({"epochs": epochs} if epochs else {})
    recipe = mtt.resolve_recipe(mtt.load_recipe("digits"), overrides)
    result = mtt.train(recipe, folder / f"{algorithm}-s{seed}", resume=True)
    print(f"  {algorithm:6s} seed {seed}: accuracy {result.final.test_accuracy:.3f}, {result.final.active} weights")
    return folder / f"{algorithm}-s{seed}"


def interval(values: tuple[float, ...]) -> str:
    """Write mean and half width of the 95 % interval."""
    found = mt.mean_interval(values)
    return f"{found.mean:.3f}" + ("" if found.high is None else f" ±{found.high - found.mean:.3f}")


def answers(folder: Path, seeds: int, epochs: int | None) -> dict[str, list[str]]:
    """Answer every question for every algorithm; a row is a question."""
    print("Training, two seeds each, a snapshot of the mask every epoch:")
    runs = {name: [trained(name, seed, folder, epochs) for seed in (0, 1)] for name in ALGORITHMS}
    rows: dict[str, list[str]] = {}
    for name, (first, second) in runs.items():
        print(f"Training the {name} mask again, {seeds} times each with original, new, and new weights and a shuffle")
        again = mtt.reinit(first, seeds=seeds, out=folder / f"{name}-s0-reinit")
        emergence, live = mt.emergence(first), mt.connectivity(first).total
        null = live.null.effective_mean if live.null else float("nan")
        rows.setdefault("accuracy", []).append(f"{again.reference_accuracy:.3f}")
        for variant, start in zip(
            again.variants, ("same mask, original", "same mask, new", "shuffled, new"), strict=True
        ):
            rows.setdefault(f"  {start} weights", []).append(interval(variant.accuracies))
        rows.setdefault("mask in place at epoch", []).append(
            f"{emergence.emergence_epoch} of {mt.open_run(first).epochs[-1]}"
        )
        rows.setdefault("weights on a path", []).append(f"{live.effective / live.active:.0%}")
        rows.setdefault("  if shuffled", []).append(f"{null / live.active:.0%}")
        rows.setdefault("half lost if pruned to", []).append(f"{mtt.prune(first).half_density or 0:.2%}")
        rows.setdefault("kappa with seed 1", []).append(f"{mt.compare(first, second).total.kappa or 0:.3f}")
    return rows


def main() -> None:
    """Run the demo and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where the runs are written")
    parser.add_argument("--seeds", type=int, default=5, help="retrainings of each kind")
    parser.add_argument("--epochs", type=int, help="epochs (of each level); the recipe's by default")
    options = parser.parse_args()
    rows = answers(options.out, options.seeds, options.epochs)
    print("\nHandwritten digits, 2 % of 50,200 weights kept; guessing is right in 0.1 of the cases.\n")
    for label, cells in {"": list(ALGORITHMS.values()), **rows}.items():
        print(f"{label:30s}" + "".join(f"{cell:>13s}" for cell in cells))
    print("""
± 95 % interval over retrainings of that one mask. A shuffle keeps only each layer's number of weights.
In place: kappa with the final mask stays at 0.9 or more from here on (LTR counts all its levels).
kappa: agreement of two masks beyond chance; 0 is chance, 1 is the same mask.
""")
    print(f"The runs are in {options.out}/, one HDF5 file an epoch. Look closer, for example:")
    for command in ("emergence {0}/dnw-s0", "compare {0}/dnw-s0 {0}/rigl-s0", "connectivity {0}/ltr-s0", "--help"):
        print(f"  .venv/bin/masktools {command.format(options.out)}")


if __name__ == "__main__":
    main()
