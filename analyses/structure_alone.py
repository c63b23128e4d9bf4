"""Is accuracy in the structure alone? Masks of existing runs trained again from other weights, beside their controls.

    python analyses/structure_alone.py runs/paper/digits --out results/digits

Reads the runs of a directory and what `masktools reinit` made of them: one retraining a mask, so that the repetition is
the run.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import masktools as mt

STARTS = (None, "original", "new", "sign-constant", "layer-shuffled")
"""None is the run itself."""


def finding(algorithm: str, kept: mt.Interval, gain: mt.PairedDifference) -> mt.Finding:
    """Say whether a mask with new weights keeps most of what training found above a shuffled mask."""
    replicates = "replicates" if (kept.low or 0) > 0.5 else "partly" if (gain.low or 0) > 0 else "no"
    within = "" if kept.low is None or kept.high is None else f" [{kept.low:.0%}, {kept.high:.0%}]"
    figure = f"new weights keep {kept.mean:.0%}{within} of what the run gains over a shuffled mask"
    return mt.Finding(f"Accuracy can be derived from structure alone ({algorithm})", figure, replicates)


def main() -> None:
    """Print the table, write it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study = mt.Study(options.runs)
    rows: list[dict[str, Any]] = []
    kept: dict[str, mt.Interval] = {}
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for place, (algorithm, runs) in enumerate(study.by_algorithm.items()):
        row: dict[str, Any] = {"algorithm": algorithm}
        found = {start or "trained": study.accuracies(runs, start) for start in STARTS}
        for offset, (start, values) in enumerate(found.items()):
            if values is None:
                continue
            row[start] = mean = mt.mean_interval(100 * value for value in values)
            style = {"fmt": "os^Dv"[offset], "color": f"C{offset}", "capsize": 3}
            style["label"] = start if all(start not in each for each in rows) else "_"
            axes.errorbar(place + (offset - 2) / 8, mean.mean, (mean.high or mean.mean) - mean.mean, **style)
        top, new, floor = found["trained"], found["new"], found["layer-shuffled"]
        if top and new and floor:
            row["new_less_shuffled"] = mt.paired_difference([100 * v for v in new], [100 * v for v in floor])
            if algorithm != "static":
                above = [[value - base for value, base in zip(each, floor, strict=True)] for each in (new, top)]
                kept[algorithm] = row["kept"] = mt.ratio_of_means(*above)
        rows.append(row)
    tested = [row for row in rows if "new_less_shuffled" in row]
    for row, p in zip(tested, mt.holm([row["new_less_shuffled"].p_value for row in tested]), strict=True):
        row["p_holm"] = p
    reading = (
        "Test accuracy in per cent; kept: (new - layer-shuffled) / (trained - layer-shuffled), Fieller's interval."
    )
    table = mt.tabulate(f"{options.runs}: one mask trained again from other starts", rows, reading)
    gains = {row["algorithm"]: row["new_less_shuffled"] for row in tested}
    findings = [finding(algorithm, share, gains[algorithm]) for algorithm, share in kept.items()]
    axes.set(xticks=range(len(rows)), xticklabels=[row["algorithm"] for row in rows], ylabel="test accuracy, %")
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.legend(fontsize="small")
    figure.savefig(mt.publish(options.out, Path(__file__).stem, table, findings), metadata={"Date": None})
    print(table)


if __name__ == "__main__":
    main()
