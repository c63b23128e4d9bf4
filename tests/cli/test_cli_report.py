"""``report`` and ``--plot`` through the program."""

import re
import subprocess
import sys
import typing

import pytest

from masktools.cli.app import main
from masktools.cli.options import PLOT_ENDINGS
from masktools.plots.saving import ENDINGS


@pytest.mark.slow
def test_a_page_is_written(mlp_run, output, tmp_path):
    paths = [mlp_run(f"s{seed}", seed) for seed in range(2)]
    page = tmp_path / "page.html"
    said = output("report", *paths, "-o", page)
    assert re.fullmatch(rf"{re.escape(str(page))}: \d\.\d MB\n", said)
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    first = text
    output("report", *paths, "-o", page)
    assert page.read_text("utf-8") == first  # the same runs are the same page
    output("report", paths[0], "--null", "layer", "--draws", 3, "-o", page)
    assert "central 95\N{NO-BREAK SPACE}% of 3 random masks" in page.read_text("utf-8")


def test_a_page_needs_no_torch(mlp_run, tmp_path):
    code = (
        "import sys\nfrom masktools.cli.app import main\n"
        f"assert main(['report', {str(mlp_run())!r}, '-o', {str(tmp_path / 'page.html')!r}]) == 0\n"
        "assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_cannot_be_done_is_one_line(mlp_run, failure, tmp_path):
    path = mlp_run()
    assert "ends in neither .html nor .htm" in failure("report", path, "-o", tmp_path / "page.pdf")
    assert "is no directory" in failure("report", path, "-o", tmp_path / "nowhere" / "page.html")
    (tmp_path / "folder.html").mkdir()
    assert "is a directory" in failure("report", path, "-o", tmp_path / "folder.html")
    assert "--draws is about random masks" in failure("report", path, "--draws", 9, "-o", tmp_path / "page.html")
    assert "no such run" in failure("report", tmp_path / "missing", "-o", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_endings_of_the_option_are_those_of_the_library():
    assert PLOT_ENDINGS == ENDINGS


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("compare", []),
        ("compare", ["--epoch", "all"]),
        ("compare", ["third"]),
        ("emergence", []),
        ("connectivity", ["--draws", "3"]),
        ("connectivity", ["--epoch", "all", "--draws", "0"]),
    ],
)
def test_results_are_drawn_beside_what_is_printed(command, options, mlp_run, output, tmp_path):
    runs = [str(mlp_run(name, seed)) for seed, name in enumerate(("first", "second", "third"))]
    if options == ["third"]:
        options = [runs[2]]
    arguments = (command, *(runs[:2] if command == "compare" else runs[:1]), *options)
    for ending in ENDINGS:
        drawn = tmp_path / f"drawn{ending}"
        assert output(*arguments, "--plot", drawn) == output(*arguments)
        assert drawn.stat().st_size > 1000


@pytest.mark.parametrize("command", ["compare", "emergence", "connectivity", "reinit", "prune", "freeze"])
def test_a_picture_that_cannot_be_written_is_refused_at_once(command, failure, tmp_path):
    runs = ["a", "b"] if command == "compare" else ["a"]
    said = failure(command, *runs, "--plot", tmp_path / "a.gif")
    assert "'--plot'" in said
    assert "a.gif ends in none of .svg, .png, .pdf" in said
    assert "is no directory" in failure(command, *runs, "--plot", tmp_path / "nowhere" / "a.svg")


@pytest.mark.slow
def test_reevaluations_are_drawn(output, tmp_path):
    run = tmp_path / "run"
    small = ("--epochs", "2", "--set", "model.options.widths=[12, 8]", "--density", "0.2", "-q", "--out", str(run))
    assert main(["train", *small, "--output", str(tmp_path / "run.json")]) == 0
    calls: dict[str, tuple[typing.Any, ...]] = {
        "reinit": ("--variants", "new", "--seeds", 2, "--out", tmp_path / "run-reinit"),
        "prune": ("--shares", "1,0.5,0.1", "--out", tmp_path / "run-pruned"),
        "freeze": (
            "--at",
            "1",
        ),
    }
    for command, options in calls.items():
        output(command, run, *options, "-q", "--plot", tmp_path / f"{command}.svg")
        assert "</svg>" in (tmp_path / f"{command}.svg").read_text("utf-8")
    output("prune", run, tmp_path / "run-reinit" / "new-s1", "--shares", "1,0.5", "--plot", tmp_path / "two.svg")
    two = (tmp_path / "two.svg").read_text("utf-8")
    assert "(new)" in two
    assert "guessing (chance)" in two
    output("report", run, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Not shown" not in page
    assert "No line for guessing" not in page
