"""How often does an interval for the mean over pairs of runs hold it? Simulated runs of several kinds.

    python analyses/pair_intervals.py --draws 10000

Every number is a share of simulations in which the 95 % interval of `masktools.mean_over_pairs` holds the true mean
over pairs. What runs have in common is made up so that the true mean is known.
"""

import argparse
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

import masktools as mt

Values = NDArray[np.float64]
RUNS = (3, 5, 10, 20)


def noise(runs: int, rng: np.random.Generator, spread: float = 0.02) -> Values:
    """Return what belongs to single pairs."""
    half = np.tril(rng.normal(0, spread, (runs, runs)), -1)
    return half + half.T


def summed(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """Each run adds a normal amount."""
    own = rng.normal(0.25, 0.1, runs)
    return own[:, None] + own + noise(runs, rng), 0.5


def skewed(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """Each run adds an exponential amount."""
    own = rng.exponential(0.1, runs)
    return own[:, None] + own + noise(runs, rng), 0.2


def product(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """Two normal amounts are multiplied."""
    own = rng.normal(0.7, 0.15, runs)
    return np.outer(own, own) + noise(runs, rng), 0.49


def alike(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """Pairs have nothing to do with each other."""
    return 0.5 + noise(runs, rng), 0.5


def halves(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """Two kinds of runs, as likely as each other: .8 within a kind, .2 between."""
    kind = rng.random(runs) < 0.5
    return np.where(kind[:, None] == kind, 0.8, 0.2) + noise(runs, rng), 0.5


def outlying(runs: int, rng: np.random.Generator) -> tuple[Values, float]:
    """One run in five is unlike all others: .1 with it, .8 between the rest."""
    kind = rng.random(runs) < 0.2
    return np.where(kind[:, None] | kind, 0.1, 0.8) + noise(runs, rng), 0.8 * 0.64 + 0.1 * 0.36


KINDS: Mapping[str, Callable[[int, np.random.Generator], tuple[Values, float]]] = {
    "sum": summed,
    "skewed": skewed,
    "product": product,
    "alike": alike,
    "halves": halves,
    "outlying": outlying,
}


def main() -> None:
    """Print one line a kind of runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=10_000, help="simulations of each kind and number of runs")
    options = parser.parse_args()
    print(f"{'runs':8s}" + "".join(f"{runs:>8d}" for runs in RUNS))
    for name, kind in KINDS.items():
        shares = []
        for runs in RUNS:
            rng, held = np.random.default_rng(runs), 0
            for _ in range(options.draws):
                values, mean = kind(runs, rng)
                found = mt.mean_over_pairs(values.tolist())
                held += found.low is not None and found.high is not None and found.low <= mean <= found.high
            shares.append(held / options.draws)
        print(f"{name:8s}" + "".join(f"{share:8.3f}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
