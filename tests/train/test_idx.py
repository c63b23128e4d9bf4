"""IDX files, whole and damaged, and Fashion-MNIST where it is installed."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from masktools.errors import RecipeError
from masktools_train.data import load_data
from masktools_train.data.idx import FASHION_MNIST_FOLDERS, fashion_mnist, idx_folder, read_idx


def idx(array, kind=8):
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


RANDOM = np.random.default_rng(0)
IMAGES = {part: RANDOM.integers(0, 256, (n, 5, 4), dtype=np.uint8) for part, n in (("train", 7), ("t10k", 3))}
LABELS = {
    "train": np.array([0, 1, 2, 0, 1, 2, 2], dtype=np.uint8),
    "t10k": np.array([2, 0, 1], dtype=np.uint8),
}


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES[part]))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(LABELS[part]))
    return tmp_path


@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 2, 3), (1, 1, 1, 2), (0,)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_was_written_is_read(shape, pack, tmp_path):
    values = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "values"
    path.write_bytes(pack(idx(values)))
    found = read_idx(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values)


def test_a_folder_plain_and_compressed(folder):
    plain = idx_folder(str(folder))
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = load_data("idx", {"path": str(folder)})
    for data in (plain, packed):
        np.testing.assert_array_equal(data.train_inputs.numpy()[:, 0], IMAGES["train"])
        np.testing.assert_array_equal(data.test_inputs.numpy()[:, 0], IMAGES["t10k"])
        np.testing.assert_array_equal(data.train_targets.numpy(), LABELS["train"])
        np.testing.assert_array_equal(data.test_targets.numpy(), LABELS["t10k"])
        assert data.classes == 3
        assert data.train_targets.dtype == torch.int64


WHOLE = idx(IMAGES["train"])
PACKED = gzip.compress(WHOLE, mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0\x08",
        WHOLE[:6],  # within its header
        WHOLE[:-1],
        WHOLE + b"\0",
        b"\1" + WHOLE[1:],
        idx(IMAGES["train"], kind=13),  # of floats
        idx(IMAGES["train"], kind=9),  # of signed bytes
        struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31) + b"\0" * 10,
        PACKED[: len(PACKED) // 2],
        PACKED[:5],
        PACKED[:20] + bytes([PACKED[20] ^ 255]) + PACKED[21:],
        PACKED[:-3] + b"xyz",
        PACKED + b"rubbish",
        gzip.compress(WHOLE[:-4], mtime=0),
        b"\x1f\x8b",
    ],
)
def test_a_damaged_file_is_refused_by_name(content, folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(content)
    for read in (lambda: read_idx(path), lambda: idx_folder(str(folder))):
        with pytest.raises(RecipeError, match="train-images-idx3-ubyte") as caught:
            read()
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train-images-idx3-ubyte", idx(LABELS["train"])),
        ("train-labels-idx1-ubyte", idx(IMAGES["train"])),
        ("t10k-images-idx3-ubyte", b"\0\0\x08\0" + b"\7"),  # no axes: a single number
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\0" + b"\7"),
        ("t10k-labels-idx1-ubyte", idx(LABELS["train"])),  # more labels than images
        ("train-labels-idx1-ubyte", idx(LABELS["t10k"])),
    ],
)
def test_files_that_hold_something_else_are_refused_by_name(name, content, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(RecipeError, match=name):
        idx_folder(str(folder))


def test_missing_files_and_folders_are_named(folder, tmp_path):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(RecipeError, match=r"t10k-labels-idx1-ubyte nor t10k-labels-idx1-ubyte\.gz"):
        idx_folder(str(folder))
    with pytest.raises(RecipeError, match="nowhere: no such data folder"):
        load_data("idx", {"path": str(tmp_path / "nowhere")})
    with pytest.raises(RecipeError, match="does not take these options"):
        load_data("idx", {})


def test_where_fashion_mnist_is_looked_for(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("MASKTOOLS_DATA", raising=False)
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"data fashion-mnist: not found in .*nowhere; install"):
        fashion_mnist(folders=[nowhere])
    assert len(fashion_mnist(folders=[nowhere, str(folder)]).train_targets) == 7
    assert len(fashion_mnist(path=str(folder)).test_targets) == 3
    with pytest.raises(RecipeError, match="no such data folder"):
        fashion_mnist(path=nowhere, folders=[str(folder)])
    root = tmp_path / "data"
    root.mkdir()
    folder_there = root / "fashion-mnist"
    folder_there.mkdir()
    for path in folder.glob("*-ubyte"):
        (folder_there / path.name).write_bytes(path.read_bytes())
    (folder_there / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS["t10k"][::-1].copy()))
    monkeypatch.setenv("MASKTOOLS_DATA", str(root))
    assert fashion_mnist(folders=[str(folder)]).test_targets.tolist() == [1, 0, 2]


@pytest.mark.parametrize("count", [1, 4, 7])
def test_the_first_training_examples_alone(count, folder):
    """Mean and deviation are theirs, and the test part is whole."""
    shown = IMAGES["train"][:count]
    for data in (load_data("idx", {"path": str(folder), "train_examples": count}), fashion_mnist(str(folder), count)):
        np.testing.assert_array_equal(data.train_inputs.numpy()[:, 0], shown)
        assert data.train_targets.tolist() == LABELS["train"][:count].tolist()
        np.testing.assert_array_equal(data.test_inputs.numpy()[:, 0], IMAGES["t10k"])
        assert data.test_targets.tolist() == LABELS["t10k"].tolist()
        assert float(data.mean) == pytest.approx(shown.mean(dtype=np.float64), rel=1e-6)
        assert float(data.std) == pytest.approx(shown.std(dtype=np.float64), rel=1e-6)
    assert len(fashion_mnist(folders=[str(folder)], train_examples=count).train_targets) == count


@pytest.mark.parametrize("count", [0, -1, 8, 2.0, 2.5, "3", [3]])
def test_how_many_training_examples_there_can_be(count, folder):
    with pytest.raises(RecipeError, match=r"data\.options\.train_examples: must be a whole number from 1 to 7, got"):
        load_data("idx", {"path": str(folder), "train_examples": count})


def test_fashion_mnist_as_debian_installs_it():
    if not any(Path(folder).is_dir() for folder in FASHION_MNIST_FOLDERS):
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    data = load_data("fashion-mnist", {})
    assert data.train_inputs.shape == (60_000, 1, 28, 28)
    assert data.test_inputs.shape == (10_000, 1, 28, 28)
    assert data.train_targets.bincount().tolist() == [6000] * 10
    assert data.test_targets.bincount().tolist() == [1000] * 10
    # The first ten labels of the training part, as its authors' page shows them: an ankle boot comes first.
    assert data.train_targets[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    # Published mean and deviation of the pixels, as shares of 255.
    assert float(data.mean) / 255 == pytest.approx(0.2860, abs=1e-4)
    assert float(data.std) / 255 == pytest.approx(0.3530, abs=1e-4)
