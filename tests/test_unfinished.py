"""Runs whose training was stopped: every command that takes their last snapshot for the final one says so."""

import json
import shutil
from pathlib import Path

import pytest

from masktools.cli.app import main
from masktools.render.unfinished import unfinished_notes
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.runs import open_run


def plan(path, last):
    run = open_run(path)
    RunWriter(path).describe({**run.info, "last_epoch": last})
    return path


@pytest.fixture
def stopped(mlp_run):
    """A run that ends at epoch 3 of 9."""
    return plan(mlp_run("stopped"), 9)


def said(path):
    return f"{path} ends at epoch 3 of 9: its training was stopped"


@pytest.mark.parametrize(
    "command",
    [
        ("info", "{a}"),
        ("compare", "{a}", "{b}", "--draws", "0"),
        ("compare", "{b}", "{a}", "{b}/epoch-0000.h5"),
        ("compare", "{b}", "{a}", "--epoch", "all"),
        ("compare", "{b}", "{a}", "--epoch", "-1", "--draws", "0"),
        ("explain", "{b}", "{a}", "--draws", "3"),
        ("emergence", "{b}", "{a}"),
        ("connectivity", "{a}", "--draws", "0"),
        ("connectivity", "{a}", "--draws", "0", "--epoch", "all"),
    ],
    ids=" ".join,
)
def test_analyses_say_that_the_last_mask_is_not_final(command, stopped, mlp_run, capsys):
    other = plan(mlp_run("other", 1), 3)
    arguments = [part.format(a=stopped, b=other) for part in command]
    assert main([*arguments, "--format", "json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert notes[0].startswith(said(stopped))
    assert not [note for note in notes[1:] if "of 9" in note or "of 3" in note]


def test_what_has_no_place_for_a_note_says_it_on_standard_error(stopped, tmp_path, capsys):
    assert main(["emergence", str(stopped), "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert "stopped:" not in out
    assert err.startswith(f"masktools: note: {said(stopped)}")
    assert main(["export", str(stopped), "-o", str(tmp_path / "network.npz")]) == 0
    assert said(stopped) in capsys.readouterr().err
    assert main(["export", str(stopped), "--epoch", "1", "-o", str(tmp_path / "network.npz")]) == 0
    assert "note" not in capsys.readouterr().err


def test_criteria_of_a_stopped_run(tmp_path, capsys):
    path = tmp_path / "stopped"
    shutil.copytree(Path(__file__).parents[1] / "fixtures" / "v1.1" / "dnw", path)
    plan(path, 9)
    for epoch, noted in (([], True), (["--epoch", "2"], False)):
        assert main(["criteria", str(path), *epoch, "--format", "json"]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any(note.startswith(f"{path} ends at epoch 2 of 9: ") for note in notes) is noted


def test_an_epoch_by_its_number_is_not_called_final(stopped, capsys):
    assert main(["connectivity", str(stopped), "--draws", "0", "--epoch", "3"]) == 0
    assert "of 9" not in capsys.readouterr().out
    assert unfinished_notes([stopped], 0) == ()


def test_nothing_is_said_where_nothing_is_known_or_wanting(stopped, mlp_run):
    old, complete = mlp_run("old"), plan(mlp_run("complete"), 3)
    assert unfinished_notes([old, complete, stopped / "epoch-0001.h5", open_run(stopped).final.path]) == ()
    assert len(unfinished_notes([stopped, old, str(stopped), open_run(stopped)])) == 1


def test_a_run_that_is_being_trained_was_not_stopped(stopped):
    with locked(stopped):
        (note,) = unfinished_notes([stopped])
    assert note.startswith(f"{stopped} is still being trained, now at epoch 3 of 9, ")


def test_a_deleted_last_snapshot_is_no_stopped_training(stopped):
    RunWriter(stopped).metrics([{"epoch": epoch} for epoch in range(10)])
    (note,) = unfinished_notes([stopped])
    assert note.startswith(f"{stopped} was trained to epoch 9, but holds no snapshot after epoch 3, ")


def test_info_counts_epochs_and_snapshots_apart(stopped, capsys):
    assert main(["info", str(stopped)]) == 0
    assert f"{stopped}: epoch 3 of 9; 4 snapshots (epochs 0 to 3)" in " ".join(capsys.readouterr().out.split())
