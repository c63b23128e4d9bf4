"""Small slices of the campaigns in ``benchmarks``: the large ones are run by hand and recorded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script, *options):
    command = [sys.executable, BENCHMARKS / script, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
def test_damaged_files_end_in_one_clear_error():
    done = run("damaged_files.py", "--files", 300, "--seed", 1)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    refused, bad = re.search(r"(\d+) refused, (\d+) escaped or hung", done.stdout).groups()
    assert int(refused) > 240
    assert bad == "0"
    assert int(re.search(r"peak memory (\d+) MB", done.stdout)[1]) < 300


@pytest.mark.slow
def test_killed_training_resumes_to_the_same_bits():
    done = run("kill_and_resume.py", "--kills", 12, "--seed", 1)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    kills, rest = done.stdout.strip().split(" kills, ")
    assert int(kills) >= 12
    assert re.fullmatch(r"\d+ runs, 0 damaged, 0 lost, 0 failed, 0 different", rest)
