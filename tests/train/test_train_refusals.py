"""What cannot be trained, or not gone on with, is one sentence that names it, whatever the user's code does."""

import os

import pytest
import torch
from small_runs import recipe
from torch import nn

from masktools.errors import RecipeError, RunError
from masktools.runs import STATE, open_run
from masktools_train import train
from masktools_train.progress import SilentObserver
from masktools_train.reevaluate.restored import Restored
from masktools_train.selection import top_k_mask
from masktools_train.trainer import Trainer

CPU = torch.device("cpu")


def narrow(input_shape, classes):
    return nn.Linear(input_shape[0], classes - 1)


def wide(input_shape, classes):
    return nn.Linear(input_shape[0], classes + 4)


def for_images(input_shape, classes):
    return nn.Sequential(nn.Linear(3 * 6 * 6, 8), nn.Linear(8, classes))


class Several(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, inputs):
        return self.fc(inputs), inputs


def several(input_shape, classes):
    return Several(input_shape[0], classes)


class Putting(nn.Module):
    """Calls an operation that has no deterministic form, on any device."""

    def __init__(self, features, classes):
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, inputs):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))
        return self.fc(inputs)


def putting(input_shape, classes):
    return Putting(input_shape[0], classes)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("narrow", r"model 'test_train_refusals:narrow' returns outputs of shape \(2, 2\) .* each of 3 classes"),
        ("several", "model 'test_train_refusals:several' returns tuple, not one tensor"),
        (
            "for_images",
            "model 'test_train_refusals:for_images' cannot be called with a batch of shape 2x10, that of the data: "
            "RuntimeError: .*",
        ),
    ],
)
def test_a_model_that_does_not_fit_the_data(model, words, tmp_path):
    with pytest.raises(RecipeError, match=words):
        train(recipe("dnw", model__name=f"test_train_refusals:{model}"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_model_may_have_more_outputs_than_there_are_classes():
    assert train(recipe("dnw", model__name="test_train_refusals:wide", epochs=1), device="cpu").final.epoch == 1


def test_what_has_no_deterministic_algorithm_is_named():
    made = {"model__name": "test_train_refusals:putting", "epochs": 1}
    train(recipe("static", **made), device="cpu")
    with pytest.raises(RecipeError, match=r"model .*putting.*put_ does not have a deterministic implementation"):
        train(recipe("static", computation__deterministic=True, **made), device="cpu")
    assert not torch.are_deterministic_algorithms_enabled()


def test_an_operation_of_training_without_deterministic_algorithm_is_named(monkeypatch):
    trainer = Trainer(recipe("static", computation__deterministic=True), CPU, SilentObserver())
    step = trainer._optimizer.step
    monkeypatch.setattr(
        trainer._optimizer, "step", lambda: [step(), torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2))]
    )
    with pytest.raises(RecipeError, match=r"computation.deterministic does not work here: put_ does not .*ation$"):
        trainer.run(lambda _: None)


@pytest.mark.parametrize("wanted", [True, False])
def test_the_network_runs_deterministically_from_its_first_pass(wanted, monkeypatch):
    """Also where it is only looked at: what cuBLAS reads once has to be there by then."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen, forward = [], nn.Linear.forward

    def watched(self, inputs):
        seen.append((torch.are_deterministic_algorithms_enabled(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")))
        return forward(self, inputs)

    monkeypatch.setattr(nn.Linear, "forward", watched)
    Trainer(recipe("snip", computation__deterministic=wanted), CPU, SilentObserver())
    assert set(seen) == {(wanted, ":4096:8" if wanted else None)}


def test_a_network_that_is_brought_back_is_ready_to_be_deterministic(tmp_path, monkeypatch):
    train(recipe("static", epochs=1, computation__deterministic=True), tmp_path / "run", device="cpu")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    run = open_run(tmp_path / "run")
    Restored(run, run.final, CPU).model()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


class Doubled(nn.Module):
    def __init__(self, features, classes):
        super().__init__()
        self.fc = nn.Linear(features, classes)
        self.register_buffer("third", torch.tensor([1 / 3], dtype=torch.float64))

    def forward(self, inputs):
        return self.fc(inputs) * self.third.float()


def doubled(input_shape, classes):
    return Doubled(input_shape[0], classes)


def test_a_network_that_is_brought_back_has_the_numbers_that_were_recorded(tmp_path):
    train(recipe("static", model__name="test_train_refusals:doubled", epochs=1), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")
    assert float(Restored(run, run.final, CPU).model().third) == 1 / 3


def test_selection_may_look_for_any_of_equal_scores(monkeypatch):
    """On a GPU torch has no deterministic k-th value, because of its index; here in a precision that NumPy lacks."""
    asked, original = [], torch.kthvalue

    def watched(*args):
        asked.append(torch.are_deterministic_algorithms_enabled())
        return original(*args)

    monkeypatch.setattr(torch, "kthvalue", watched)
    torch.use_deterministic_algorithms(True)
    try:
        mask = top_k_mask(torch.tensor([3.0, 1.0, 2.0, 2.0], dtype=torch.bfloat16), 2)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert (asked, mask.tolist()) == ([False], [True, False, True, False])


def stopped(made, path):
    class Stop(SilentObserver):
        def epoch_done(self, record):
            if record.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(made, path, device="cpu", observer=Stop())


@pytest.mark.parametrize("change", ["model", "records", "empty"])
def test_a_state_that_does_not_fit_any_more(change, tmp_path):
    made = recipe("dnw")
    stopped(made, tmp_path / "run")
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    if change == "model":
        state["model"]["fc1.weight"] = torch.zeros(5, 5)
    elif change == "records":
        state["records"][0]["colour"] = "red"
    else:
        state["records"] = []
    torch.save(state, tmp_path / "run" / STATE)
    with pytest.raises(RunError, match=r"run/state.pt: does not fit what is trained now.*Error: .*"):
        train(made, tmp_path / "run", device="cpu", resume=True)


def test_metrics_that_training_did_not_write(tmp_path):
    made = recipe("static", epochs=1)
    train(made, tmp_path / "run", device="cpu")
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text("utf-8").replace('"test_loss"', '"loss"'), "utf-8")
    with pytest.raises(RunError, match=r"metrics.jsonl: was not written by this version's training: .*loss"):
        train(made, tmp_path / "run", device="cpu", resume=True)
    metrics.write_text("", "utf-8")
    with pytest.raises(RunError, match=r"metrics.jsonl: holds no epoch, and there is no state to go on from"):
        train(made, tmp_path / "run", device="cpu", resume=True)
