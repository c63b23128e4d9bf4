"""The callbacks for Lightning: their logic under a trainer of ours, and under the real one where it is installed."""

import importlib.util
import sys

import numpy as np
import pytest
import torch
from fake_trainers import FakeTrainer, batches, install, load
from torch import nn

import masktools as mt
from masktools.errors import RecipeError, RunError
from masktools.verification import verify
from masktools_train import Sparsifier
from masktools_train.algorithms import DNW, SET, RigL
from masktools_train.integrations import MissingPackageError, first_installed

INSTALLED = next(
    (name for name in ("lightning", "pytorch_lightning") if importlib.util.find_spec(name) is not None), None
)
RIGL = RigL(delta_t=3, alpha=0.9)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture(params=["lightning.pytorch.callbacks", "pytorch_lightning.callbacks"])
def callbacks(request, monkeypatch):
    for name in ("lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    install(monkeypatch, request.param, Callback=object)
    return load(monkeypatch, "lightning")


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("algorithm", [RIGL, SET(), DNW()], ids=lambda a: a.name)
def test_it_is_the_same_as_the_two_lines_in_a_loop(algorithm, clip, callbacks, tmp_path):
    model, data = net(), batches()
    sparsify = callbacks.SparsifyCallback(algorithm, 0.3)
    trainer = FakeTrainer([callbacks.SnapshotCallback(tmp_path), sparsify], 4, clip=clip)
    trainer.fit(model, data, torch.optim.AdamW(model.parameters(), 0.01))

    twin = net()
    optimizer = torch.optim.AdamW(twin.parameters(), 0.01)
    sparsifier = Sparsifier(twin, optimizer, algorithm, density=0.3, total_steps=24, steps_per_epoch=6)
    epochs = [sparsifier.masks()]
    for _ in range(4):
        for inputs, targets in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(twin(inputs), targets).backward()
            if clip:
                sparsifier.mask_gradients()
                nn.utils.clip_grad_norm_(twin.parameters(), clip)
            optimizer.step()
        epochs.append(sparsifier.masks())
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
    run = mt.open_run(tmp_path)
    assert run.epochs == (0, 1, 2, 3, 4)
    assert [snapshot.step for snapshot in run] == [0, 6, 12, 18, 24]
    for snapshot, masks in zip(run, epochs, strict=True):
        for name, mask in masks.items():
            np.testing.assert_array_equal(snapshot.mask(name), mask.numpy())
    assert [line.get("loss") for line in run.metrics] == [None, 1.0, 1.0, 1.0, 1.0]
    assert not verify(tmp_path).problems
    assert sparsify.sparsifier.step == 24


def test_gradients_accumulate_and_epochs_may_be_left_out(callbacks, tmp_path):
    model = net()
    sparsify = callbacks.SparsifyCallback(SET(), 0.3)
    trainer = FakeTrainer([sparsify, callbacks.SnapshotCallback(tmp_path, every_epochs=2)], 5, accumulate=4)
    trainer.fit(model, batches(), torch.optim.SGD(model.parameters(), 0.1))
    assert mt.open_run(tmp_path).epochs == (0, 2, 4, 5)
    assert [snapshot.step for snapshot in mt.open_run(tmp_path)] == [0, 4, 8, 10]
    assert (sparsify.sparsifier.step, sparsify.sparsifier.steps_per_epoch, sparsify.sparsifier.total_steps) == (
        10,
        2,
        10,
    )


def test_other_processes_train_and_do_not_write(callbacks, tmp_path):
    model = net()
    sparsify = callbacks.SparsifyCallback(RIGL, 0.3)
    trainer = FakeTrainer([callbacks.SnapshotCallback(tmp_path / "run"), sparsify], 2, rank=1)
    trainer.fit(model, batches(), torch.optim.SGD(model.parameters(), 0.1))
    assert sparsify.sparsifier.step == 12
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("algorithm", [RIGL, DNW()], ids=lambda a: a.name)
def test_a_checkpoint_carries_the_masks_on(algorithm, callbacks, tmp_path):
    ends = []
    for parts in ((4,), (2, 4)):
        model = net()
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        state, begun = {}, 0
        for until in parts:
            sparsify = callbacks.SparsifyCallback(algorithm, 0.3, total_steps=24)
            if begun:  # what a new process finds
                torch.save([model.state_dict(), optimizer.state_dict(), state], tmp_path / "checkpoint.pt")
                weights, slots, state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
                model = net()
                optimizer = torch.optim.AdamW(model.parameters(), 0.01)
                model.load_state_dict(weights)
                optimizer.load_state_dict(slots)
                sparsify.load_state_dict(state)
            record = callbacks.SnapshotCallback(tmp_path / str(len(parts)), config={"a": 1})
            trainer = FakeTrainer([record, sparsify], until)
            trainer.fit(model, batches(), optimizer, begun)
            state, begun = sparsify.state_dict(), until
        ends.append(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
    runs = [mt.open_run(tmp_path / name) for name in ("1", "2")]
    assert runs[0].epochs == runs[1].epochs == (0, 1, 2, 3, 4)
    for one, other in zip(*runs, strict=True):
        for name in one.layers:
            np.testing.assert_array_equal(one.mask(name), other.mask(name))
            np.testing.assert_array_equal(one.weight(name), other.weight(name))


def test_what_is_refused(callbacks, tmp_path):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(RecipeError, match="training has no end; say with total_steps="):
        FakeTrainer([callbacks.SparsifyCallback(RIGL, 0.3)], 2, endless=True).fit(model, batches(), optimizer)
    with pytest.raises(RecipeError, match="every_epochs must be at least 1, got 0"):
        callbacks.SnapshotCallback(tmp_path, 0)
    trainer = FakeTrainer([], 1)
    with pytest.raises(RecipeError, match="the module has no optimizer"):
        callbacks.SparsifyCallback(RIGL, 0.3).attach(trainer, model)
    FakeTrainer([callbacks.SnapshotCallback(tmp_path)], 1).fit(model, batches(1), optimizer)
    with pytest.raises(RunError, match="holds a run already"):
        FakeTrainer([callbacks.SnapshotCallback(tmp_path)], 1).fit(model, batches(1), optimizer)


def test_a_package_that_lacks_another_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "lame.py").write_text("import no_such_leg\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'no_such_leg'"):
        first_installed("this", "lame", "math")
    assert first_installed("this", "no_such_leg", "math").__name__ == "math"


def test_a_package_that_is_missing_is_named(monkeypatch):
    for name in ("lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match="needs the package 'lightning' or 'pytorch_lightning', which is not"):
        load(monkeypatch, "lightning")
    with pytest.raises(ImportError, match="needs the package 'no_such_package'"):
        first_installed("this", "no_such_package.part")


@pytest.mark.skipif(INSTALLED is None, reason="Lightning is not installed")
@pytest.mark.filterwarnings("ignore")  # of its own making
@pytest.mark.parametrize("algorithm", [RIGL, DNW()], ids=lambda a: a.name)
def test_under_the_real_trainer(algorithm, tmp_path, monkeypatch):
    lightning = importlib.import_module("lightning.pytorch" if INSTALLED == "lightning" else INSTALLED)
    callbacks = load(monkeypatch, "lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = net()

        def training_step(self, batch, _):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 0.01)

    def fit(epochs, out, checkpoint=None):
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, gradient_clip_val=0.05,
            enable_progress_bar=False, enable_model_summary=False, accumulate_grad_batches=2, default_root_dir=tmp_path,
            callbacks=[
                callbacks.SnapshotCallback(tmp_path / out),
                callbacks.SparsifyCallback(algorithm, 0.3, total_steps=12),
            ],
        )  # fmt: skip
        # The batches as they are, in their order.
        trainer.fit(module, torch.utils.data.DataLoader(batches(), batch_size=None), ckpt_path=checkpoint)
        return module, trainer

    module, _ = fit(4, "whole")
    _, trainer = fit(2, "stopped")
    trainer.save_checkpoint(tmp_path / "checkpoint.ckpt")
    resumed, _ = fit(4, "stopped", tmp_path / "checkpoint.ckpt")
    twin = net()
    ours = FakeTrainer([sparsify := callbacks.SparsifyCallback(algorithm, 0.3)], 4, accumulate=2, clip=0.05)
    ours.fit(twin, batches(), torch.optim.AdamW(twin.parameters(), 0.01))
    for expected, value, again in zip(twin.parameters(), module.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(value, expected)
        assert torch.equal(again, expected)
    for out in ("whole", "stopped"):
        run = mt.open_run(tmp_path / out)
        assert run.epochs == (0, 1, 2, 3, 4)
        assert [snapshot.step for snapshot in run] == [0, 3, 6, 9, 12]
        assert all("train_loss" in line for line in run.metrics[1:])
        for name, mask in sparsify.sparsifier.masks().items():
            np.testing.assert_array_equal(run.final.mask(f"net.{name}"), mask.numpy())
