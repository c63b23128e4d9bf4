"""Training on images that are decoded as they are needed: the same runs, and all that is done with runs."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import SIZE, write_images
from same_runs import differences
from small_runs import recipe
from test_train_resume import StopAt, StoppedError

from masktools.cli.app import main
from masktools.errors import RecipeError, RunError
from masktools.runs import open_run
from masktools_train import compact, prune, train
from masktools_train.data import REGISTRY, ImageFolder, decoding
from masktools_train.progress import SilentObserver
from masktools_train.reevaluate.restored import Restored
from masktools_train.trainer import Trainer


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def settings(root, algorithm="rigl", workers=0, **changes):
    return recipe(
        algorithm,
        **{
            "epochs": 3,
            "batch_size": 8,
            "data__name": "image-folder",
            "data__options": {"path": str(root), "size": SIZE, "workers": workers},
            "data__augment": ["crop", "flip"],
        }
        | changes,
    )


def own_folder(path):
    """What a user may write: any data set that is one, under a name of its own."""
    return ImageFolder(path, size=SIZE, workers=0)


def busy_folder(path, workers):
    return ImageFolder(path, size=SIZE, workers=workers)


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run"
    result = train(settings(root, model__name="lenet-5", model__options={}), path, device="cpu")
    assert result.final.step == 3 * 3
    return open_run(path)


def test_workers_change_nothing_but_what_the_run_says_of_them(root, whole, tmp_path):
    train(settings(root, workers=2, model__name="lenet-5", model__options={}), tmp_path / "run", device="cpu")
    assert differences(whole, open_run(tmp_path / "run")) == [f"epoch {epoch} config" for epoch in range(4)]


@pytest.mark.parametrize("stop", [{"epoch": 1}, {"steps": 4, "error": KeyboardInterrupt}])
@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_ends_with_the_same_bits(stop, workers, root, tmp_path):
    wanted = settings(root, "dnw", workers)
    train(wanted, tmp_path / "whole", device="cpu")
    with pytest.raises((StoppedError, KeyboardInterrupt)):
        train(wanted, tmp_path / "parts", device="cpu", observer=StopAt(**stop))
    train(wanted, tmp_path / "parts", device="cpu", resume=True)
    assert differences(open_run(tmp_path / "whole"), open_run(tmp_path / "parts")) == []


def test_resuming_may_have_other_workers_but_no_other_images(root, tmp_path):
    train(settings(root, "dnw"), tmp_path / "whole", device="cpu")
    with pytest.raises(StoppedError):
        train(settings(root, "dnw"), tmp_path / "parts", device="cpu", observer=StopAt(1))
    larger = settings(root, "dnw", data__options={"path": str(root), "size": 2 * SIZE, "workers": 0})
    with pytest.raises(RunError, match=f"another recipe: data.options.size was {SIZE}, is {2 * SIZE}"):
        train(larger, tmp_path / "parts", device="cpu", resume=True)
    train(settings(root, "dnw", 2), tmp_path / "parts", device="cpu", resume=True)
    # Those of the epochs that had them, and nothing else.
    found = differences(open_run(tmp_path / "whole"), open_run(tmp_path / "parts"))
    assert found == ["epoch 2 config", "epoch 3 config"]


def test_workers_of_other_data_may_be_anything(root, tmp_path):
    own = {"data__name": "test_image_training:busy_folder"}
    with pytest.raises(StoppedError):
        train(
            settings(root, **own, data__options={"path": str(root), "workers": 0}),
            tmp_path,
            device="cpu",
            observer=StopAt(1),
        )
    with pytest.raises(RunError, match=r"data.options.workers was 0, is 1"):
        train(
            settings(root, **own, data__options={"path": str(root), "workers": 1}), tmp_path, device="cpu", resume=True
        )


@pytest.mark.parametrize("algorithm", ["snip", "grasp", "synflow", "ltr-it"])
def test_algorithms_that_look_at_data_first_or_enter_an_epoch_in_its_middle(algorithm, root):
    changes = {"algorithm__options__per_class": 2} if algorithm == "grasp" else {}
    changes |= {"algorithm__density": 0.8} if algorithm == "ltr-it" else {}
    one, other = (
        train(settings(root, algorithm, workers, **changes), device="cpu").final.to_dict() for workers in (0, 2)
    )
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_trainer_is_made_without_workers(root, monkeypatch):
    monkeypatch.setattr(decoding.Decoder, "_started", lambda self: pytest.fail("workers were started"))
    trainer = Trainer(settings(root, workers=2), torch.device("cpu"), SilentObserver())
    assert trainer.topology is not None


def test_a_damaged_image_ends_training_with_its_name(tmp_path, capsys):
    root = write_images(tmp_path / "images")
    (root / "train" / "bee" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(RecipeError, match=r"bee/2\.png: cannot be read as an image"):
        train(settings(root, workers=2), tmp_path / "run", device="cpu")
    assert capsys.readouterr() == ("", "")
    assert open_run(tmp_path / "run").epochs == (0,)


def test_what_is_done_with_runs(whole, tmp_path):
    last = whole.at(None)
    restored = Restored(whole, last, torch.device("cpu"))
    assert restored.chance_accuracy == 5 / 12
    found = prune(whole, shares=(1.0, 0.5), device="cpu")
    assert found.chance_accuracy == 5 / 12
    assert found.curve[0].accuracies == (whole.metrics[-1]["test_accuracy"],)
    report = compact(whole, tmp_path / "compact", limit=10, device="cpu")
    assert report.proof.inputs == 10
    assert open_run(tmp_path / "compact").at(None).active <= last.active


def test_data_of_ones_own(root):
    own = settings(root, data__name="test_image_training:own_folder", data__options={"path": str(root)})
    built_in = train(settings(root), device="cpu").final.to_dict()
    assert {**train(own, device="cpu").final.to_dict(), "seconds": 0} == {**built_in, "seconds": 0}


def test_the_command_line(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = f"train digits --data image-folder --data-path {root} --set data.options.size={SIZE} --epochs 1 -q"
    assert main([*command.split(), "--set", "data.augment=['crop','flip']", "--out", "run"]) == 0
    assert open_run("run").config["data"]["augment"] == ["crop", "flip"]
    assert np.isfinite(open_run("run").metrics[-1]["test_loss"])
    capsys.readouterr()
    assert main([*command.split(), "--set", "data.augment=['crop','turn']", "--out", "other"]) != 0
    assert "data.augment.1: Input should be 'crop', 'flip' or 'shift'" in capsys.readouterr().err


def test_every_data_set_is_in_the_documentation():
    manual = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")
    (section,) = re.findall(r"^## Data$(.*?)^## ", manual, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(REGISTRY)
