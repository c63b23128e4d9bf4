"""What a person sees of every command: 80 columns, colour only on a terminal that has it, the same words everywhere."""

import dataclasses
import io
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console
from synthetic import random_masks

from masktools.cli.app import COMMANDS, main
from masktools.cli.output import emit
from masktools.cli.progress import TrainingProgress
from masktools.render import formats

FIXTURES = Path(__file__).parents[2] / "fixtures" / "v1"
TINY = ["--set", "model.options.widths=[8]", "-q"]

# Names of sixteen letters that begin with nothing in common.
A, B, C, LONG = "digits-dnw-d20-0", "fashion-rigl-d20", "long-ltr-rewind1", "x-long-names-of-"
SEED = "digits-dnw-d20-1"

CASES = {
    "train": [
        ["digits", "--epochs", 1, "--seeds", "0-1", "--out", "trained/run", *TINY],
        ["--dry-run"],
        ["--list"],
    ],
    "sweep": [
        [*("--algorithms", "dnw,rigl", "--densities", "0.2,0.1", "--set", "epochs=1", "--seeds", "0-1"), *TINY],
        ["--algorithms", "dnw,rigl", "--dry-run"],
    ],
    "info": [[A], [A, "--config"], [A, "--graph"], [f"{A}/epoch-0001.h5"], [LONG]],
    "compare": [
        [A, B],
        [A, B, C],
        [A, B, "--epoch", "all"],
        [A, A, "--epoch", "all"],
        [A, B, "--align", "--null", "neuron"],
        [A, B, C, "--align", "--nnstd", "--draws", 9],
        [LONG, LONG, "--epoch", 0],
    ],
    "explain": [[A, B], [LONG, LONG, "--draws", 9]],
    "emergence": [[A], [A, B, C], [A, SEED], [A, "--null", "layer", "--draws", 9], [LONG], [LONG, A]],
    "connectivity": [[A], [A, "--measures", "all", "--draws", 2], [A, "--epoch", "all"], [A, "--draws", 199]],
    "criteria": [[A], ["values"]],
    "reinit": [[A, "--variants", "original,new,layer-shuffled", "--seeds", "1-2", "-q"], ["--list"]],
    "freeze": [[A, "--at", "0,1", "-q"]],
    "prune": [
        [A, "-q"],
        [A, SEED, B, "-q"],
        [*(A, "--criterion", "random", "--draws", 2, "--finetune-epochs", 1, "--shares", "1,0.5,0.2"), "-q"],
    ],
    "compact": [[A]],
    "report": [[A, "-o", "report.html"]],
    "import": [["weights.npz", "-o", "imported", "-q"]],
    "export": [[A, "-o", "network.npz"]],
    "verify": [[A], ["damaged"]],
}
"""What is looked at of each command."""

WITHOUT_TABLE = {"report", "export"}
CALLS = [(command, arguments) for command, calls in CASES.items() for arguments in calls]
STYLE = re.compile(r"\x1b\[[0-9;]*m")


class Screen(io.StringIO):
    """A standard output that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_every_command_is_looked_at():
    assert list(CASES) == [command.name for command in COMMANDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of small runs; what a command writes beside them stays until the end."""
    folder = tmp_path_factory.mktemp("terminal")
    for name, source in ((A, "dnw"), (SEED, "dnw"), (B, "rigl"), (C, "ltr"), ("values", "dense-values")):
        shutil.copytree(FIXTURES / source, folder / name)
    shutil.copytree(FIXTURES / "static", folder / "damaged")
    with (folder / "damaged" / "epoch-0001.h5").open("r+b") as file:
        file.truncate(2000)
    described = json.loads((folder / SEED / "run.json").read_text())
    described["config"]["seed"] = 1
    (folder / SEED / "run.json").write_text(json.dumps(described))
    weights = np.where(random_masks(0)["fc1.weight"], 0.5, 0)
    np.savez(folder / "weights.npz", **{"features.denseblock3.denselayer12.conv2.weight": weights})
    return folder


@pytest.fixture
def long_run(folder, write_run):
    """Write a run whose layers have long names, and more epochs than a table has rows."""
    if not (folder / LONG).exists():
        names = {"fc1.weight": "features.denseblock3.denselayer12.conv2.weight", "fc2.weight": "classifier.0.weight"}
        epochs = [
            {names[k]: mask for k, mask in random_masks(min(epoch, 15)).items() if k in names} for epoch in range(20)
        ]
        metrics = [{"epoch": e, "lr": 0.1 / 2**e, "test_accuracy": 0.9, "a.loss": 2.0**-e} for e in range(20)]
        shutil.copytree(write_run("long", epochs, metrics=metrics), folder / LONG)


def _shown(monkeypatch, screen, action):
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", screen)
        action()


