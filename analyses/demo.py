"""What is in the structure of a sparse network? The paper's three questions, on handwritten digits in minutes."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import masktools as mt
import masktools_train as mtt

ALGORITHMS = {"dnw": "DNW", "rigl": "RigL", "ltr": "LTR", "static": "random"}


def trained(algorithm: str, seed: int, folder: Path, epochs: int | None) -> Path:
    """Train a run, or find it trained already."""
    overrides = {"algorithm.name": algorithm, "seed": seed} | ({"epochs": epochs} if epochs else {})
    recipe = mtt.resolve_recipe(mtt.load_recipe("digits"), overrides)
    result = mtt.train(recipe, folder / f"{algorithm}-s{seed}", resume=True)
    print(
        f"  {algorithm:6s} seed {seed}: accuracy {result.final.test_accuracy:.3f}, {result.final.active} weights",
        flush=True,
    )
    return folder / f"{algorithm}-s{seed}"


def interval(values: tuple[float, ...]) -> str:
    """Write mean and half width of the 95 % interval."""
    found = mt.mean_interval(values)
    return f"{found.mean:.3f}" + ("" if found.high is None else f" ±{found.high - found.mean:.3f}")


def answers(name: str, folder: Path, seeds: int, epochs: int | None) -> dict[str, str]:
    """Train an algorithm with two seeds and answer every question about the first of them."""
    first, second = (trained(name, seed, folder, epochs) for seed in (0, 1))
    print(
        f"  {name:6s} mask again, {seeds} times each: original weights, new weights, shuffled and new weights",
        flush=True,
    )
    again = mtt.reinit(first, seeds=seeds, out=folder / f"{name}-s0-reinit")
    emergence, connected = mt.emergence(first), mt.connectivity(first)
    live, chance = connected.total, connected.level("effective")
    starts = ("same mask, original", "same mask, new", "shuffled, new")
    return {
        "accuracy": f"{again.reference_accuracy:.3f}",
        **{f"  {s} weights": interval(v.accuracies) for s, v in zip(starts, again.variants, strict=True)},
        "mask in place at epoch": f"{emergence.emergence_epoch} of {mt.open_run(first).epochs[-1]}",
        "weights on a path": f"{live.effective / live.active:.0%}",
        "  if shuffled": f"{chance.mean / live.active:.0%}" if chance and chance.mean else "-",
        "half lost if pruned to": f"{mtt.prune(first).half_density or 0:.2%}",
        "kappa with seed 1": f"{mt.compare(first, second).total.kappa or 0:.3f}",
    }


def main() -> None:
    """Run the demo and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where the runs are written")
    parser.add_argument("--seeds", type=int, default=5, help="retrainings of each kind")
    parser.add_argument("--epochs", type=int, help="epochs (of each level); the recipe's by default")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    print("Training, two seeds each, a snapshot of the mask every epoch:", flush=True)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        # The longest first: lottery tickets are trained once a level.
        order = sorted(ALGORITHMS, key="ltr dnw rigl static".split().index)
        tasks = {n: pool.submit(answers, n, options.out, options.seeds, options.epochs) for n in order}
        found = {n: tasks[n].result() for n in ALGORITHMS}
    print("\nHandwritten digits, 2 % of 50,200 weights kept; guessing is right in 0.1 of the cases.\n")
    print(" " * 30 + "".join(f"{title:>13s}" for title in ALGORITHMS.values()))
    for label in found["dnw"]:
        print(f"{label:30s}" + "".join(f"{cells[label]:>13s}" for cells in found.values()))
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
