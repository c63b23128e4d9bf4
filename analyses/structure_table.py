"""How accurate are sparse networks, and what is their structure worth? A recipe, every algorithm, several seeds.

    python analyses/structure_table.py digits --seeds 5 --out runs/table-digits

Prints a Markdown table; intervals are over runs, each with its own mask, data order and initialisation.
"""

import argparse
import itertools
from collections.abc import Iterable
from pathlib import Path

import masktools as mt
import masktools_train as mtt

VARIANTS = ("original", "new", "shuffled")


def cell(values: Iterable[float]) -> str:
    """Write a mean in per cent with its 95 % interval over runs."""
    found = mt.mean_interval(100 * value for value in values)
    return f"{found.mean:.1f}" if found.low is None else f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}]"


def row(recipe: str, algorithm: str, seeds: int, folder: Path) -> str:
    """Train an algorithm with every seed, and every mask again in three ways; return a row of the table."""
    runs, accuracies = [], []
    again: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for seed in range(seeds):
        path = folder / f"{algorithm}-s{seed}"
        resolved = mtt.resolve_recipe(mtt.load_recipe(recipe), {"algorithm.name": algorithm, "seed": seed})
        accuracies.append(mtt.train(resolved, path, resume=True).final.test_accuracy)
        runs.append(mt.open_run(path))
        if len({snapshot.active for snapshot in runs[-1]}) != 1 and algorithm != "ltr":
            raise SystemExit(f"{path}: the number of active weights changed")
        if algorithm != "dense":
            result = mtt.reinit(path, seeds=[100 + seed], out=folder / f"{algorithm}-s{seed}-reinit")
            for variant in result.variants:
                again[variant.variant] += variant.accuracies
        print(f"{algorithm} seed {seed}: {accuracies[-1]:.4f}", flush=True)
    emergence = [mt.emergence(run).emergence_epoch for run in runs] if algorithm in ("rigl", "dnw") else []
    pairs = [mt.compare(a, b).total.kappa for a, b in itertools.combinations(runs, 2)]
    kappas = [kappa for kappa in pairs if kappa is not None]
    return " | ".join(
        [
            f"| {algorithm}",
            f"{runs[0].final.active:,}",
            cell(accuracies),
            *(cell(values) if values else "" for values in again.values()),
            ", ".join(str(epoch) for epoch in emergence),
            f"{min(kappas):.3f} to {max(kappas):.3f} |" if kappas else "|",
        ]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--algorithms", default="dense,static,rigl,dnw,ltr")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    rows = [row(options.recipe, name, options.seeds, options.out) for name in options.algorithms.split(",")]
    print(
        "\n| algorithm | active | accuracy | mask + original | mask + new | shuffled + new | in place at | κ of seeds |"
    )
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
