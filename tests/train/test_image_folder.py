"""Folders of images: listed, decoded the same by any number of workers and processes, refused when they are wrong."""

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import SIZE, by_hand, write_images

from masktools.errors import RecipeError, TrainingError
from masktools_train.data import ImageFolder, decoding, folder, load_data
from masktools_train.data.source import Data, first_inputs
from masktools_train.distributed import Processes

AUGMENT = ("crop", "flip")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def small_chunks(monkeypatch):
    """Let few images be many tasks, so that workers have to share."""
    monkeypatch.setattr(folder, "CHUNK", 3)
    monkeypatch.setattr(decoding, "CHUNK", 3)


@pytest.fixture(scope="module")
def workers(root):
    """The data set with 0, 1 and 2 workers, which are started once."""
    return [ImageFolder(str(root), size=SIZE, workers=count) for count in range(3)]


def listed(root, part):
    return [(name, path) for name in ("ant", "bee", "cat") for path in sorted((root / part / name).iterdir())]


def equal(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


def test_test_examples_are_those_of_the_files_in_order(root, workers):
    data = workers[0]
    files = listed(root, "val")
    assert isinstance(data, Data)
    assert (data.classes, data.input_shape) == (3, (3, SIZE, SIZE))
    assert data.test_targets.tolist() == [["ant", "bee", "cat"].index(name) for name, _ in files]
    expected = np.stack([by_hand(path) for _, path in files])
    batches = list(data.testing(5))
    assert [len(targets) for _, targets in batches] == [5, 5, 2]
    inputs = torch.cat([inputs for inputs, _ in batches])
    assert inputs.dtype == torch.float32
    assert inputs.is_contiguous()
    np.testing.assert_allclose(inputs, expected, atol=1e-5)
    assert torch.equal(torch.cat([targets for _, targets in batches]), data.test_targets)
    assert torch.equal(torch.cat([inputs for inputs, _ in data.testing(4, 7)]), inputs[:7])
    assert torch.equal(first_inputs(data, 3), inputs[:3])
    assert torch.equal(first_inputs(data, 100, 6), inputs[:6])
    shares = [list(data.testing(2, 11, Processes(rank, 3))) for rank in range(3)]
    assert torch.equal(torch.cat([inputs for inputs, _ in itertools.chain(*shares)]), inputs[:11])


def test_what_is_no_image_is_passed_over(root, tmp_path):
    write_images(tmp_path)
    for name in ("readme.txt", ".hidden.jpeg", "a.jpeg.part", "list.JPEG.csv"):
        (tmp_path / "train" / "bee" / name).write_bytes(b"no image")
    (tmp_path / "train" / "bee" / "folder.png").mkdir()
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "classes.txt").write_text("ant bee cat")
    plain = ImageFolder(str(root), size=SIZE, workers=0)
    found = ImageFolder(str(tmp_path), size=SIZE, workers=0)
    assert found.train.names == plain.train.names
    assert equal(list(found.training(8, 0).epoch(0)), list(plain.training(8, 0).epoch(0)))


def test_an_epoch_sees_every_image_once_in_an_order_of_its_own(root, workers):
    files = listed(root, "train")
    expected = np.stack([by_hand(path) for _, path in files])
    targets = torch.tensor([["ant", "bee", "cat"].index(name) for name, _ in files])
    orders = set()
    for seed, epoch in itertools.product(range(2), range(3)):
        batches = workers[0].training(5, seed)
        found = list(batches.epoch(epoch))
        assert [len(y) for _, y in found] == [5, 5, 5, 5, 3] == [batches.whole(index) for index in range(5)]
        assert batches.steps_per_epoch == 5
        inputs = torch.cat([x for x, _ in found]).double().numpy()
        distances = np.abs(inputs[:, None] - expected[None]).max(axis=(2, 3, 4))
        order = distances.argmin(1)
        assert (distances.min(1) < 1e-5).all()
        assert sorted(order.tolist()) == list(range(23))
        assert torch.equal(torch.cat([y for _, y in found]), targets[order])
        orders.add(tuple(order))
    assert len(orders) == 6


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("augment", [(), ("flip",), AUGMENT])
def test_workers_and_the_place_of_entry_change_nothing(augment, workers):
    whole = list(workers[0].training(7, 1, augment).epoch(2))
    for data in workers:
        batches = data.training(7, 1, augment)
        for start in range(5):
            assert equal(list(batches.epoch(2, start)), whole[start:])
        assert equal(list(data.testing(5)), list(workers[0].testing(5)))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.usefixtures("small_chunks")
