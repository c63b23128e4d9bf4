"""Do seeds find the same ticket? Masks of different seeds as they are, and up to the order of hidden units.

    python analyses/ticket_identity.py runs/paper/digits --out results/digits

An aligned overlap means something only beside that of random masks aligned in the same way. What a mask of another seed
is worth on a run's own initial weights (`masktools reinit --variants other,other-aligned`) stands beside it.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import masktools as mt

STARTS = ("original", "other-aligned", "other", "layer-shuffled")


def over_pairs(comparisons: mt.Comparisons, values: list[float | None]) -> mt.PairMean:
    """Return the mean over pairs of runs, its interval over runs."""
    found = iter(values)
    matrix: list[list[float | None]] = [[None] * len(comparisons.runs) for _ in comparisons.runs]
    for i in range(len(matrix)):
        for j in range(i + 1, len(matrix)):
            matrix[i][j] = matrix[j][i] = next(found)
    return mt.mean_over_pairs(matrix)


def main() -> None:
    """Print the table, write it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--null", default="degree", help="what random masks keep")
    parser.add_argument("--draws", type=int, default=9, help="random masks for each pair of runs")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    study = mt.Study(options.runs)
    rows: list[dict[str, Any]] = []
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for place, (algorithm, runs) in enumerate(study.by_algorithm.items()):
        if algorithm == "dense":
            continue
        row: dict[str, Any] = {"algorithm": algorithm}
        pairs = mt.compare_many(runs, align="weights", null=options.null, draws=options.draws, jobs=options.jobs)
        levels = [pair.level("aligned_kappa") for pair in pairs.pairs]
        means = {
            "kappa": pairs.mean(),
            "kappa_aligned": over_pairs(pairs, [level.observed if level else None for level in levels]),
            "null_aligned": over_pairs(pairs, [level.mean if level else None for level in levels]),
        }
        gaps = [level.observed - level.mean if level and level.mean is not None else None for level in levels]
        row |= means | {"beyond_null": over_pairs(pairs, gaps)}
        for start in STARTS:
            values = study.accuracies(runs, start)
            if values is not None:
                row[start] = mt.mean_interval(100 * value for value in values)
        for offset, (name, mean) in enumerate(means.items()):
            height = mean.mean or 0.0
            style = {"fmt": "os^"[offset], "color": f"C{offset}", "capsize": 3, "label": "_" if rows else name}
            axes.errorbar(place + (offset - 1) / 8, height, (mean.high or height) - height, **style)
        rows.append(row)
    reading = (
        f"kappa: of pairs of runs, interval over runs. Null: masks with the same {options.null}s, aligned alike. Other "
        "columns: accuracy in per cent from a run's own initial weights under its own mask and those of another seed."
    )
    table = mt.tabulate(f"{options.runs}: masks of different seeds", rows, reading)
    axes.set(xticks=range(len(study.by_algorithm)), xticklabels=list(study.by_algorithm), ylabel="kappa of two seeds")
    axes.legend(fontsize="small")
    figure.savefig(mt.publish(options.out, Path(__file__).stem, table), metadata={"Date": None})
    print(table)


if __name__ == "__main__":
    main()
