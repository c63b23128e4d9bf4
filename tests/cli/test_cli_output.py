import json
import os
import subprocess
import sys

import pytest

from masktools.cli.app import main
from masktools.cli.output import emit
from masktools.errors import MasktoolsError
from masktools.render.document import Column, Document, Table

DOCUMENT = Document("demo", {"x": 1}, (Table("T", (Column("name"),), (("κ",),), "It is x."),))


def test_standard_output_is_a_table_without_escapes(capsys):
    emit(DOCUMENT)
    assert capsys.readouterr() == ("T\nname\n----\nκ\nIt is x.\n", "")


@pytest.mark.parametrize(
    ("name", "format_", "start"),
    [
        ("x.json", None, "{"),
        ("x.csv", None, "name\n"),
        ("x.txt", None, "T\n"),
        ("x", None, "T\n"),
        ("x.json", "csv", "name\n"),
        ("x.csv", "table", "T\n"),
    ],
)
def test_a_file_takes_the_format_of_its_ending_unless_told(name, format_, start, tmp_path, capsys):
    emit(DOCUMENT, format_, tmp_path / name)
    assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert capsys.readouterr() == ("", "")


def test_an_ending_that_says_no_format_is_refused_before_any_work(tmp_path, capsys):
    target = tmp_path / "x.xlsx"
    for arguments in (["-o", str(target)], ["--output", str(tmp_path / "x.xlsx")]):
        assert main(["info", "no-such-run", *arguments]) == 2
        said = capsys.readouterr().err
        assert "x.xlsx: the ending .xlsx says no format; there are .csv, .json, .txt" in said
    for arguments in (["-o", str(target), "--format", "csv"], ["--format", "csv", "-o", str(target)]):
        assert main(["info", "no-such-run", *arguments]) == 2
        assert "no-such-run" in capsys.readouterr().err
    with pytest.raises(MasktoolsError, match=r"ending \.xlsx says no format"):
        emit(DOCUMENT, None, target)
    emit(DOCUMENT, "csv", target)
    assert target.read_text(encoding="utf-8").startswith("name\n")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(MasktoolsError, match=r"x\.json: cannot be written: No space left on device"):
        emit(DOCUMENT, None, target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_output_that_cannot_be_is_refused_before_any_work(tmp_path, capsys):
    assert main(["info", "no-such-run", "--output", str(tmp_path / "none" / "x.json")]) == 2
    assert "none is no directory" in capsys.readouterr().err
    assert main(["info", "no-such-run", "-o", str(tmp_path)]) == 2
    assert "is a directory" in capsys.readouterr().err


def _program(*arguments, **rest):
    return [sys.executable, "-m", "masktools", *map(str, arguments)]


def test_piped_output_has_no_escapes_even_if_forced(mlp_run):
    env = {**os.environ, "FORCE_COLOR": "1", "GITHUB_ACTIONS": "true", "PY_COLORS": "1", "COLUMNS": "200"}
    done = subprocess.run(_program("info", mlp_run()), capture_output=True, text=True, check=True, env=env)
    assert "\x1b" not in done.stdout
    assert "\x1b" not in done.stderr
    assert max(map(len, done.stdout.split("\n"))) <= 80


def test_an_encoding_without_the_letter_is_no_error(tmp_path):
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    code = (
        "from masktools.render.document import *; from masktools.cli.output import emit;"
        "emit(Document('d', {}, (Table('T', (Column('name'),), (('\\u03ba',),), 'r'),)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "\\u03ba" in done.stdout


def test_a_reader_that_leaves_is_no_traceback(mlp_run):
    with subprocess.Popen(_program("info", mlp_run()), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert process.returncode == 141
    assert error == b""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("no_color", "styled"), [("", True), ("1", False)])
def test_a_terminal_gets_styles_unless_no_color(no_color, styled, mlp_run):
    import pty

    path = mlp_run()
    leader, follower = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "NO_COLOR": no_color}
    with subprocess.Popen(_program("info", path), stdout=follower, stderr=subprocess.PIPE, env=env) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 4096):
                shown += chunk
        except OSError:
            pass  # how Linux says that the other end is closed
        os.close(leader)
    assert process.returncode == 0
    assert b"density = " in shown
    assert (b"\x1b[" in shown) is styled


def test_json_on_standard_output(mlp_run, capsys):
    assert main(["info", str(mlp_run()), "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["command"] == "info"
    assert captured.err == ""