@pytest.mark.parametrize(("command", "arguments"), CALLS, ids=[" ".join(map(str, (c, *a)))[:60] for c, a in CALLS])
def test_all_commands(command, arguments, folder, long_run, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    documents = []

    def recorded(document, *rest):
        documents.append(document)
        return formats.as_table(document, *rest)

    monkeypatch.setattr(formats, "FORMATS", {**formats.FORMATS, "table": recorded})
    colour = Screen()
    _shown(monkeypatch, colour, lambda: main([command, *map(str, arguments)]))
    assert len(documents) == (command not in WITHOUT_TABLE)
    text = STYLE.sub("", colour.getvalue())
    assert "\x1b" not in text
    if not documents:
        return
    assert "\x1b[1m" in colour.getvalue()
    columns = [column for table in documents[0].tables for column in table.columns if column.shown]
    upper_ends = {column.until for column in columns}
    assert not [c.header for c in columns if "_" in c.header and c.name not in upper_ends]
    _looked_at(text)
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patched:
            patched.setenv(variable, value)
            plain = Screen()
            _shown(monkeypatch, plain, lambda: emit(documents[0]))
            assert plain.getvalue() == text
    pipe = io.StringIO()
    _shown(monkeypatch, pipe, lambda: emit(documents[0]))
    assert pipe.getvalue() == text
    # Strict: what the encoding lacks would be an error.
    old = io.TextIOWrapper(io.BytesIO(), "ascii", newline="\n")
    _shown(monkeypatch, old, lambda: emit(documents[0]))
    _looked_at(old.buffer.getvalue().decode("ascii"))


def _looked_at(text):
    lines = text.split("\n")
    assert max(map(cell_len, lines)) <= 80, [line for line in lines if cell_len(line) > 80]
    assert "…" not in text
    assert "\\u2026" not in text
    assert not re.search(r"(?<![\w.+-])-0(\.0+)?(?![\w.,])", text)
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("command", ["", *(command.name for command in COMMANDS)])
def test_help_fits_and_leads_with_examples(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([command] if command else []), "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(cell_len, text.split("\n"))) <= 80
    assert text.index("Examples:") < text.index("Options:")


def _on_a_pty(arguments, cwd, **env):
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "", **env}
    command = [sys.executable, "-m", "masktools", *map(str, arguments)]
    with subprocess.Popen(command, cwd=cwd, stdout=follower, stderr=subprocess.PIPE, env=env) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:
            pass  # how Linux says that the other end is closed
        os.close(leader)
        assert process.stderr.read() == b""
    assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [["emergence", A, B], ["verify", A]],
    ids=["of runs", "of files"],
)
def test_a_real_terminal_and_a_pipe(arguments, folder):
    colour = _on_a_pty(arguments, folder)
    assert "\x1b[1m" in colour
    text = STYLE.sub("", colour)
    _looked_at(text)
    env = {**os.environ, "COLUMNS": "200", "FORCE_COLOR": "1"}
    command = [sys.executable, "-m", "masktools", *map(str, arguments)]
    piped = subprocess.run(command, cwd=folder, capture_output=True, check=True, env=env)
    assert piped.stdout.decode() == text


def test_progress_is_not_cut():
    from masktools_train.progress import EpochRecord

    progress = TrainingProgress()
    progress.started("a-name-of-25-letters-so seed 0", 123456, 30)
    fields = {field.name: None for field in dataclasses.fields(EpochRecord)}
    figures = {"epoch": 12, "train_loss": 1.25, "test_accuracy": 0.914, "density": 0.02}
    progress.epoch_done(EpochRecord(**fields | figures))
    progress.stepped(1000)
    screen = io.StringIO()
    Console(width=80, file=screen).print(progress._bar.get_renderable())
    first, second = screen.getvalue().splitlines()
    assert first.rstrip() == "a-name-of-25-letters-so seed 0  loss 1.250  accuracy 91.4 %  density 2.00 %"
    assert " 1000/123456 " in second
    assert max(cell_len(first), cell_len(second)) <= 80
    assert "…" not in first + second


def test_a_terminal_without_colour_and_a_locale_without_letters(folder):
    assert "\x1b" not in _on_a_pty(["emergence", A], folder, NO_COLOR="1")
    bare = _on_a_pty(["emergence", A], folder, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert bare.isascii()
    assert re.search(r"[_.:=+*#-]{3}", bare)


def test_long_curves_are_short_on_the_screen_only(folder, long_run, output, monkeypatch):
    monkeypatch.chdir(folder)
    text = output("emergence", LONG)
    table = text.split("---\n")[1].split("\nkappa with")[0].split("\n")
    epochs = [int(line.split()[0]) for line in table]
    told = json.loads(output("emergence", LONG, "--format", "json"))["runs"][0]
    assert len(epochs) <= 15 < len(told["curve"])
    assert {0, told["emergence_epoch"], 19} <= set(epochs)
    assert f"({len(epochs)} of 20 epochs; --format csv has all)" in " ".join(text.split())
    for command in ("emergence", "compare"):
        more = [LONG, "--epoch", "all"] if command == "compare" else []
        rows = output(command, LONG, *more, "--format", "csv").splitlines()
        assert len(rows) == 1 + (20 if command == "emergence" else 400)
        assert not re.search("[▁▂▃▄▅▆▇█·]", "".join(rows))


def test_sound_files_are_counted_on_the_screen_and_listed_for_programs(folder, output, monkeypatch):
    monkeypatch.chdir(folder)
    assert "epoch-0000.h5" not in output("verify", A)
    assert "epoch-0000.h5,0," in output("verify", A, "--format", "csv")
    assert "epoch-0001.h5" in output("verify", "damaged", status=1)


def test_a_configuration_is_short_unless_asked_for(folder, output, monkeypatch):
    monkeypatch.chdir(folder)
    short, long = output("info", A), output("info", A, "--config")
    assert re.search(r"^optimizer +name=sgd, lr=0.1, ", short, re.MULTILINE)
    assert "6 keys without a value are left out" in " ".join(short.split())
    assert "algorithm.freeze_epoch" not in short
    assert re.search(r"^algorithm.freeze_epoch +None$", long, re.MULTILINE)
    assert json.loads(output("info", A, "--config", "--format", "json")) | {"readings": 0} == json.loads(
        output("info", A, "--format", "json")
    ) | {"readings": 0}
