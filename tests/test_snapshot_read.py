import math
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from stored import TOPOLOGY, content, everything, layer

from masktools.errors import SnapshotError
from masktools.masks import PackedMask
from masktools.snapshot import attributes, layout
from masktools.snapshot.content import LayerContent
from masktools.snapshot.read import Layer, Snapshot
from masktools.snapshot.verify import verify_snapshot
from masktools.snapshot.write import write_snapshot


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_snapshot(tmp_path / "epoch-0003.h5", content())
    return tmp_path / "epoch-0003.h5"


def test_header_by_hand(tmp_path: Path):
    mask = np.array([[1, 0, 0], [1, 1, 0]], dtype=bool)
    weight = np.array([[0.5, 9, 9], [0, -2, 9]], dtype=np.float32)
    first = LayerContent.from_dense("a", mask, weight)
    second = LayerContent.from_dense("b", np.ones((4, 1, 3, 3), dtype=bool), None, "none", prunable=False)
    write_snapshot(tmp_path / "s.h5", content(epoch=7, step=70, layers=(first, second), topology=None))
    snapshot = Snapshot(tmp_path / "s.h5")
    assert (snapshot.epoch, snapshot.step) == (7, 70)
    assert snapshot.layer("a") == Layer("a", (2, 3), "out,in", 3, True, "active")
    assert snapshot.layer("b") == Layer("b", (4, 1, 3, 3), "out,in,kh,kw", 36, False, "none")
    assert (snapshot.active, snapshot.size, snapshot.density) == (39, 42, 39 / 42)
    assert snapshot.layer("a").density == 0.5
    assert snapshot.weight("a").tolist() == [[0.5, 0, 0], [0, -2, 0]]
    assert snapshot.mask("a").tolist() == mask.tolist()  # the weight that is 0 is active
    assert repr(snapshot) == f"Snapshot({str(tmp_path / 's.h5')!r})"


def test_layer_without_weights_has_no_density():
    assert math.isnan(Layer("a", (0, 3), "out,in", 0, True, "none").density)


def test_unknown_layer_and_missing_weights_are_named(tmp_path: Path):
    told = content(layers=(layer("a", (3, 3)), layer("b", (3, 3), "none")), topology=None)
    write_snapshot(tmp_path / "s.h5", told)
    snapshot = Snapshot(tmp_path / "s.h5")
    for ask in (snapshot.layer, snapshot.mask, snapshot.packed, snapshot.weight):
        with pytest.raises(SnapshotError, match="no layer 'c'; layers are a, b"):
            ask("c")
    assert snapshot.weight("a").shape == (3, 3)
    for ask_all in (lambda: snapshot.weight("b"), snapshot.weights):
        with pytest.raises(SnapshotError, match=r"without weights \(layer 'b'\)"):
            ask_all()
    assert [item.kind for item in snapshot.contents()] == ["active", "none"]


