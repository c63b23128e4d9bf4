"""What the page about runs costs: making it beside reading the masks, its size, and opening it.

    python benchmarks/report.py --jobs 2

Trains ten runs of 90 epochs on digits (kept in --runs and not trained again), makes the page several times, reads the
masks of all snapshots as often in turn, and opens the page in headless Chromium where there is one.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import masktools as mt
import masktools_train as mtt
from masktools.report.page import html_report

LOADED = "<script>addEventListener('load', () => { document.title = 'opened ' + performance.now() })</script>"
"""Goes into a copy of the page, and says when everything on it was there, in milliseconds."""

QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync"
)


def read(folder: Path) -> int:
    """Read the masks of all snapshots."""
    return sum(
        int(snapshot.mask(name).sum()) for run in mt.open_runs(folder) for snapshot in run for name in snapshot.layers
    )


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def opened(page: str, browser: str) -> float | None:
    """Return after how many seconds a browser has all of a page."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "page.html"
        copy.write_text(page.replace("</head>", LOADED + "</head>", 1), "utf-8")
        command = [browser, *QUIET.split(), f"--user-data-dir={folder}/profile", "--dump-dom", copy.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    found = re.search(r"<title>opened ([\d.]+)</title>", done.stdout)
    return float(found[1]) / 1000 if found else None


def main() -> None:
    """Train what is missing, and print figures and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/report-benchmark"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    grid = {"algorithm.name": ["dnw", "rigl"]}
    mtt.sweep("digits", grid, seeds=range(5), overrides={"epochs": 90}, out=options.runs, jobs=options.jobs)
    pages: list[str] = []
    making, reading = [], []
    for _ in range(options.repeats):
        making.append(seconds(lambda: pages.append(html_report([options.runs]))))
        reading.append(seconds(lambda: read(options.runs)))
    made, masks = statistics.median(making), statistics.median(reading)
    print(f"making the page   {made:6.2f} s, {made / masks:.1f} times reading all masks ({masks:.2f} s)")
    print(f"its size          {len(pages[-1].encode()) / 1e6:6.2f} MB")
    browser = shutil.which("chromium")
    times = [found for _ in range(options.repeats) if browser and (found := opened(pages[-1], browser)) is not None]
    print(f"opening it        {statistics.median(times):6.2f} s" if times else "opening it        no Chromium here")


if __name__ == "__main__":
    main()
