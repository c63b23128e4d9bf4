"""How early is the final structure there, and what does fixing it early cost? Beside a constant learning rate.

    python analyses/early_structure.py runs/paper/digits --out results/digits

Reads the runs of a directory, those of its subdirectory `constant` (the same at a constant rate), what `masktools
freeze` made of them, and the retrainings of early masks by `masktools reinit --from-epoch`.
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

import masktools as mt

Curve = dict[int, mt.Interval]


def curves(runs: list[mt.Run]) -> tuple[Curve, Curve]:
    """Return kappa with the final mask at each epoch, as it is and given the first mask; means over runs."""
    found: tuple[Curve, Curve] = ({}, {})
    results = [mt.emergence(run).curve for run in runs]
    for points in zip(*results, strict=True):
        for curve, values in zip(
            found, zip(*((p.kappa, p.kappa_beyond_initial) for p in points), strict=True), strict=True
        ):
            if None not in values:
                curve[points[0].epoch] = mt.mean_interval(values)
    return found


def emerged(algorithm: str, rate: str, plain: Curve, beyond: Curve) -> mt.Finding:
    """Say whether the mask of epoch 1 is mostly the final one, also beyond what the first mask makes it."""
    first, further = plain[1], beyond[1]
    lows, highs = [p.low or 0 for p in (first, further)], [p.high or 1 for p in (first, further)]
    verdict = "replicates" if min(lows) > 0.5 else "partly" if min(highs) > 0.5 else "no"
    figure = f"kappa {first.mean:.2f} [{lows[0]:.2f}, {highs[0]:.2f}] with the mask of epoch {max(plain)}"
    figure += f"; given the first mask {further.mean:.2f} [{lows[1]:.2f}, {highs[1]:.2f}]"
    return mt.Finding(
        f"The final structure is mostly there after one epoch ({algorithm}, {rate} rate)", figure, verdict
    )


def cheap(algorithm: str, lost: mt.PairedDifference, gap: float) -> mt.Finding:
    """Say whether fixing the mask after one epoch costs less than a point."""
    high = 100.0 if lost.high is None else lost.high
    figure = f"{lost.mean:.2f} [{lost.low or 0:.2f}, {high:.2f}] points are lost; a static mask loses {gap:.2f}"
    verdict = "replicates" if high < 1 else "partly" if high < gap / 2 else "no"
    return mt.Finding(f"Fixing the mask after one epoch costs little accuracy ({algorithm})", figure, verdict)


def main() -> None:
    """Print the table, write it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    study, constant = mt.Study(options.runs), options.runs / "constant"
    flat = mt.Study(constant).by_algorithm if constant.is_dir() else {}
    floor = study.accuracies(study.by_algorithm["static"]) or []
    rows: list[dict[str, Any]] = []
    findings = []
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for algorithm, runs in study.by_algorithm.items():
        if not study.frozen(runs[0]):
            continue
        last, own = runs[0].final.epoch, study.accuracies(runs) or []
        found = {"decaying": curves(runs)} | ({"constant": curves(flat[algorithm])} if algorithm in flat else {})
        for (rate, (plain, beyond)), line in zip(found.items(), ("-", "--"), strict=False):
            findings.append(emerged(algorithm, rate, plain, beyond))
            means = [point.mean for point in plain.values()]
            colour = f"C{len({row['algorithm'] for row in rows})}"
            axes.plot(list(plain), means, line, color=colour, label=f"{algorithm}, {rate} rate")
        for epoch in (0, *study.frozen(runs[0]), last):
            row: dict[str, Any] = {"algorithm": algorithm, "epoch": str(epoch)}
            if epoch < last:
                row |= {f"kappa_{rate}": plain.get(epoch) for rate, (plain, _) in found.items()}
                row["beyond_first"] = found["decaying"][1].get(epoch)
            if epoch in study.frozen(runs[0]):
                ends = [study.frozen(run)[epoch].metrics[-1] for run in runs]
                row["lost"] = lost = mt.paired_difference(
                    [100 * value for value in own], [100 * end["test_accuracy"] for end in ends]
                )
                row["dense_steps"] = ends[0]["dense_gradient_steps"] / ends[0]["step"]
                row["flops"] = ends[0]["training_flops"] / runs[0].metrics[-1]["training_flops"]
                if epoch == 1:
                    gap = 100 * (sum(own) / len(own) - sum(floor) / len(floor))
                    findings.append(cheap(algorithm, lost, gap))
            again = study.accuracies(runs, "new", epoch)
            rows.append(row | ({} if again is None else {"mask_new": mt.mean_interval(100 * v for v in again)}))
    reading = (
        "kappa: with the final mask, beyond_first: given the first mask; lost: points of accuracy if the mask is fixed "
        "then, paired by run; flops: of training, against the run; mask_new: accuracy in per cent of that mask trained "
        "from new weights."
    )
    table = mt.tabulate(f"{options.runs}: masks of early epochs", rows, reading)
    axes.set(xlabel="epoch", ylabel="kappa with the final mask", ylim=(-0.05, 1.05))
    axes.legend(fontsize="small")
    figure.savefig(mt.publish(options.out, Path(__file__).stem, table, findings), metadata={"Date": None})
    print(table)


if __name__ == "__main__":
    main()
