"""What a recorder writes beside snapshots, and when it refuses to write."""

import json

import pytest
import torch
from torch import nn

import masktools as mt
from masktools.cli.app import main
from masktools.errors import RecipeError, RunError
from masktools.run_lock import locked
from masktools.verification import verify
from masktools_train import Recorder, Sparsifier, trace
from masktools_train.algorithms import RigL
from masktools_train.identity import describe_run
from masktools_train.recipe import load_recipe, resolve_recipe


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_the_identity_is_that_of_any_run(tmp_path):
    recorder = Recorder(tmp_path / "mine", net(), config={"seed": 3, "optimizer": {"lr": 0.1}})
    assert not (tmp_path / "mine").exists()
    recorder.snapshot(0)
    identity = json.loads((tmp_path / "mine" / "run.json").read_text("utf-8"))
    trained = describe_run(resolve_recipe(load_recipe("digits")), torch.device("cpu"))
    assert set(identity) == {*trained, "format", "version"}
    assert (identity["name"], identity["seed"], identity["processes"]) == ("mine", 3, 1)
    assert identity["config"] == {"seed": 3, "optimizer": {"lr": 0.1}}
    assert identity["versions"] == trained["versions"]
    assert identity["device"] == trained["device"]
    created = identity["created"]
    recorder.snapshot(1)
    assert json.loads((tmp_path / "mine" / "run.json").read_text("utf-8"))["created"] == created


