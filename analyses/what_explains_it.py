"""What of a mask does accuracy need? Random masks that keep more and more of it, trained from new weights.

    python analyses/what_explains_it.py runs/paper/digits --out results/digits

Reads `masktools reinit --variants new,global-shuffled,layer-shuffled,...`: rungs of the null ladder, from the number of
active weights alone to the degrees of every unit. Seeds are shared, so that each rung is paired with the mask itself.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import masktools as mt

RUNGS = ("global-shuffled", "erk-random", "layer-shuffled", "neuron-shuffled", "degree-shuffled", "tap-shuffled", "new")


def main() -> None:
    """Print the table, write it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study = mt.Study(options.runs)
    rows: list[dict[str, Any]] = []
    drawn: list[str] = []
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for place, (algorithm, runs) in enumerate(study.by_algorithm.items()):
        found = {rung: values for rung in RUNGS if (values := study.accuracies(runs, rung)) is not None}
        if "new" not in found or len(found) < 2:
            continue
        differences = {
            rung: mt.paired_difference([100 * v for v in values], [100 * v for v in found["new"]])
            for rung, values in found.items()
            if rung != "new"
        }
        adjusted = dict(zip(differences, mt.holm([each.p_value for each in differences.values()]), strict=True))
        means = {rung: mt.mean_interval(100 * value for value in values) for rung, values in found.items()}
        for rung, mean in means.items():
            row: dict[str, Any] = {"algorithm": algorithm, "mask": "its own" if rung == "new" else rung}
            row["accuracy"] = mean
            if rung in differences:
                row |= {"less_its_own": differences[rung], "p_holm": adjusted[rung]}
            rows.append(row)
        heights = [mean.mean for mean in means.values()]
        errors = [(mean.high or mean.mean) - mean.mean for mean in means.values()]
        drawn += [rung for rung in means if rung not in drawn]
        places = [drawn.index(rung) + (place - 2) / 12 for rung in means]
        axes.errorbar(places, heights, errors, fmt="o-", color=f"C{place}", capsize=3, label=algorithm)
    reading = (
        "Accuracy in per cent from new weights under a random mask that keeps what its name says, less that under the "
        "mask itself, paired by run; p corrected by Holm's method within an algorithm."
    )
    table = mt.tabulate(f"{options.runs}: what accuracy needs of a mask", rows or [{"algorithm": "none"}], reading)
    names = [rung.removesuffix("-shuffled") if rung != "new" else "its own" for rung in drawn]
    axes.set(
        xticks=range(len(drawn)), xticklabels=names, ylabel="test accuracy from new weights, %", xlabel="mask keeps"
    )
    axes.legend(fontsize="small")
    figure.savefig(mt.publish(options.out, Path(__file__).stem, table), metadata={"Date": None})
    print(table)


if __name__ == "__main__":
    main()
