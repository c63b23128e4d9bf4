"""Several processes train as one does with the same batches."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import together
import torch
from small_runs import blobs, recipe
from torch import multiprocessing

import masktools as mt
from masktools.errors import RecipeError, TrainingError
from masktools_train.data.dataset import Dataset
from masktools_train.distributed import Agreement, Processes, join, launched, leads
from masktools_train.progress import SilentObserver
from masktools_train.trainer import Trainer

HERE = Path(__file__).parent
CASES = {
    "rigl": ("rigl", {}),
    "adamw": ("rigl", {"optimizer__name": "adamw", "optimizer__lr": 0.01}),
    "set": ("set", {}),
    "snfs": ("snfs", {}),
    "dnw": ("dnw", {}),
    "global": ("dnw", {"algorithm__distribution": "global"}),
    "frozen": ("dnw", {"algorithm__freeze_epoch": 2}),
    "ltr": ("ltr-it", {}),
    "snip": ("snip", {}),
    # 96 examples: the last batch of an epoch has 6, three each; with 25 the shares differ by one.
    "uneven": ("rigl", {"batch_size": 25}),
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(work, world, *arguments):
    multiprocessing.spawn(work, (world, free_port(), *arguments), nprocs=world)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    start(together.record, 1, CASES, folder)
    start(together.record, 2, CASES, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_masks_are_those_of_one_process_at_every_step(recorded, name):
    alone, first, second = (
        torch.load(recorded / f"{name}-{world}-{rank}.pt") for world, rank in ((1, 0), (2, 0), (2, 1))
    )
    assert len(alone[0]) == len(first[0]) == len(second[0]) > 20
    for step, (one, two, three) in enumerate(zip(alone[0], first[0], second[0], strict=True)):
        for layer, mask in one.items():
            assert torch.equal(two[layer], three[layer]), (step, layer)
            assert torch.equal(mask, two[layer]), (step, layer)
    changed = sum(not torch.equal(a[x], b[x]) for a, b in zip(alone[0], alone[0][1:], strict=False) for x in a)
    assert changed or name == "snip"
    for key, value in alone[1].items():
        torch.testing.assert_close(first[1][key], value, rtol=1e-4, atol=1e-6)
        assert torch.equal(first[1][key], second[1][key])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_records_are_those_of_one_process(recorded, name):
    alone, first, second = (
        torch.load(recorded / f"{name}-{world}-{rank}.pt")[2] for world, rank in ((1, 0), (2, 0), (2, 1))
    )
    for one, two, three in zip(alone, first, second, strict=True):
        for key, value in one.items():
            if key != "seconds":
                assert two[key] == three[key], key
                assert two[key] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value), key


@pytest.mark.slow
def test_a_mask_that_differs_stops_all_processes(tmp_path):
    start(together.disagree, 2, tmp_path)
    for rank in range(2):
        assert (tmp_path / f"said-{rank}").read_text() == "masks differ between processes: 1 of 2 disagree"


def torchrun(folder, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port"]
    command += [str(free_port()), "-m", "masktools_train", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=300)


@pytest.mark.slow
def test_torchrun_writes_one_run_and_goes_on_with_it(tmp_path):
    options = ("digits", "--algorithm", "rigl", "--device", "cpu", "--batch-size", "128")
    done = torchrun(tmp_path, *options, "--epochs", "2", "--out", "run", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 1
    run = mt.open_run(tmp_path / "run")
    assert run.epochs == (0, 1, 2)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
    assert not (tmp_path / "run" / "state.pt").exists()
    again = torchrun(tmp_path, *options, "--epochs", "2", "--out", "run")
    assert again.returncode != 0
    assert "holds a run already" in again.stderr
    assert "Error: " not in again.stderr.split("holds a run already")[0]
    finished = torchrun(tmp_path, *options, "--epochs", "2", "--out", "run", "--resume", "--format", "json")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["runs"][0]["test_accuracy"] == run.metrics[-1]["test_accuracy"]


def test_alone_nothing_is_said(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    assert leads()
    assert not launched()
    processes = join(together.CPU)
    assert processes == Processes(0, 1)
    trainer = Trainer(recipe("static"), together.CPU, SilentObserver())
    Agreement(processes, trainer.sparsifier).require()
    assert processes.sent({"any": "thing"}) == {"any": "thing"}


@pytest.mark.parametrize("world", [2, 3, 5])
def test_shares_make_up_the_whole(world):
    data = Dataset.from_arrays(*blobs())
    whole = data.training(25, 3)
    parts = [data.training(25, 3, processes=Processes(rank, world)) for rank in range(world)]
    for index, (inputs, targets) in enumerate(whole.epoch(2, 1), 1):
        shares = [next(iter(part.epoch(2, index))) for part in parts]
        assert torch.equal(torch.cat([x for x, _ in shares]), inputs)
        assert torch.equal(torch.cat([y for _, y in shares]), targets)
        assert whole.whole(index) == len(targets)
    tests = [list(data.testing(7, processes=Processes(rank, world))) for rank in range(world)]
    assert torch.equal(torch.cat([y for each in tests for _, y in each]), data.test_targets)


def test_a_batch_too_small_for_all_is_an_error():
    data = Dataset.from_arrays(*blobs())
    with pytest.raises(RecipeError, match="batch_size: the smallest batch has 1 examples, too few for 2 processes"):
        data.training(19, 0, processes=Processes(0, 2))


def test_sparse_execution_is_for_one_process():
    with pytest.raises(RecipeError, match="execution 'auto' is for one process"):
        Trainer(recipe("static", execution="auto"), together.CPU, SilentObserver(), processes=Processes(0, 2))


def test_processes_that_cannot_meet(monkeypatch):
    """For example where a scheduler sets their number, and nobody an address."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(TrainingError, match=r"launched together cannot meet: .*MASTER_ADDR"):
        join(torch.device("cpu"))
    assert not torch.distributed.is_initialized()
