"""What training records of where it will end, so that nobody takes a stopped run for a finished one."""

import json

import pytest
from small_runs import recipe
from test_train_resume import StopAt, StoppedError

from masktools.cli.app import main
from masktools.runs import open_run
from masktools_train.reevaluate.prune import prune
from masktools_train.training import train


@pytest.mark.parametrize("name", ["dnw", "dnw-settled", "ltr", "ltr-it", "ltr-start"])
def test_a_stopped_run_knows_that_there_was_more_to_come(name, tmp_path):
    whole = open_run(train(recipe(name), tmp_path / "whole", device="cpu").run)
    assert whole.planned_epoch == whole.epochs[-1]
    assert whole.is_complete is True
    with pytest.raises(StoppedError):
        train(recipe(name), tmp_path / "parts", device="cpu", observer=StopAt(2))
    parts = open_run(tmp_path / "parts")
    assert (parts.planned_epoch, parts.is_complete) == (whole.planned_epoch, False)
    train(recipe(name), tmp_path / "parts", device="cpu", resume=True)
    parts = open_run(tmp_path / "parts")
    assert (parts.planned_epoch, parts.is_complete) == (whole.planned_epoch, True)


def test_pruned_networks_are_complete(tmp_path):
    path = train(recipe("static"), tmp_path / "run", device="cpu").run
    prune(path, shares=[1, 0.5], out=tmp_path / "pruned", device="cpu")
    prune(path, shares=[0.5], finetune_epochs=2, out=tmp_path / "tuned", device="cpu")
    ends = [
        (open_run(place).planned_epoch, open_run(place).is_complete)
        for folder in ("pruned", "tuned")
        for place in sorted((tmp_path / folder).iterdir())
    ]
    assert ends == [(0, True), (0, True), (2, True)]


@pytest.mark.parametrize(
    "command",
    [
        ("prune", "--quiet", "--shares", "1"),
        ("compact",),
        ("reinit", "--quiet", "--epochs", "1", "--variants", "new", "--seeds", "1"),
    ],
    ids=lambda command: command[0],
)
def test_what_is_made_of_a_stopped_run_says_so(command, tmp_path, capsys):
    path = tmp_path / "stopped"
    with pytest.raises(StoppedError):
        train(recipe("dnw"), path, device="cpu", observer=StopAt(2))
    name, *options = command
    assert main([name, str(path), *options, "--device", "cpu", "--format", "json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert notes[0].startswith(f"{path} ends at epoch 2 of 4: its training was stopped")