def test_the_shares_of_processes_are_the_whole(world, count, workers):
    whole = list(workers[0].training(8, 3, AUGMENT).epoch(1))
    shares = [
        list(workers[count].training(8, 3, AUGMENT, processes=Processes(rank, world)).epoch(1)) for rank in range(world)
    ]
    joined = [tuple(torch.cat(parts) for parts in zip(*batch, strict=True)) for batch in zip(*shares, strict=True)]
    assert equal(joined, whole)
    with pytest.raises(RecipeError, match="the smallest batch has 1 examples, too few for 2 processes"):
        workers[0].training(11, 0, processes=Processes(0, 2))


def test_augmentation_differs_by_image_epoch_and_seed_and_leaves_the_order_alone(workers):
    def seen(seed, epoch, augment):
        return [torch.cat(parts) for parts in zip(*workers[0].training(8, seed, augment).epoch(epoch), strict=True)]

    plain, flipped, both = (seen(0, 0, augment) for augment in ((), ("flip",), AUGMENT))
    assert torch.equal(plain[1], flipped[1])
    assert torch.equal(plain[1], both[1])
    same = (plain[0] == flipped[0]).flatten(1).all(1)
    mirrored = (plain[0].flip(-1) == flipped[0]).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 4 < int(mirrored.sum()) < 19

    # The same image is mirrored or not, and cut in another way, in another epoch and under another seed.
    def flips(seed, epoch):
        plain, flipped = (seen(seed, epoch, augment)[0].flatten(1) for augment in ((), ("flip",)))
        return (plain == flipped).all(1)[np.lexsort(plain.numpy().T[:3])].tolist()

    assert len({tuple(flips(seed, epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))}) == 3

    def cuts(seed, epoch):
        order = np.lexsort(seen(seed, epoch, ())[0].flatten(1).numpy().T[:3])
        return seen(seed, epoch, ("crop",))[0][order]

    first = cuts(0, 0)
    for other in (cuts(0, 1), cuts(1, 0)):
        assert (first != other).flatten(1).any(1).sum() >= 22
    assert len({tuple(image.flatten().tolist()) for image in first}) == 23


def test_rounds_that_are_given_up_or_interleaved(workers):
    data = workers[2]
    batches = data.training(6, 0, AUGMENT)
    first, second = list(batches.epoch(0)), list(batches.epoch(1))
    pids = {worker.pid for worker in data._decoder._idle.loader._iterator._workers}
    for _ in range(3):
        assert equal([next(batches.epoch(1))], second[:1])
    found = list(zip(batches.epoch(0), batches.epoch(1), strict=True))
    assert equal([a for a, _ in found], first)
    assert equal([b for _, b in found], second)
    assert equal(list(batches.epoch(0)), first)
    assert len(pids) == 2
    assert os.getpid() not in pids


def test_few_images_start_no_workers(root, monkeypatch):
    data = ImageFolder(str(root), size=SIZE, workers=2)
    monkeypatch.setattr(data._decoder, "_started", lambda: pytest.fail("workers were started"))
    first_inputs(data, 1)
    assert len(list(data.testing(4))) == 3


def test_the_random_numbers_of_the_model_are_left_alone(root):
    for count in (0, 2):
        data = ImageFolder(str(root), size=SIZE, workers=count)
        torch.manual_seed(5)
        list(data.training(8, 0, AUGMENT).epoch(0))
        assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(5).get_state())


def test_mean_and_std_are_options(root):
    plain = ImageFolder(str(root), size=SIZE, workers=0, mean=[0, 0, 0], std=[1, 1, 1])
    other = ImageFolder(str(root), size=SIZE, workers=0, mean=[0.5, 0.25, 0], std=[0.5, 2, 1])
    values, found = first_inputs(plain, 4), first_inputs(other, 4)
    assert 0 <= values.min() < values.max() <= 1
    shift, scale = torch.tensor([0.5, 0.25, 0]).view(3, 1, 1), torch.tensor([0.5, 2, 1]).view(3, 1, 1)
    torch.testing.assert_close(found, (values - shift) / scale)


