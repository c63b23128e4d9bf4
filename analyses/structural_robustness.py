"""How far can trained sparse networks be pruned further? Accuracy and connectivity of each algorithm, without training.

    python analyses/structural_robustness.py runs/paper/digits --out results/digits

Reads the runs of a directory; as a control, networks that were trained under their layer-shuffled masks.
"""

import argparse
import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import masktools as mt
import masktools_train as mtt

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
OF_THE_PAPER = ("ltr", "rigl", "dnw")


def contrast(results: dict[str, list[mt.PruneResult]]) -> mt.Finding:
    """Look for the pair of algorithms and the share at which what they lose is furthest apart, corrected for all."""
    keys, gaps = [], []
    for a, b in itertools.combinations([name for name in OF_THE_PAPER if name in results], 2):
        for place, share in enumerate(SHARES[1:], start=1):
            lost = [
                [100 * ((each.curve[0].mean() or 0) - (each.curve[place].mean() or 0)) for each in results[name]]
                for name in (a, b)
            ]
            keys.append((a, b, share))
            gaps.append(mt.paired_difference(*lost))
    adjusted = mt.holm([gap.p_value for gap in gaps])
    found = [(abs(gap.mean), *key, gap, p) for key, gap, p in zip(keys, gaps, adjusted, strict=True) if (p or 1) < 0.05]
    claim = "Algorithms contrast starkly in how much accuracy survives further pruning"
    if not found:
        return mt.Finding(claim, "no two algorithms differ beyond noise at any share", "no")
    size, a, b, share, gap, p = max(found, key=lambda each: each[0])
    a, b = (a, b) if gap.mean > 0 else (b, a)
    ends = sorted(abs(end) for end in (gap.low or 0, gap.high or 0))
    within = f"[{ends[0]:.1f}, {ends[1]:.1f}], p {p:.2g} (Holm)"
    figure = f"with {share:.0%} of its weights kept, {a} loses {size:.1f} points more than {b} {within}"
    return mt.Finding(claim, figure, "replicates" if size >= 10 else "partly")


def main() -> None:
    """Print the table, write it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--criterion", default="magnitude")
    options = parser.parse_args()
    study = mt.Study(options.runs)
    sources = dict(study.by_algorithm)
    for name in OF_THE_PAPER:
        shuffled = [study.again(run, "layer-shuffled") for run in sources.get(name, [])]
        if shuffled and all(shuffled):
            sources[f"{name}, shuffled"] = [members[0] for members in shuffled]
    results = {
        name: [mtt.prune(run, criterion=options.criterion, shares=SHARES) for run in runs]
        for name, runs in sources.items()
    }
    rows: list[dict[str, Any]] = []
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained", sharex=True)
    for place, (name, found) in enumerate(results.items()):
        (group,) = mt.robustness_groups(found)
        row: dict[str, Any] = {"network": name, "density": group.density}
        for measure, scale in (("area", 100), ("half_share", 1), ("collapse_share", 1)):
            values = [getattr(each, measure) for each in found]
            known = [scale * value for value in values if value is not None]
            row[measure] = mt.mean_interval(known) if len(known) == len(values) else None
        rows.append(row)
        style = {"color": f"C{place % 10}", "linestyle": "--" if "shuffled" in name else "-"}
        for axes, measure in ((left, "accuracy"), (right, "effective_share")):
            means = [point.measures[measure].interval for point in group.curve]
            axes.plot(SHARES, [mean.mean if mean else math.nan for mean in means], label=name, **style)
    left.set(xlabel="share of the active weights kept", ylabel="test accuracy", xscale="log", xlim=(1, SHARES[-1]))
    right.set(xlabel="share of the active weights kept", ylabel="weights on a path, of those kept")
    for axes in (left, right):
        axes.set_xticks([1, 0.5, 0.2, 0.1], ["1", "0.5", "0.2", "0.1"])
        axes.set_xticks([], minor=True)
    left.legend(fontsize="x-small")
    reading = (
        "area: mean accuracy in per cent over the logarithm of the share kept; half_share: share at which half of the "
        "accuracy above guessing is lost; collapse_share: share at which half of the weights lie on no"
        " path; -: never in some run."
    )
    table = mt.tabulate(f"{options.runs}: pruned further by {options.criterion}, globally", rows, reading)
    figure.savefig(mt.publish(options.out, Path(__file__).stem, table, [contrast(results)]), metadata={"Date": None})
    print(table)


if __name__ == "__main__":
    main()