def test_what_is_read_can_be_written_again_byte_for_byte(path: Path, tmp_path: Path):
    snapshot = Snapshot(path)
    told = content(
        layers=tuple(snapshot.contents()),
        tensors=snapshot.tensors(),
        topology=snapshot.topology,
        config=snapshot.config,
        extra=snapshot.extra,
    )
    write_snapshot(tmp_path / "again.h5", told)
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_opening_reads_no_mask(path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise AssertionError("values were read")

    monkeypatch.setattr("masktools.snapshot.checks.values", refuse)
    snapshot = Snapshot(path)
    assert snapshot.active > 0
    assert snapshot.tensor_names == tuple(sorted(content().tensors))
    with pytest.raises(SnapshotError, match="values were read"):
        snapshot.packed("fc1.weight")


def test_no_file_stays_open(path: Path):
    snapshot = Snapshot(path)
    everything(snapshot)
    stream = snapshot.contents()
    next(stream)
    assert not [item for item in Path("/proc/self/fd").iterdir() if item.exists() and item.resolve() == path.resolve()]


def test_what_is_handed_out_changes_nothing(path: Path):
    snapshot = Snapshot(path)
    before = everything(snapshot)
    snapshot.config["seed"] = 5
    snapshot.extra["level"] = 5
    snapshot.mask("fc1.weight")[:] = False
    snapshot.packed("fc1.weight").bits[:] = 0
    with pytest.raises(TypeError):
        snapshot.layers["x"] = snapshot.layers["fc1.weight"]  # type: ignore[index]
    assert everything(snapshot) == before


def test_a_snapshot_travels_between_processes(path: Path):
    snapshot = Snapshot(path)
    before = everything(snapshot)
    assert everything(pickle.loads(pickle.dumps(snapshot))) == before


def test_the_expected_epoch_is_checked(path: Path):
    assert Snapshot(path, expected_epoch=3).epoch == 3
    with pytest.raises(SnapshotError, match="is of epoch 3, its name says 4"):
        Snapshot(path, expected_epoch=4).layers  # noqa: B018


def test_verify_returns_the_digest_that_is_stored(path: Path):
    with h5py.File(path) as file:
        assert verify_snapshot(Snapshot(path)) == file.attrs["content-blake2b"].decode()


def edit(path: Path, *, mask: np.ndarray | None = None, **changes: str | int | tuple[int, ...]) -> None:
    """Change attributes of the first mask, and its bits with the digest that goes with them."""
    with h5py.File(path, "r+") as file:
        item = file["masks/fc1.weight"]
        for key, value in changes.items():
            attributes.put(item, key, value)
        if mask is not None:
            item[...] = mask
            attributes.put(item, layout.DIGEST, layout.array_digest(mask))


@pytest.mark.parametrize("key", ["active", "prunable", "axes", "position"])
def test_verify_notices_attributes_that_were_changed_in_good_form(path: Path, key: str):
    changes = {"active": 400, "prunable": 0, "axes": "in,out", "position": 1}
    if key == "position":
        with h5py.File(path, "r+") as file:
            attributes.put(file["masks/fc2.weight"], "position", 0)
    mask = np.packbits(np.arange(1200) < 400) if key == "active" else None
    edit(path, mask=mask, **{key: changes[key]})
    if key == "active":  # the values of so many weights are not there
        with pytest.raises(SnapshotError, match="its layer needs"):
            verify_snapshot(Snapshot(path))
    else:
        everything(Snapshot(path))
        with pytest.raises(SnapshotError, match="does not match content-blake2b"):
            verify_snapshot(Snapshot(path))


def test_verify_notices_a_changed_mask(path: Path):
    mask = Snapshot(path).packed("fc1.weight").to_bool()
    moved = np.roll(mask, 1)
    edit(path, mask=np.packbits(moved))
    assert np.array_equal(Snapshot(path).mask("fc1.weight"), moved)
    with pytest.raises(SnapshotError, match="does not match content-blake2b"):
        verify_snapshot(Snapshot(path))


def test_verify_notices_weights_of_no_layer_and_layers_among_the_tensors(path: Path):
    with h5py.File(path, "r+") as file:
        file["tensors/fc1.weight"] = file["weights/fc1.weight"]
    with pytest.raises(SnapshotError, match=r"/tensors: 'fc1.weight' is a layer too"):
        verify_snapshot(Snapshot(path))
    with h5py.File(path, "r+") as file:
        del file["tensors/fc1.weight"]
        file["weights/fc3.weight"] = file["weights/fc1.weight"]
    with pytest.raises(SnapshotError, match="/weights: its members are not the layers that have weights"):
        verify_snapshot(Snapshot(path))


def test_a_mask_is_a_mask_whatever_the_weights(tmp_path: Path):
    mask = np.ones((4, 4), dtype=bool)
    tiny = np.full((4, 4), 1e-9, dtype=np.float32)
    write_snapshot(
        tmp_path / "s.h5", content(layers=(LayerContent.from_dense("w", mask, tiny.astype("f2")),), topology=None)
    )
    snapshot = Snapshot(tmp_path / "s.h5")
    assert not snapshot.weight("w").any()
    assert snapshot.packed("w") == PackedMask.from_bool(mask)


def test_members_that_the_format_does_not_know_are_left_alone(path: Path):
    before = everything(Snapshot(path))
    with h5py.File(path, "r+") as file:
        file.attrs["note"] = "text of variable length"
        file.create_group("vendor/deep")["x"] = np.array(["text"], dtype=h5py.string_dtype())
        file["masks/fc1.weight"].attrs["note"] = 1.5
    assert everything(Snapshot(path)) == before
    verify_snapshot(Snapshot(path))


@pytest.mark.parametrize("library", ["earliest", "v108", "v112", "latest"])
def test_other_writers_may_use_any_file_layout_and_the_librarys_filters(path: Path, tmp_path: Path, library: str):
    other = tmp_path / "other.h5"
    with h5py.File(path) as file, h5py.File(other, "w", libver=library) as copy:
        for key in file.attrs:
            copy.attrs.create(key, file.attrs[key])
        for group in ("masks", "weights", "tensors"):
            for name, item in file[group].items():
                filters = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if item.nbytes > 8 else {}
                made = copy.create_dataset(f"{group}/{name}", data=item[()], **filters)
                for key in item.attrs:
                    made.attrs.create(key, item.attrs[key])
        made = copy.create_dataset("topology", data=file["topology"][()])
        made.attrs["blake2b"] = np.bytes_(file["topology"].attrs["blake2b"])
    assert everything(Snapshot(other)) == everything(Snapshot(path))
    assert verify_snapshot(Snapshot(other)) == verify_snapshot(Snapshot(path))
    assert Snapshot(other).topology == TOPOLOGY


def test_a_file_in_use_is_explained(path: Path):
    program = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(SnapshotError, match="locked; close its writer, or on a network") as error:
            Snapshot(path).layers  # noqa: B018
        assert str(path) in str(error.value)
        assert writer.stdin is not None
        writer.stdin.close()
        writer.wait()
    assert Snapshot(path).epoch == 3


def test_a_file_system_without_locks_is_explained(path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_locks(*_: object, **__: object) -> None:
        raise OSError("Unable to synchronously open file (unable to lock file, errno = 37)")

    monkeypatch.setattr(h5py, "File", no_locks)
    for ask in (lambda: Snapshot(path).layers, lambda: write_snapshot(path, content())):
        with pytest.raises(SnapshotError, match="on a network file system set HDF5_USE_FILE_LOCKING=FALSE"):
            ask()


def test_a_name_with_lock_in_it_is_not_taken_for_a_lock(tmp_path: Path):
    (tmp_path / "unlocked.h5").write_bytes(b"unable")
    with pytest.raises(SnapshotError, match="not a readable snapshot: ") as error:
        Snapshot(tmp_path / "unlocked.h5").layers  # noqa: B018
    assert "close its writer" not in str(error.value)
