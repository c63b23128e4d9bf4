"""What the README says is what the program does."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from masktools.cli.app import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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


@pytest.mark.slow
def test_the_commands_of_the_readme_are_understood(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
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
