"""What the README says is what the program does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from masktools.cli.app import COMMANDS, main
from masktools.runs import open_run
from masktools_train.models import build_model

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language, text=README):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_readme_lists_every_command_and_no_other():
    listed = re.findall(r"^\| `masktools (\w+)", README, re.MULTILINE)
    assert listed == [command.name for command in COMMANDS]


def test_the_readme_names_files_that_exist():
    linked = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert linked
    assert [name for name in linked if not (ROOT / name).exists()] == []


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys, short_walk):
    monkeypatch.chdir(tmp_path)
    for algorithm in ("dnw", "rigl"):
        assert main(["train", "--algorithm", algorithm, "--epochs", "2", "-q"]) == 0
    capsys.readouterr()
    found = blocks("python")
    assert len(found) == 2
    for block in found:
        exec(compile(block, "README.md", "exec"), {})
    assert (tmp_path / "runs" / "mine" / "epoch-0000.h5").is_file()


def test_the_loops_of_the_guide_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks("python", (ROOT / "docs" / "own_loop.md").read_text("utf-8"))
    names = {}
    for block in found:
        code = compile(block, "own_loop.md", "exec")
        # The packages that these are for need not be here; tests of their own hold them against the real ones.
        if "masktools_train.integrations" not in block:
            exec(code, names)
    assert len(found) == 6
    for run, epochs in (("mine", (0, 1, 2, 3)), ("pruned", (0,)), ("averaged", (3,))):
        assert main(["verify", f"runs/{run}"]) == 0
        assert open_run(f"runs/{run}").epochs == epochs
    assert open_run("runs/mine").final.topology is not None


@pytest.mark.slow
def test_the_commands_of_the_readme_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("epoch_0.pt", "epoch_10.pt", "dnw.pth", "net.pt"):
        torch.save(build_model("mlp", {"widths": [300, 100]}, (64,), 10).state_dict(), folder / name)
    commands = [
        line.split("#")[0] for block in blocks("") for line in block.split("\n") if line.startswith("masktools ")
    ]
    assert len(commands) >= 3
    for command in commands:
        if "fashion" not in command:
            assert main([*shlex.split(command)[1:], "--dry-run"]) == 0


@pytest.mark.slow
def test_the_demo_answers_every_question(tmp_path):
    command = [
        sys.executable,
        ROOT / "analyses" / "demo.py",
        "--out",
        "demo",
        "--seeds",
        "2",
        "--epochs",
        "3",  # an epoch more than lottery tickets rewind to
        "--jobs",
        "1",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "same mask, new weights",
        "shuffled, new weights",
        "mask in place",
        "on a path",
        "pruned to",
        "kappa",
    ):
        (line,) = [
            line
            for line in done.stdout.split("\n")
            if line.strip().startswith((words, "weights " + words, "half lost if " + words)) and ":" not in line
        ]
        assert len(re.findall(r"\d", line)) >= 4
    assert "The runs are in demo/" in done.stdout
    assert max(map(len, done.stdout.split("\n"))) <= 120
