"""CIFAR-10 and CIFAR-100 in the layout of their binary files: read, looked for, refused when damaged, trained on."""

import shutil

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import recipe
from test_train_resume import StopAt, StoppedError

from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools_train import train
from masktools_train.data import load_data
from masktools_train.data.cifar import cifar10, cifar100

RANDOM = np.random.default_rng(0)
FILES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def record(labels, pixels):
    """One image as the data sets' page describes it: labels, then all red, all green, all blue values row by row."""
    planes = b"".join(
        bytes(int(pixels[row, column, colour]) for row in range(32) for column in range(32)) for colour in range(3)
    )
    return bytes(labels) + planes


def pictures(count):
    """Images as people see them, shape (images, rows, columns, colours)."""
    return RANDOM.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with both data sets, and what was written there: images and labels of each file."""
    root, content = tmp_path_factory.mktemp("cifar"), {}
    ten, hundred = root / "cifar-10-batches-bin", root / "cifar-100-binary"
    ten.mkdir()
    hundred.mkdir()
    for number, name in enumerate(FILES):
        images, labels = pictures(4 + number), RANDOM.integers(0, 10, (4 + number, 1))
        (ten / name).write_bytes(b"".join(map(record, labels.tolist(), images)))
        content[name] = images, labels
    (ten / "batches.meta.txt").write_text("airplane\n")
    for name, count in (("train.bin", 12), ("test.bin", 5)):
        images, labels = pictures(count), RANDOM.integers(0, (20, 100), (count, 2))
        (hundred / name).write_bytes(b"".join(map(record, labels.tolist(), images)))
        content[name] = images, labels
    return root, content


@pytest.fixture
def folder(written, tmp_path):
    """The same as `written`, to be damaged."""
    shutil.copytree(written[0], tmp_path / "data")
    return tmp_path / "data"


def test_what_was_written_is_read(written):
    root, content = written
    ten = {"data": cifar10(str(root)), "files": (FILES[:5], FILES[5:]), "label": 0, "classes": 10}
    fine = {"data": cifar100(str(root)), "files": (["train.bin"], ["test.bin"]), "label": 1, "classes": 100}
    coarse = fine | {"data": cifar100(str(root), labels="coarse"), "label": 0, "classes": 20}
    for case in (ten, fine, coarse):
        data = case["data"]
        assert data.classes == case["classes"]
        assert data.input_shape == (3, 32, 32)
        found = [(data.train_inputs, data.train_targets), (data.test_inputs, data.test_targets)]
        for (inputs, targets), names in zip(found, case["files"], strict=True):
            images = np.concatenate([content[name][0] for name in names])
            assert inputs.dtype == torch.uint8
            np.testing.assert_array_equal(inputs.numpy(), images.transpose(0, 3, 1, 2))
            labels = np.concatenate([content[name][1][:, case["label"]] for name in names])
            np.testing.assert_array_equal(targets.numpy(), labels)
        seen = np.concatenate([content[name][0] for name in case["files"][0]]).astype(np.float64)
        np.testing.assert_allclose(data.mean.flatten(), seen.mean((0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(data.std.flatten(), seen.std((0, 1, 2)), rtol=1e-6)


def test_where_they_are_looked_for(written, tmp_path, monkeypatch):
    root, _ = written
    monkeypatch.delenv("MASKTOOLS_DATA", raising=False)
    for path in (root, root / "cifar-10-batches-bin"):
        assert len(load_data("cifar10", {"path": str(path)}).test_targets) == 9
    for name, own in (("cifar10", "cifar-10"), ("cifar100", "cifar-100")):
        with pytest.raises(RecipeError, match=rf"data {own}: not found in \$MASKTOOLS_DATA, which is not set; unpack"):
            load_data(name, {})
    monkeypatch.setenv("MASKTOOLS_DATA", str(root))
    assert len(cifar10().train_targets) == 4 + 5 + 6 + 7 + 8
    assert len(cifar100().train_targets) == 12
    for below in ("cifar-10", "cifar-10/cifar-10-batches-bin"):
        there = tmp_path / below.replace("/", "-") / below
        shutil.copytree(root / "cifar-10-batches-bin", there)
        monkeypatch.setenv("MASKTOOLS_DATA", str(tmp_path / below.replace("/", "-")))
        assert len(cifar10().test_targets) == 9
    with pytest.raises(RecipeError, match=r"data cifar-100: not found in .*; unpack cifar-100-binary.tar.gz there"):
        cifar100()


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("data_batch_3.bin", lambda raw: raw[:-1], "bytes, which are no records of 3073"),
        ("data_batch_5.bin", lambda raw: raw + b"\0", "bytes, which are no records of 3073"),
        ("test_batch.bin", lambda raw: b"", "holds 0 bytes"),
        ("test_batch.bin", lambda raw: raw[: 2 * 3073] + b"\x0a" + raw[2 * 3073 + 1 :], "record 2 has the label 10,"),
        ("train.bin", lambda raw: raw[:-2], "bytes, which are no records of 3074"),
        ("train.bin", lambda raw: b"\x14" + raw[1:], "record 0 has the label 20, the largest is 19"),
        ("test.bin", lambda raw: raw[:1] + b"\x64" + raw[2:], "record 0 has the label 100, the largest is 99"),
    ],
)
def test_a_damaged_file_is_refused_by_name(name, change, words, folder):
    (path,) = folder.rglob(name)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RecipeError, match=words) as caught:
        (cifar100 if name in ("train.bin", "test.bin") else cifar10)(str(folder))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", [*FILES, "train.bin", "test.bin"])
def test_a_missing_file_is_named(name, folder):
    (path,) = folder.rglob(name)
    path.unlink()
    with pytest.raises(RecipeError, match=rf"has no {name}|has neither {name} nor") as caught:
        (cifar100 if name in ("train.bin", "test.bin") else cifar10)(str(path.parent))
    assert str(path.parent) in str(caught.value)


def test_pickles_are_refused(folder, tmp_path):
    for version, (load, inner, file) in {
        "cifar-10": (cifar10, "cifar-10-batches-py", "data_batch_1"),
        "cifar-100": (cifar100, "cifar-100-python", "train"),
    }.items():
        place = tmp_path / version / inner
        place.mkdir(parents=True)
        (place / file).write_bytes(b"\x80\x02}q\x01.")
        for path in (place, place.parent):
            with pytest.raises(RecipeError, match=rf"pickles.* can run code .*{version}-binary\.tar\.gz") as caught:
                load(str(path))
            assert str(path) in str(caught.value)
    # Beside the binary version they do no harm.
    (folder / "cifar-10-batches-py").mkdir()
    assert len(cifar10(str(folder)).test_targets) == 9


def test_other_refusals(folder, tmp_path):
    with pytest.raises(RecipeError, match="nowhere: no such data folder"):
        cifar10(str(tmp_path / "nowhere"))
    with pytest.raises(RecipeError, match="labels must be fine or coarse, got 'rough'"):
        load_data("cifar100", {"path": str(folder), "labels": "rough"})
    with pytest.raises(RecipeError, match="data 'cifar10' does not take these options"):
        load_data("cifar10", {"path": str(folder), "labels": "fine"})
    with pytest.raises(RecipeError, match=r"data\.augment: 'crop' is not for data in memory; use flip, shift"):
        cifar10(str(folder)).training(4, 0, ["flip", "crop"])


def test_training_and_resuming(folder, tmp_path):
    settings = recipe(
        "rigl",
        epochs=3,
        batch_size=8,
        data__name="cifar10",
        data__options__path=str(folder),
        data__augment=["flip", "shift"],
    )
    assert settings.data.augment == ("flip", "shift")
    whole = train(settings, tmp_path / "whole", device="cpu")
    with pytest.raises(StoppedError):
        train(settings, tmp_path / "parts", device="cpu", observer=StopAt(1))
    train(settings, tmp_path / "parts", device="cpu", resume=True)
    assert whole.final.step == 3 * 4
    assert differences(open_run(tmp_path / "whole"), open_run(tmp_path / "parts")) == []
