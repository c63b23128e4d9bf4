"""Kill training at random moments, resume it, and compare the result bit for bit with a run that was left alone.

    python benchmarks/kill_and_resume.py --kills 200

Every trial trains a small network in a child process, kills it (SIGKILL) after a random time, looks at every file
that is there, resumes, kills again, a few times, and then lets it finish. Every snapshot must be equal, byte for byte,
to that of the uninterrupted run, and so must the metrics but for the seconds.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from masktools.errors import SnapshotError
from masktools.runs import open_run
from masktools.snapshot.read import Snapshot
from masktools.snapshot.verify import verify_snapshot
from masktools_train.recipe import Recipe, load_recipe, resolve_recipe
from masktools_train.training import train

CASES: dict[str, dict[str, Any]] = {
    "dense": {"algorithm.name": "dense", "algorithm.density": 1.0},
    "static": {"algorithm.name": "static"},
    "rigl": {"algorithm.name": "rigl", "algorithm.options.delta_t": 5},
    "rigl frozen": {"algorithm.name": "rigl", "algorithm.options.delta_t": 5, "algorithm.freeze_epoch": 3},
    "rigl adamw": {"algorithm.name": "rigl", "algorithm.options.delta_t": 5, "optimizer.name": "adamw"},
    "dnw": {"algorithm.name": "dnw"},
    "dnw global": {"algorithm.name": "dnw", "algorithm.distribution": "global"},
    "dnw frozen": {"algorithm.name": "dnw", "algorithm.freeze_epoch": 3},
    "ltr": {"algorithm.name": "ltr", "algorithm.options.rewind": "20it", "epochs": 3, "algorithm.density": 0.4},
    "conv-4 shift": {
        "algorithm.name": "dnw",
        "model.name": "conv-4",
        "data.augment": ["shift"],
        "data.shift": 1,
        "epochs": 2,
        "data.options.test_share": 0.8,
    },
}

KILLS_A_RUN = 5


def recipe_of(case: str) -> Recipe:
    """Return the small recipe of a case."""
    small = {"model.options.widths": [24], "epochs": 6, "algorithm.density": 0.2, **CASES[case]}
    if "model.name" in small:
        small.pop("model.options.widths")
    return resolve_recipe(load_recipe("digits"), small)


def trained_in_child(recipe: Recipe, folder: Path, seconds: float | None) -> bool | None:
    """Train in a child; return whether it finished well, or None if it was killed after `seconds`."""
    child = os.fork()
    if child == 0:
        try:
            train(recipe, folder, device="cpu", resume=True)
        except BaseException as error:  # a failed resume is what this looks for
            print(f"{folder.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    end = None if seconds is None else time.monotonic() + seconds
    while True:
        finished, status = os.waitpid(child, os.WNOHANG)
        if finished:
            return os.waitstatus_to_exitcode(status) == 0
        if end is not None and time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            return None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.001)


def damaged(folder: Path, reference: Path) -> list[str]:
    """Return the snapshots that are there but unsound or other than the reference's."""
    return [path.name for path in folder.glob("epoch-*.h5") if not sound(path, reference / path.name)]


def sound(path: Path, reference: Path) -> bool:
    """Whether a snapshot can be read whole and is the reference's, byte for byte."""
    try:
        verify_snapshot(Snapshot(path))
    except SnapshotError:
        return False
    return path.read_bytes() == reference.read_bytes()


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the metrics without the times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def main() -> None:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="kill-and-resume-"))
    recipes = {case: recipe_of(case) for case in CASES}
    durations = {}
    for case, recipe in recipes.items():
        begun = time.monotonic()
        if not trained_in_child(recipe, root / case.replace(" ", "-"), None):
            sys.exit(f"{case}: the uninterrupted run failed")
        durations[case] = time.monotonic() - begun
    count = dict.fromkeys(("kills", "runs", "damaged", "lost", "failed", "different"), 0)
    while count["kills"] < options.kills:
        case = list(CASES)[count["runs"] % len(CASES)]
        reference, folder = root / case.replace(" ", "-"), root / f"trial-{count['runs']}"
        count["runs"] += 1
        finished_epochs = kills = 0
        while True:
            limit = rng.uniform(0, durations[case]) if kills < KILLS_A_RUN else None
            outcome = trained_in_child(recipes[case], folder, limit)
            if folder.exists():
                count["damaged"] += len(damaged(folder, reference))
                epochs = len(list(folder.glob("epoch-*.h5")))
                count["lost"] += epochs < finished_epochs
                finished_epochs = epochs
            if outcome is not None:
                break
            kills += 1
            count["kills"] += 1
        whole = outcome and open_run(folder).epochs == open_run(reference).epochs
        count["failed"] += not outcome
        left = (folder / "state.pt").exists()
        count["different"] += not whole or left or metrics(folder) != metrics(reference)
        shutil.rmtree(folder)
    shutil.rmtree(root)
    print(", ".join(f"{value} {name}" for name, value in count.items()))
    sys.exit(any(count[name] for name in ("damaged", "lost", "failed", "different")))


if __name__ == "__main__":
    main()
