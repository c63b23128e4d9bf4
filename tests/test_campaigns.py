"""Small slices of the campaigns in ``benchmarks``: the large ones are run by hand and recorded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


# Of the cases of a campaign one with dense gradients, one that freezes and one with levels; what torch imports at the
# first trace takes longer than these runs, and is imported before the children that are killed are forked.
KILLED = """
import kill_and_resume, torch._dynamo
kill_and_resume.CASES = {case: kill_and_resume.CASES[case] for case in ("dnw", "rigl frozen", "ltr")}
kill_and_resume.main()
"""


def run(*program):
    command = [sys.executable, "-B", *map(str, program)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, cwd=BENCHMARKS)


@pytest.mark.slow
def test_damaged_files_end_in_one_clear_error():
    done = run("damaged_files.py", "--files", 150, "--seed", 1)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    refused, bad = re.search(r"(\d+) refused, (\d+) escaped or hung", done.stdout).groups()
    assert int(refused) > 120
    assert bad == "0"
    assert int(re.search(r"peak memory (\d+) MB", done.stdout)[1]) < 300


@pytest.mark.slow
def test_killed_training_resumes_to_the_same_bits():
    done = run("-c", KILLED, "--kills", 12, "--seed", 1)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    kills, rest = done.stdout.strip().split(" kills, ")
    assert int(kills) >= 12
    assert re.fullmatch(r"\d+ runs, 0 damaged, 0 lost, 0 failed, 0 different", rest)
