"""Does the paper replicate? Train everything that its three experiments need, analyse it, and write a page.

    python analyses/paper.py small --out runs/paper --page docs/paper.md --jobs 2

What is finished is never done again: stop it whenever you like, and start it again.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paper_page import write_page

import masktools as mt
import masktools_train as mtt

HERE = Path(__file__).parent
ANALYSES = {
    "structure_alone": "Structure alone",
    "what_explains_it": "What of the structure it is",
    "structural_robustness": "Structural robustness",
    "early_structure": "Early structure",
    "ticket_identity": "Ticket identity",
}


def trained(study: dict[str, Any], folder: Path) -> list[mtt.Training]:
    """Return all trainings of a study: every algorithm, and the dynamic ones at a constant rate too."""
    seeds, changes = range(study["seeds"]), study.get("set", {})
    constant = {**changes, "schedule.name": "constant", "schedule.milestones": [], "schedule.warmup_epochs": 0}
    constant |= study.get("constant", {})
    recipe, names, dynamic = study["recipe"], study["algorithms"], study["dynamic"]
    return [
        *mtt.trainings(recipe, {"algorithm.name": names}, seeds=seeds, overrides=changes, out=folder),
        *mtt.trainings(recipe, {"algorithm.name": dynamic}, seeds=seeds, overrides=constant, out=folder / "constant"),
    ]


def again(study: dict[str, Any], folder: Path) -> list[mtt.Retraining | mtt.Training]:
    """Return what is trained from the masks of a study: from other starts, from early masks, and frozen early."""
    parts: list[mtt.Retraining | mtt.Training] = []
    by_algorithm = mt.Study(folder).by_algorithm
    for algorithm in study["structures"]:
        runs = by_algorithm[algorithm]
        for seed, run in enumerate(runs):
            where = {"seeds": [100 + seed], "out": run.path.with_name(f"{run.name}-reinit")}
            parts += mtt.retrainings(run, variants=study["variants"], other=runs[(seed + 1) % len(runs)], **where)
            if algorithm in study["dynamic"]:
                for epoch in study["freeze"]:
                    parts += mtt.retrainings(run, variants=["new"], epoch=epoch, **where)
                parts += mtt.freezings([run], study["freeze"])
    return parts


def run_all(parts: list[Any], options: argparse.Namespace) -> None:
    """Train parts, and say of each when it is done."""
    tasks = [
        mt.Task(os.path.relpath(part.out), mtt.train_part if isinstance(part, mtt.Training) else mtt.retrain, (part,))
        for part in parts
    ]
    left = len(tasks)

    def done(task: mt.Task, result: Any) -> None:
        nonlocal left
        left -= 1
        accuracy = result["test_accuracy"] if isinstance(result, dict) else result.trained
        print(f"{left:4d} left   {task.key}: accuracy {accuracy:.4f}", flush=True)

    mt.run_tasks(tasks, jobs=options.jobs, scheduler=options.scheduler, finished=done)


def analysed(name: str, folder: Path, results: Path, options: Sequence[str]) -> None:
    """Run an analysis, unless its results are newer than itself and all of its runs."""
    script = HERE / f"{name}.py"
    newest = max(path.stat().st_mtime for path in (script, *folder.rglob("metrics.jsonl")))
    marker = results / f"{name}.json"
    if not marker.is_file() or marker.stat().st_mtime < newest:
        command = [sys.executable, script, folder, "--out", results, *options]
        subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603


def main() -> None:
    """Train, analyse, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", nargs="?", default="small", help="a table of paper.toml")
    parser.add_argument("--settings", type=Path, default=HERE / "paper.toml")
    parser.add_argument("--out", type=Path, default=Path("runs/paper"))
    parser.add_argument("--page", type=Path, help="Markdown file to write; its pictures go beside it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scheduler", help="address of a Dask scheduler, instead of processes")
    options = parser.parse_args()
    options.jobs = 1 if options.scheduler else options.jobs
    settings = tomllib.loads(options.settings.read_text("utf-8"))
    studies = {name: settings["common"] | study for name, study in settings[options.setting].items()}
    # Lottery tickets train once a level: begun first, they do not hold up the end.
    parts = [part for name, study in studies.items() for part in trained(study, options.out / name)]
    run_all(sorted(parts, key=lambda part: part.recipe.algorithm.name != "ltr"), options)
    run_all([part for name, study in studies.items() for part in again(study, options.out / name)], options)
    tasks = [
        mt.Task(
            f"{study}: {name}",
            analysed,
            (
                name,
                options.out / study,
                options.out / "results" / study,
                studies[study].get("options", {}).get(name, []),
            ),
        )
        for study in studies
        for name in ANALYSES
    ]
    mt.run_tasks(tasks, jobs=options.jobs)
    if options.page:
        titles = {name: (study["title"], study.get("note", "")) for name, study in studies.items()}
        seeds = max(study["seeds"] for study in studies.values())
        write_page(options.page, options.out / "results", seeds, titles, ANALYSES)


if __name__ == "__main__":
    main()
