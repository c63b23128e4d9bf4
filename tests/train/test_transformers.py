"""The callback for the Trainer of transformers: its logic, and the real one where it is installed."""

import importlib.util
import sys
import types

import numpy as np
import pytest
import torch
from fake_trainers import install, load
from torch import nn

import masktools as mt
from masktools.errors import RecipeError
from masktools.verification import verify
from masktools_train import Sparsifier
from masktools_train.algorithms import RigL
from masktools_train.integrations import MissingPackageError

MISSING = [name for name in ("transformers", "accelerate") if importlib.util.find_spec(name) is None]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, inputs, labels=None):
        outputs = self.net(inputs)
        return {"loss": nn.functional.cross_entropy(outputs, labels), "logits": outputs}


@pytest.fixture
def callbacks(monkeypatch):
    install(monkeypatch, "transformers", TrainerCallback=object)
    return load(monkeypatch, "transformers")


def play(callback, model, epochs, *, first=True, begun=0, steps=4):
    """Call it as the trainer does: what is logged of an epoch comes after its end."""
    state = types.SimpleNamespace(is_world_process_zero=first, global_step=steps * begun, epoch=float(begun))
    callback.on_train_begin(None, state, None, model=model)
    for epoch in range(begun + 1, epochs + 1):
        state.epoch, state.global_step = epoch - 0.5, steps * epoch - 2
        callback.on_log(None, state, None, logs={"loss": 9.0, "epoch": epoch - 0.5})
        state.epoch, state.global_step = float(epoch), steps * epoch
        callback.on_epoch_end(None, state, None)
        callback.on_log(None, state, None, logs={"loss": 1.0 / epoch, "epoch": float(epoch)})
        callback.on_log(None, state, None, logs={"eval_loss": 2.0 / epoch, "epoch": float(epoch), "step": 3})
    callback.on_train_end(None, state, None)
    return callback


def test_epochs_and_what_is_logged_of_them(callbacks, tmp_path):
    play(callbacks.SnapshotCallback(tmp_path / "run"), Net(), 3)
    run = mt.open_run(tmp_path / "run")
    assert run.epochs == (0, 1, 2, 3)
    assert [(line["step"], line.get("loss"), line.get("eval_loss")) for line in run.metrics] == [
        (0, None, None), (4, 1.0, 2.0), (8, 0.5, 1.0), (12, 1 / 3, 2 / 3),
    ]  # fmt: skip
    play(callbacks.SnapshotCallback(tmp_path / "run"), Net(), 5, begun=3)
    assert mt.open_run(tmp_path / "run").epochs == (0, 1, 2, 3, 4, 5)
    play(callbacks.SnapshotCallback(tmp_path / "some", 2), Net(), 3)
    assert mt.open_run(tmp_path / "some").epochs == (0, 2, 3)
    play(callbacks.SnapshotCallback(tmp_path / "none"), Net(), 3, first=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(RecipeError, match="every_epochs must be at least 1, got 0"):
        callbacks.SnapshotCallback(tmp_path, 0)


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingPackageError, match="needs the package 'transformers', which is not installed"):
        load(monkeypatch, "transformers")


@pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")
@pytest.mark.filterwarnings("ignore")  # of its own making
def test_under_the_real_trainer(tmp_path, monkeypatch):
    import transformers

    callbacks = load(monkeypatch, "transformers")
    random = torch.Generator().manual_seed(0)
    data = [
        {"inputs": torch.randn(8, generator=random), "labels": int(torch.randint(3, (), generator=random))}
        for _ in range(48)
    ]

    def made():
        model = Net()
        optimizer = torch.optim.AdamW(model.parameters(), 0.01)
        return model, optimizer, Sparsifier(model, optimizer, RigL(delta_t=3), density=0.3, total_steps=9)

    model, optimizer, sparsifier = made()
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"), num_train_epochs=3, per_device_train_batch_size=8, gradient_accumulation_steps=2,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, logging_strategy="epoch", max_grad_norm=0,
        lr_scheduler_type="constant", eval_strategy="epoch", train_sampling_strategy="sequential",
    )  # fmt: skip
    trainer = transformers.Trainer(
        model, arguments, train_dataset=data, eval_dataset=data, optimizers=(optimizer, None),
        callbacks=[callbacks.SnapshotCallback(tmp_path / "run", sparsifier=sparsifier)],
    )  # fmt: skip
    trainer.train()

    twin, optimizer, theirs = made()
    for _ in range(3):
        for start in range(0, 48, 16):
            optimizer.zero_grad()
            for part in (data[start : start + 8], data[start + 8 : start + 16]):
                inputs = torch.stack([example["inputs"] for example in part])
                labels = torch.tensor([example["labels"] for example in part])
                (twin(inputs, labels)["loss"] / 2).backward()
            optimizer.step()
    assert sparsifier.step == theirs.step == 9
    for value, expected in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(value, expected)
    run = mt.open_run(tmp_path / "run")
    assert run.epochs == (0, 1, 2, 3)
    assert [snapshot.step for snapshot in run] == [0, 3, 6, 9]
    assert all({"loss", "eval_loss"} <= set(line) for line in run.metrics[1:])
    for name, mask in theirs.masks().items():
        np.testing.assert_array_equal(run.final.mask(name), mask.numpy())
    assert not verify(tmp_path / "run").problems
