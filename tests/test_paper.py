"""The scripts that replicate the paper, on two seeds and three epochs of the embedded data."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masktools import Study, published

ROOT = Path(__file__).parent.parent

SETTINGS = """
[common]
algorithms = ["ltr", "dnw", "static", "dense"]
structures = ["ltr", "dnw"]
dynamic = ["dnw"]
seeds = 2

[tiny.digits]
title = "Digits, three epochs"
recipe = "digits"
variants = ["original", "new", "layer-shuffled", "degree-shuffled", "other-aligned"]
freeze = [1]
options = { ticket_identity = ["--draws", "2"] }
[tiny.digits.set]
epochs = 3
"algorithm.density" = 0.5
"""

ANALYSES = ("structure_alone", "what_explains_it", "structural_robustness", "early_structure", "ticket_identity")


def command(folder):
    (folder / "settings.toml").write_text(SETTINGS)
    script = [sys.executable, ROOT / "analyses" / "paper.py", "tiny", "--settings", folder / "settings.toml"]
    return [*script, "--out", folder / "runs", "--page", folder / "page.md", "--jobs", "1"]


def finished(folder):
    """Return the finished runs, and when they were."""
    metrics = (path for path in folder.rglob("metrics.jsonl") if not (path.parent / "state.pt").exists())
    return {path: path.stat().st_mtime_ns for path in metrics}


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Run everything once, killed in its midst."""
    folder = tmp_path_factory.mktemp("paper")
    process = subprocess.Popen(
        command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while len(finished(folder)) < 6 and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = finished(folder)
    assert len(kept) >= 6
    subprocess.run(command(folder), check=True, capture_output=True, text=True)
    assert len(finished(folder)) > len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    return folder


@pytest.mark.slow
def test_every_finding_of_the_paper_is_on_the_page(paper):
    page = (paper / "page.md").read_text()
    results = paper / "runs" / "results" / "digits"
    found = [finding for name in ANALYSES for finding in published(results, name)]
    claims = " ".join(finding.claim for finding in found)
    assert all(
        words in claims for words in ("structure alone", "further pruning", "after one epoch", "Fixing the mask")
    )
    for finding in found:
        assert f"| {finding.claim} | Digits, three epochs | {finding.figure} | **{finding.verdict}** |" in page
    for name in ANALYSES:
        assert (paper / "page" / f"digits-{name}.svg").read_text().startswith("<?xml")
        assert (results / f"{name}.md").read_text() in page


@pytest.mark.slow
def test_a_table_has_the_numbers_of_its_runs(paper):
    folder = paper / "runs" / "digits"
    with (paper / "runs" / "results" / "digits" / "structure_alone.csv").open() as file:
        rows = {row["algorithm"]: row for row in csv.DictReader(file)}
    study = Study(folder)
    for algorithm, runs in study.by_algorithm.items():
        accuracies = [100 * run.metrics[-1]["test_accuracy"] for run in runs]
        assert float(rows[algorithm]["trained"]) == pytest.approx(sum(accuracies) / 2)
    again = [study.again(run, "layer-shuffled")[0].metrics[-1]["test_accuracy"] for run in study.by_algorithm["dnw"]]
    assert float(rows["dnw"]["layer-shuffled"]) == pytest.approx(100 * sum(again) / 2)
    assert len(study.frozen(study.by_algorithm["dnw"][0])) == 1


@pytest.mark.slow
def test_started_again_it_repeats_nothing(paper):
    before = {path: path.stat().st_mtime_ns for path in paper.rglob("*") if path.is_file() and path.suffix != ".md"}
    subprocess.run(command(paper), check=True, capture_output=True, text=True)
    after = {path: path.stat().st_mtime_ns for path in before}
    changed = [path for path in before if after[path] != before[path]]
    assert {path.suffix or path.name for path in changed} <= {".toml", ".svg", ".lock"}
    assert not [path for path in changed if path.is_relative_to(paper / "runs") and path.name != ".lock"]