def test_a_line_of_metrics_an_epoch(tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(model, optimizer, RigL(), density=0.5, total_steps=9)
    recorder = Recorder(tmp_path, model, sparsifier)
    recorder.snapshot(0)
    optimizer.step()
    recorder.snapshot(2, step=7, metrics={"test_accuracy": torch.tensor(0.5), "loss": float("nan"), "note": "warm"})
    recorder.snapshot(1, metrics={"test_accuracy": 0.25})
    size, active = sparsifier.size, sparsifier.active
    rest = {"active": active, "density": active / size}
    assert lines(tmp_path) == [
        {"epoch": 0, "step": 0, **rest},
        {"epoch": 1, "step": 1, "test_accuracy": 0.25, **rest},
        {"epoch": 2, "step": 7, "test_accuracy": 0.5, "loss": None, "note": "warm", **rest},
    ]
    # Recorded again, an epoch replaces what it was.
    recorder.snapshot(1, step=3, metrics={"other": 1})
    assert lines(tmp_path)[1] == {"epoch": 1, "step": 3, "other": 1, **rest}
    recorder.add_metrics(0, {"test_accuracy": 0.125})
    recorder.add_metrics(1, {"other": 2})
    assert [line.get("test_accuracy") for line in lines(tmp_path)] == [0.125, None, 0.5]
    assert lines(tmp_path)[1]["other"] == 2
    assert [snapshot.step for snapshot in mt.open_run(tmp_path)] == [0, 3, 7]
    with pytest.raises(RunError, match="epoch 5 is not recorded"):
        recorder.add_metrics(5, {})
    for name in ("epoch", "step", "active", "density"):
        with pytest.raises(RunError, match=f"metrics: '{name}' is written by the recorder itself"):
            recorder.snapshot(3, metrics={name: 1})
    with pytest.raises(RunError, match="metrics: 'model' cannot be written"):
        recorder.snapshot(3, metrics={"model": model})
    assert not (tmp_path / "epoch-0003.h5").exists()
    recorder.snapshot(3)
    assert len(lines(tmp_path)) == 4


def test_a_directory_that_holds_a_run_is_refused_at_once(tmp_path):
    Recorder(tmp_path, net(), config={"lr": 0.1}).snapshot(5, metrics={"loss": 1.0})
    with pytest.raises(RunError, match=r"holds a run already; resume it \(resume=True\), overwrite it"):
        Recorder(tmp_path, net())
    with pytest.raises(RecipeError, match="resume= and overwrite= exclude each other"):
        Recorder(tmp_path, net(), resume=True, overwrite=True)
    # Two that were made before either had written.
    fresh = [Recorder(tmp_path / "new", net()) for _ in range(2)]
    fresh[0].snapshot(0)
    with pytest.raises(RunError, match="holds a run already"):
        fresh[1].snapshot(0)


def test_resuming_keeps_and_overwriting_deletes(tmp_path):
    Recorder(tmp_path, net(), config={"lr": 0.1}).snapshot(0)
    Recorder(tmp_path, net(), config={"lr": 0.1}, resume=True).snapshot(5, metrics={"loss": 1.0})
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    identity = (tmp_path / "run.json").read_bytes()
    recorder = Recorder(tmp_path, net(1), config={"lr": 0.1}, resume=True)
    recorder.snapshot(6, metrics={"loss": 0.5})
    recorder.snapshot(5, metrics={"loss": 0.75})
    assert mt.open_run(tmp_path).epochs == (0, 5, 6)
    assert [line.get("loss") for line in lines(tmp_path)] == [None, 0.75, 0.5]
    assert (tmp_path / "run.json").read_bytes() == identity
    with pytest.raises(RunError, match=r"cannot be resumed with another configuration: lr was 0\.1, is 0\.2"):
        Recorder(tmp_path, net(), config={"lr": 0.2}, resume=True).snapshot(7)
    overwriting = Recorder(tmp_path, net(), config={"lr": 0.2}, overwrite=True)
    assert mt.open_run(tmp_path).epochs == (0, 5, 6)
    overwriting.snapshot(0)
    overwriting.snapshot(1)
    assert mt.open_run(tmp_path).epochs == (0, 1)
    assert mt.open_run(tmp_path).config == {"lr": 0.2}
    assert len(lines(tmp_path)) == 2
    assert (tmp_path / "notes.txt").read_text("utf-8") == "mine"
    assert not verify(tmp_path).problems


def test_another_writer_is_respected(tmp_path):
    recorder = Recorder(tmp_path, net())
    with locked(tmp_path), pytest.raises(RunError, match="another process"):
        recorder.snapshot(0)
    recorder.snapshot(0)


def test_of_several_processes_the_first_one_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    model = net()
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    second = Recorder(tmp_path / "run", model)
    assert second.snapshot(0) == tmp_path / "run" / "epoch-0000.h5"
    second.add_metrics(0, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    Recorder(tmp_path / "run", model).snapshot(0)
    Recorder(tmp_path / "run", model, resume=True)
    assert mt.open_run(tmp_path / "run").info["processes"] == 2
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    Recorder(tmp_path / "run", model)  # which the first process has just begun


def test_options_that_exclude_each_other(tmp_path):
    model = net()
    sparsifier = Sparsifier(model, torch.optim.SGD(model.parameters(), 0.1), RigL(), density=0.5, total_steps=9)
    example = torch.rand(2, 8)
    with pytest.raises(RecipeError, match="masks= and sparsifier= exclude each other"):
        Recorder(tmp_path, model, sparsifier, masks="zeros")
    with pytest.raises(RecipeError, match="example= and topology= exclude each other"):
        Recorder(tmp_path, model, example=example, topology=trace(model, example))


def test_every_command_takes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        model = net(seed)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        sparsifier = Sparsifier(model, optimizer, RigL(delta_t=1), density=0.5, total_steps=20, seed=seed)
        recorder = Recorder(f"run{seed}", model, sparsifier, config={"seed": seed}, example=torch.rand(2, 8))
        recorder.snapshot(0)
        for epoch in range(1, 4):
            model(torch.randn(8, 8)).square().mean().backward()
            optimizer.step()
            recorder.snapshot(epoch, metrics={"test_accuracy": epoch / 4})
    for command in (
        ["verify", "run0"],
        ["info", "run0"],
        ["compare", "run0", "run1"],
        ["emergence", "run0", "run1"],
        ["connectivity", "run0"],
        ["criteria", "run0"],
        ["compare", "run0", "run1", "--format", "json"],
    ):
        assert main(command) == 0, command
        assert capsys.readouterr().out
