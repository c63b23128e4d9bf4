"""The scripts in analyses/ that need no training."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_independent_masks_of_resnet50_are_at_chance_by_layers_and_not_pooled():
    done = subprocess.run(
        [sys.executable, ROOT / "analyses" / "pooled_chance.py", "--draws", "2"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [[float(cell) for cell in line.split()[1:]] for line in done.stdout.splitlines()[1:]]
    assert len(rows) == 2
    for z, kappa, pooled_z, pooled_kappa in rows:
        assert abs(z) < 4
        assert abs(kappa) < 0.01
        assert pooled_z > 500
        assert pooled_kappa > 0.1


@pytest.mark.slow
def test_intervals_of_pairs_hold_the_mean_as_often_as_the_documentation_says():
    done = subprocess.run(
        [sys.executable, ROOT / "analyses" / "pair_intervals.py", "--draws", "400"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {line.split()[0]: [float(cell) for cell in line.split()[1:]] for line in done.stdout.splitlines()[1:]}
    # Binomial(400, .95) has a standard deviation of .011; docs/overlap.md has the figures of 10,000.
    assert all(abs(share - 0.95) < 0.045 for share in (*found["sum"], *found["product"]))
    assert min(found["alike"]) > 0.96
    assert min(found["skewed"]) > 0.82
    assert found["outlying"][0] < 0.5 < found["outlying"][1] < found["outlying"][2]
