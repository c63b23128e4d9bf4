import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import typing

import pytest
import torch
import typer.main

import masktools
from masktools.cli import app as program
from masktools.cli.app import COMMANDS, main
from masktools.cli.options import NullName
from masktools.cli.output import FormatName
from masktools.nulls.ladder import LADDER
from masktools.render.formats import FORMATS

HEAVY = ("torch", "numpy", "h5py", "scipy", "networkx", "masktools_train")


def run(*arguments, **rest):
    return subprocess.run(
        [sys.executable, "-m", "masktools", *map(str, arguments)], capture_output=True, text=True, check=False, **rest
    )


def loaded(code):
    """Return the heavy packages that are loaded once `code` has run in a fresh interpreter."""
    code += f"\nprint('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", "import sys\n" + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("LOADED")[1].split()


def error_line(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("masktools: error: ")
    return captured.err


def test_help_through_the_module():
    done = run("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert done.stdout.index("Examples:") < done.stdout.index("Options:") < done.stdout.index("Commands:")
    for command in COMMANDS:
        assert f"\n  {command.name} " in done.stdout


def test_help_loads_nothing_heavy():
    assert loaded("from masktools.cli.app import main\nassert main(['--help']) == 0") == []
    assert loaded("from masktools.cli.app import main\nassert main(['compare', '--help']) == 0") == []


def test_the_package_is_lazy():
    assert loaded("import masktools\ndir(masktools)\nmasktools.StructureError") == []
    assert "torch" not in loaded("import masktools\n[getattr(masktools, name) for name in masktools.__all__]")


def test_public_names_are_all_there():
    for name in masktools.__all__:
        assert getattr(masktools, name).__name__ == name
        assert name in dir(masktools)
    with pytest.raises(AttributeError, match="no_such_name"):
        masktools.no_such_name  # noqa: B018


@pytest.mark.parametrize("command", ["info", "compare", "emergence", "connectivity"])
def test_analysis_never_loads_torch(command, mlp_run):
    paths = [str(mlp_run(f"r{seed}", seed)) for seed in range(2 if command == "compare" else 1)]
    code = f"from masktools.cli.app import main\nassert main([{command!r}, *{paths!r}]) == 0"
    found = loaded(code)
    assert "numpy" in found
    assert "torch" not in found
    assert "masktools_train" not in found


def test_comparing_loads_nothing_of_scipy_that_is_slow(mlp_run):
    paths = [str(mlp_run("a", 0)), str(mlp_run("b", 1))]
    code = (
        f"from masktools.cli.app import main\nassert main(['compare', *{paths!r}]) == 0\n"
        "slow = ('scipy.optimize', 'scipy.sparse', 'scipy.stats')\n"
        "assert not [name for name in sys.modules if name.startswith(slow)]"
    )
    assert "numpy" in loaded(code)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_help_of_each_command_leads_with_examples_that_parse(command, capsys):
    assert main([command.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.index(command.summary.split()[0]) < text.index("Examples:") < text.index("Options:")
    parser = typer.main.get_command(program.app).commands[command.name]
    assert command.examples
    for example in command.examples:
        assert f"  {example}\n" in text.replace(" \\\n        ", " ")
        words = shlex.split(example)
        assert words[:2] == ["masktools", command.name]
        parser.make_context(command.name, words[2:])


def test_formats_of_the_options_are_those_of_the_registry():
    assert typing.get_args(FormatName) == tuple(FORMATS)


def test_nulls_of_the_options_are_those_of_the_ladder():
    assert typing.get_args(NullName) == tuple(LADDER)


def test_version(capsys):
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"masktools {masktools.__version__}"
    # What a bug report needs, read without loading any of it.
    assert lines[1] == f"Python {platform.python_version()}"
    assert f"torch {torch.__version__}" in lines
    assert f"h5py {importlib.metadata.version('h5py')}" in lines


def test_a_version_that_is_not_there_is_said(monkeypatch, capsys):
    known = importlib.metadata.version

    def version(name):
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert main(["--version"]) == 0
    assert "torch is not installed" in capsys.readouterr().out


def test_without_a_command_the_help_is_an_error(capsys):
    assert main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: masktools" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comprae"], "No such command 'comprae'. Did you mean 'compare', 'compact'?"),
        (["compare", "a"], "Missing argument 'RUN_B'; see masktools compare --help"),
        (["compare", "a", "b", "--frob"], "No such option: --frob"),
        (["compare", "a", "b", "--format", "xml"], "Invalid value for '--format': 'xml' is not one of"),
        (["compare", "a", "b", "--epoch", "last"], "Invalid value for '--epoch'"),
        (["info", "x", "--last", "-1"], "Invalid value for '--last'"),
        (["connectivity", "x", "--draws", "-1"], "Invalid value for '--draws'"),
        (["emergence"], "Missing argument 'RUN...'"),
        (["--frob"], "No such option: --frob"),
    ],
)
def test_bad_usage_is_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    assert words in error_line(capsys)


def test_errors_leave_by_the_entry_point_with_status_2(tmp_path):
    done = run("info", tmp_path / "missing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"masktools: error: {tmp_path / 'missing'}: no such run directory or snapshot file\n"


@pytest.mark.parametrize("where", [0, 1, 2])
def test_debug_shows_the_traceback_wherever_it_stands(where, tmp_path, capsys):
    arguments = ["info", str(tmp_path / "missing")]
    arguments.insert(where, "--debug")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert error.split("\n")[-2].startswith("masktools: error: ")


def test_debug_behind_two_dashes_is_a_name(capsys):
    assert main(["info", "--", "--debug"]) == 2
    assert "--debug: no such run" in error_line(capsys)


def test_messages_cannot_steer_the_terminal(capsys):
    assert main(["info", "a\x1b[2J\nb"]) == 2
    assert "a\\x1b[2J\\nb" in error_line(capsys)


def _raising(monkeypatch, error):
    def fail(*arguments, **rest):
        raise error

    monkeypatch.setattr("masktools.structure.summary.summarize", fail)


def test_interruption(monkeypatch, capsys):
    _raising(monkeypatch, KeyboardInterrupt())
    assert main(["info", "x"]) == 130
    assert "interrupted" in error_line(capsys)


def test_operating_system_errors_are_one_line(monkeypatch, capsys):
    _raising(monkeypatch, PermissionError(13, "Permission denied", "runs/secret"))
    assert main(["info", "x"]) == 2
    assert error_line(capsys) == "masktools: error: runs/secret: Permission denied\n"


def test_a_bug_shows_itself_and_is_no_gate(monkeypatch, capsys):
    _raising(monkeypatch, ZeroDivisionError("oops"))
    assert main(["info", "x"]) == 2
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "this is a bug in masktools: ZeroDivisionError: oops" in error


@pytest.mark.parametrize(
    ("shell", "asked"),
    [
        ("bash", {"COMP_WORDS": "masktools em", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "masktools em"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "masktools em", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_shell_completion_knows_the_commands(shell, asked):
    done = run(env={**os.environ, "_MASKTOOLS_COMPLETE": f"complete_{shell}", **asked})
    assert "emergence" in done.stdout
    assert "compare" not in done.stdout
