"""Code of the user's that fails is named in one sentence, wherever it is called; bugs of ours stay bugs."""

import math
import re
import sys
import types

import numpy as np
import pytest
import torch
from small_runs import CLASSES, FEATURES, blobs, recipe
from torch import nn

from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools_train import train
from masktools_train.data import Dataset
from masktools_train.own_code import telling_own_failures
from masktools_train.reevaluate.restored import Restored
from masktools_train.training import plan

CPU = torch.device("cpu")
HERE = re.escape(__file__)


class Moody(nn.Module):
    """Fails, once it is trained."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs):
        if self.training:
            raise KeyError("no such thing")
        return self.fc(inputs)


def moody(input_shape, classes):
    return Moody()


def unbuilt(input_shape, classes):
    return nn.Linear(input_shape[1], classes)


def unread():
    raise OSError(2, "No such file or directory", "/nowhere/data.npy")


class Torn(Dataset):
    """Data that come to an end too soon."""

    def training(self, *arguments, **options):
        raise EOFError("ran out of input\nand so on")


def torn():
    made = Dataset.from_arrays(*blobs())
    return Torn(made.train_inputs, made.train_targets, made.test_inputs, made.test_targets, made.classes)


@pytest.mark.parametrize(
    ("key", "name", "words"),
    [
        ("model__name", "moody", "model 'test_own_code:moody' fails: KeyError: 'no such thing'"),
        ("model__name", "unbuilt", "model 'test_own_code:unbuilt' fails: IndexError: tuple index out of range"),
        (
            "data__name",
            "unread",
            "data 'test_own_code:unread' fails: FileNotFoundError: .Errno 2. No such file or dire",
        ),
        ("data__name", "torn", "data 'test_own_code:torn' fails: EOFError: ran out of input"),
    ],
)
def test_it_is_named_with_the_line(key, name, words):
    with pytest.raises(RecipeError, match=f"{words}.*{HERE}, line [0-9]+\\)$") as caught:
        train(recipe("static", **{key: f"test_own_code:{name}"}), device="cpu")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_dry_run_names_it_too():
    with pytest.raises(RecipeError, match="data 'test_own_code:torn' fails: EOFError"):
        plan(recipe("static", data__name="test_own_code:torn"), "cpu")


@pytest.mark.parametrize("model", ["mlp", "test_own_code:Fine"])
def test_what_fails_elsewhere_is_a_bug(model, monkeypatch):
    monkeypatch.setattr("masktools_train.trainer.learning_rate", math.sqrt)  # which takes one number
    options = {} if model == "mlp" else {"model__options": {}}
    with pytest.raises(TypeError, match="exactly one argument"):
        train(recipe("static", model__name=model, **options), device="cpu")


def test_a_lost_process_is_not_the_model_s_fault():
    with pytest.raises(RuntimeError, match="Connection closed by peer"), telling_own_failures("test_own_code:f", "x"):
        raise RuntimeError("Connection closed by peer")


class Fine(nn.Linear):
    def __init__(self, input_shape, classes):
        super().__init__(input_shape[0], classes)


def test_a_model_that_was_changed_since_is_named_when_it_is_brought_back(tmp_path, monkeypatch):
    module = types.ModuleType("changing")
    monkeypatch.setitem(sys.modules, "changing", module)
    module.net = lambda input_shape, classes: nn.Linear(input_shape[0], classes)
    train(recipe("static", model__name="changing:net", epochs=1), tmp_path / "run", device="cpu")
    run = open_run(tmp_path / "run")

    class Other(nn.Linear):
        def forward(self, inputs):
            return super().forward(inputs[:, :3])

    module.net = lambda input_shape, classes: Other(input_shape[0], classes)
    with pytest.raises(RecipeError, match=r"model 'changing:net' cannot be called with a batch of shape 2x10, that of"):
        Restored(run, run.final, CPU).model()


def test_images_that_are_not_flattened():
    """The hint is for inputs of several axes alone."""
    words = (
        "cannot be called with a batch of shape 2x1x6x6, that of the data: RuntimeError: mat1 .*has to flatten them$"
    )
    with pytest.raises(RecipeError, match=words):
        train(recipe("static", data__name="small_runs:pictures", model__name="test_own_code:flat"), device="cpu")


def flat(input_shape, classes):
    return nn.Sequential(nn.Linear(int(np.prod(input_shape)), classes))