@pytest.mark.parametrize("count", [0, 2])
def test_a_damaged_image_is_one_sentence(count, tmp_path):
    write_images(tmp_path)
    for part, path in (("train", "cat/3.JPEG"), ("val", "bee/1.JPEG")):
        whole = (tmp_path / part / path).read_bytes()
        (tmp_path / part / path).write_bytes(whole[:-200])
        data = ImageFolder(str(tmp_path), size=SIZE, workers=count)
        with pytest.raises(RecipeError, match=rf"{path}: cannot be read as an image: ") as caught:
            list(data.training(8, 0, AUGMENT).epoch(0) if part == "train" else data.testing(8))
        assert str(caught.value).startswith(str(tmp_path / part / path))
        assert "\n" not in str(caught.value)
        (tmp_path / part / path).write_bytes(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("small_chunks")
def test_a_killed_worker_is_one_sentence(root):
    data = ImageFolder(str(root), size=SIZE, workers=2)
    batches = data.training(4, 0)
    rounds = batches.epoch(0)
    next(rounds)
    list(batches.epoch(1))
    os.kill(data._decoder._idle.loader._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(TrainingError, match=r"ended early, .* \(set data\.options\.workers lower\)"):
        list(batches.epoch(2))
    # And the next round has workers again.
    assert len(list(batches.epoch(2))) == 6


PROGRAM = """
import sys, time
from masktools_train.data import ImageFolder

if __name__ == "__main__":
    data = ImageFolder(sys.argv[1], size=16, workers=2)
    batches = data.training(4, 0).epoch(0)
    next(batches)
    batches.close()
    print(*[worker.pid for worker in data._decoder._idle.loader._iterator._workers], flush=True)
    time.sleep(100)
"""


@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_program(root, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        pids = [int(pid) for pid in program.stdout.readline().split()]
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        program.kill()
        # Its standard error ends when all that have it are gone, the workers too.
        program.communicate(timeout=20)


def without(root, *parts):
    for part in parts:
        for path in sorted(root.glob(part), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda root: without(root, "val/*/*", "val/*", "val"), r"val: cannot be read: .*No such file"),
        (lambda root: without(root, "train/*/*", "train/*"), "train: has no folders of images, one for each class"),
        (lambda root: without(root, "val/bee/*"), r"val/bee: holds no image \(\.jpeg, \.jpg, "),
        (lambda root: without(root, "val/bee/*", "val/bee"), "class 'bee' is in train but not in val"),
        (lambda root: without(root, "train/cat/*", "train/cat"), "class 'cat' is in val but not in train"),
    ],
)
def test_folders_that_are_wrong_are_named(harm, words, tmp_path):
    write_images(tmp_path)
    harm(tmp_path)
    with pytest.raises(RecipeError, match=words) as caught:
        ImageFolder(str(tmp_path))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 0}, r"data\.options\.size: must be a whole number of at least 1, got 0"),
        ({"size": 16.5}, r"data\.options\.size: must be a whole number of at least 1, got 16\.5"),
        ({"size": 16, "resize": 15}, r"data\.options\.resize: must be a whole number of at least 16, got 15"),
        ({"workers": -1}, r"data\.options\.workers: must be a whole number of at least 0, got -1"),
        ({"workers": True}, r"data\.options\.workers: must be a whole number"),
        ({"mean": [0.5]}, r"data\.options\.mean: must be three numbers, got \[0\.5\]"),
        ({"mean": 0.5}, r"data\.options\.mean: must be three numbers, got 0\.5"),
        ({"std": [1, 1, "a"]}, r"data\.options\.std: must be three numbers"),
        ({"std": [1, 1, float("nan")]}, r"data\.options\.std: must be three numbers"),
        ({"std": [1, 0, 1]}, r"data\.options\.std: must be above 0, got \[1, 0, 1\]"),
        ({"colour": 3}, "data 'image-folder' does not take these options"),
        ({"path": "nowhere"}, "nowhere: no such data folder"),
    ],
)
def test_options_that_are_wrong_are_named(options, words, root):
    with pytest.raises(RecipeError, match=words):
        load_data("image-folder", {"path": str(root)} | options)


def test_other_augmentations_are_refused(workers):
    with pytest.raises(RecipeError, match=r"data\.augment: 'shift' is not for image folders; use crop, flip"):
        workers[0].training(8, 0, ["shift", "crop"])


def test_where_imagenet_is_looked_for(root, tmp_path, monkeypatch):
    monkeypatch.delenv("MASKTOOLS_DATA", raising=False)
    with pytest.raises(RecipeError, match=r"data imagenet: name its folder with --data-path, .* \$MASKTOOLS_DATA"):
        load_data("imagenet", {})
    with pytest.raises(RecipeError, match="data 'image-folder' does not take these options"):
        load_data("image-folder", {})
    assert load_data("imagenet", {"path": str(root), "size": 8}).input_shape == (3, 8, 8)
    (tmp_path / "imagenet").symlink_to(root)
    monkeypatch.setenv("MASKTOOLS_DATA", str(tmp_path))
    found = load_data("imagenet", {"workers": 0})
    assert found.input_shape == (3, 224, 224)
    assert Path(found.train.path(0)).resolve() == (root / "train" / "ant" / "0.png").resolve()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("count", [0, 2])
def test_batches_on_a_gpu(count, root, workers):
    data = ImageFolder(str(root), size=SIZE, workers=count).to(torch.device("cuda"))
    assert data.test_targets.is_cuda
    expected = workers[0].training(8, 0, AUGMENT).epoch(0)
    for (inputs, targets), (x, y) in zip(data.training(8, 0, AUGMENT).epoch(0), expected, strict=True):
        assert inputs.is_cuda
        torch.testing.assert_close(inputs.cpu(), x)
        assert torch.equal(targets.cpu(), y)
