import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import content, everything, layer, written

from masktools.atomic import replacing, write_text
from masktools.errors import SnapshotError
from masktools.masks import PackedMask
from masktools.snapshot import chunks, layout, write
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.snapshot.read import Snapshot
from masktools.snapshot.verify import verify_snapshot
from masktools.snapshot.write import write_snapshot


def roundtrip(tmp_path: Path, told: SnapshotContent) -> Snapshot:
    path = tmp_path / "epoch-0003.h5"
    write_snapshot(path, told)
    snapshot = Snapshot(path)
    verify_snapshot(snapshot)
    return snapshot


def same(snapshot: Snapshot, told: SnapshotContent) -> None:
    found, expected = everything(snapshot), written(told)
    found[5] = [(item.name, item.shape, item.active) for item in found[5]]
    assert found == expected


def test_what_is_written_is_read_back(tmp_path: Path):
    told = content()
    same(roundtrip(tmp_path, told), told)


@pytest.mark.parametrize("kind", ["active", "dense"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f2", ">f4", ">f8"])
def test_weights_are_exact_in_every_type_and_byte_order(tmp_path: Path, kind: str, dtype: str):
    weight = np.random.default_rng(1).standard_normal((50, 60))
    weight[0, :6] = 0.0, -0.0, np.nan, np.inf, -np.inf, 6e-8
    weight = weight.astype(dtype)
    mask = np.zeros((50, 60), dtype=bool)
    mask[0] = mask[7, ::3] = True
    told = LayerContent.from_dense("w", mask, weight, kind)
    snapshot = roundtrip(tmp_path, content(layers=(told,), topology=None))
    found = snapshot.weight("w")
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    expected = np.where(mask, weight, 0) if kind == "active" else weight
    assert np.array_equal(
        found.view(f"u{found.itemsize}"), expected.astype(found.dtype).view(f"u{found.itemsize}"), equal_nan=False
    )
    assert np.array_equal(snapshot.mask("w"), mask)  # 0.0 and -0.0 are active weights


@pytest.mark.parametrize(
    "dtype", ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i4", ">f8"]
)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 4), (3, 5), (40, 3, 7)])
def test_tensors_are_exact_in_every_type_and_shape(tmp_path: Path, dtype: str, shape: tuple[int, ...]):
    tensor = (100 * np.random.default_rng(2).random(shape)).astype(dtype)
    found = roundtrip(tmp_path, content(tensors={"t": tensor})).tensors()["t"]
    assert found.shape == shape
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(found, tensor)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    shape=st.lists(st.integers(0, 40), max_size=4).map(tuple),
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    kind=st.sampled_from(layout.KINDS),
    prunable=st.booleans(),
)
def test_any_layer_is_read_back(tmp_path: Path, shape: tuple[int, ...], density: float, kind: str, prunable: bool):
    rng = np.random.default_rng(3)
    weight = None if kind == "none" else rng.standard_normal(shape).astype("f4").reshape(shape)
    mask = (rng.random(shape) < density) | np.zeros(shape, dtype=bool)
    told = content(layers=(LayerContent.from_dense("w", mask, weight, kind, prunable=prunable),), topology=None)
    same(roundtrip(tmp_path, told), told)


def test_layers_keep_the_order_of_the_network(tmp_path: Path):
    names = ["z", "a", "m.10", "m.9"] + [f"l{i}" for i in range(30, 0, -1)]
    told = content(layers=tuple(layer(name, (3, 3)) for name in names), topology=None)
    snapshot = roundtrip(tmp_path, told)
    assert list(snapshot.layers) == list(snapshot.masks()) == list(snapshot.weights()) == names


def test_a_snapshot_of_nothing_is_a_snapshot(tmp_path: Path):
    told = SnapshotContent(0, 0, ())
    snapshot = roundtrip(tmp_path, told)
    same(snapshot, told)
    assert snapshot.topology is None
    assert np.isnan(snapshot.density)


def test_equal_contents_give_equal_bytes(tmp_path: Path):
    write_snapshot(tmp_path / "a.h5", content())
    time.sleep(1.01)  # HDF5 would record the time in seconds
    write_snapshot(tmp_path / "b.h5", content())
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": 4},
        {"step": 121},
        {"config": {"seed": 1}},
        {"extra": {}},
        {"topology": None},
        {"tensors": {}},
        {"layers": (layer("fc2.weight", (7, 30), "dense"), layer("fc1.weight", (30, 40)))},
        {"layers": (layer("fc1.weight", (30, 40), prunable=False), layer("fc2.weight", (7, 30), "dense"))},
        {"layers": (layer("fc1.weight", (30, 40), axes="in,out"), layer("fc2.weight", (7, 30), "dense"))},
        {"layers": (layer("fc1.weight", (30, 40), "none"), layer("fc2.weight", (7, 30), "dense"))},
        {"layers": (layer("fc1.weight", (30, 40), dtype="f8"), layer("fc2.weight", (7, 30), "dense"))},
    ],
    ids=str,
)
def test_every_change_shows_in_the_content_digest(tmp_path: Path, change: dict[str, Any]):
    digest = verify_snapshot(roundtrip(tmp_path, content()))
    assert verify_snapshot(roundtrip(tmp_path, content(**change))) != digest


def test_only_filters_that_every_reader_has_and_no_text_of_variable_length(tmp_path: Path):
    snapshot = roundtrip(tmp_path, content(layers=(layer("fc1.weight", (300, 40)), layer("fc2.weight", (7, 300)))))
    with h5py.File(snapshot.path) as file:
        found = []
        file.visititems(lambda _, item: found.append(item))
        datasets = [item for item in found if isinstance(item, h5py.Dataset)]
        assert {item.compression for item in datasets} == {"gzip", None}
        assert any(item.shuffle for item in datasets)
        assert not file["masks/fc1.weight"].shuffle  # shuffling bits makes them larger
        for item in (file, *datasets):
            for key in item.attrs:
                kind = item.attrs.get_id(key).get_type()
                assert not (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str())
        for item in datasets:  # the library's own filters agree with ours
            assert layout.array_digest(item[()]) == item.attrs["blake2b"].decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"text": "x" * 60_000}}, "config takes 600.. bytes as JSON, at most 60000 fit"),
        ({"config": {"text": "ä" * 12_000}}, "config takes 720.. bytes as JSON, at most 60000 fit"),
        ({"extra": {"text": "x" * 60_000}}, "extra takes 600.. bytes"),
        ({"config": {"lr": float("nan")}}, "config cannot be written as JSON"),
        ({"extra": {"loss": float("inf")}}, "extra cannot be written as JSON"),
        ({"config": {"when": {1, 2}}}, "config cannot be written as JSON"),
        ({"config": {1: 0, "a": 0}}, "config cannot be written as JSON"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    path = tmp_path / "epoch-0003.h5"
    with pytest.raises(SnapshotError, match=message):
        write_snapshot(path, content(**change))
    assert list(tmp_path.iterdir()) == []


def test_the_largest_configuration_that_fits_is_read_back(tmp_path: Path):
    config = {"text": "x" * (layout.MAX_ATTRIBUTE - len('{"text": ""}'))}
    assert roundtrip(tmp_path, content(config=config)).config == config


def test_a_network_of_many_layers_fits(tmp_path: Path):
    # Their names alone are more than an attribute holds.
    names = [f"model.{'inner.' * 20}layers.{number}.self_attention.projection.weight" for number in range(400)]
    assert len("".join(names)) > 65_536
    told = content(layers=tuple(layer(name, (2, 3), "none") for name in names), topology=None)
    assert list(roundtrip(tmp_path, told).layers) == names


@pytest.mark.parametrize("name", ["", "a/b", "/", ".", "..", "a\0b", "a\nb", "\x1b[2J", "\ud800", "a\u202eb"])
def test_a_name_that_is_a_path_or_cannot_be_printed_is_refused(name: str):
    with pytest.raises(SnapshotError, match="cannot name a parameter"):
        content(tensors={name: np.zeros(1)})
    with pytest.raises(SnapshotError, match="cannot name a parameter"):
        content(layers=(layer(name, (2, 2)),), topology=None)


@pytest.mark.parametrize("name", ["größe.weight", "0", "a b", "重み", "..a", "a\\b"])
def test_any_other_name_is_kept(tmp_path: Path, name: str):
    told = content(layers=(layer(name, (20, 30)),), topology=None)
    same(roundtrip(tmp_path, told), told)


def test_two_parameters_of_one_name_are_refused():
    with pytest.raises(SnapshotError, match="two parameters have the same name: w"):
        content(layers=(layer("w", (2, 2)), layer("w", (2, 2))))
    with pytest.raises(SnapshotError, match="two parameters have the same name: w"):
        content(layers=(layer("w", (2, 2)),), tensors={"w": np.zeros(2)})


@pytest.mark.parametrize("number", [-1, 1.0, True, "3", None])
def test_epoch_and_step_count(number: object):
    with pytest.raises(SnapshotError, match=r"epoch .* is not a number of at least 0"):
        content(epoch=number)
    with pytest.raises(SnapshotError, match=r"step .* is not a number of at least 0"):
        content(step=number)
    assert type(content(epoch=np.int32(3)).epoch) is int


@pytest.mark.parametrize("dtype", ["c8", "object", "S3", "U3", "M8[s]", "f16"])
def test_types_that_not_every_reader_has_are_refused(dtype: str):
    with pytest.raises(SnapshotError, match=r"t: .* cannot be stored"):
        content(tensors={"t": np.zeros(3, dtype=dtype)})


def test_a_layer_must_be_consistent():
    mask = PackedMask.from_bool(np.eye(3, dtype=bool))
    nine = np.zeros((3, 3), np.float32)
    for values, kind, message in [
        (None, "active", r"active weights need shape \(3,\), got None"),
        (nine, "active", r"active weights need shape \(3,\), got \(3, 3\)"),
        (np.zeros(9, np.float32), "dense", r"dense weights need shape \(3, 3\), got \(9,\)"),
        (nine, "none", "none weights need shape None"),
        (nine, "sparse", "active, dense or none, not 'sparse'"),
        (nine.astype(int), "dense", "float16, float32 or float64, not int64"),
    ]:
        with pytest.raises(SnapshotError, match=message):
            LayerContent("w", mask, values, kind)
    for axes in ("out", "out,in,k", "out,", "out,\n"):
        with pytest.raises(SnapshotError, match="do not fit the shape"):
            LayerContent("w", mask, None, "none", axes=axes)


class Stop(BaseException):
    """What a signal handler raises in the middle of writing."""


@pytest.mark.parametrize("moment", ["start", "middle", "end"])
def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "epoch-0003.h5"
    write_snapshot(path, content())
    before = path.read_bytes()
    calls = {"start": 0, "middle": 4, "end": 8}[moment]

    def digest(values: Any) -> str:
        nonlocal calls
        calls -= 1
        if calls < 0:
            raise Stop
        return "0" * 32

    monkeypatch.setattr(write.layout, "array_digest", digest)
    with pytest.raises(Stop):
        write_snapshot(path, content(step=999))
    assert [item.name for item in tmp_path.iterdir()] == ["epoch-0003.h5"]
    assert path.read_bytes() == before


def test_an_interrupted_first_write_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with replacing(tmp_path / "new") as temporary:
            temporary.write_text("half")
            raise Stop

    with pytest.raises(Stop):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_left_by_a_killed_writer_is_no_obstacle(tmp_path: Path):
    (tmp_path / "epoch-0003.h5.tmp").write_bytes(b"half a file")
    same(roundtrip(tmp_path, content()), content())
    assert [item.name for item in tmp_path.iterdir()] == ["epoch-0003.h5"]


def test_data_reach_the_device_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    happened: list[str] = []
    sync, replace = os.fsync, Path.replace

    def syncing(descriptor: int) -> None:
        happened.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def replacing_(self: Path, target: Path) -> Path:
        happened.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(Path, "replace", replacing_)
    write_text(tmp_path / "run.json", "{}")
    assert happened == ["sync run.json.tmp", "replace", f"sync {tmp_path.name}"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    (tmp_path / "epoch-0001.h5").mkdir()
    for path in (tmp_path / "missing" / "epoch-0001.h5", tmp_path / "file" / "e.h5", tmp_path / "epoch-0001.h5"):
        with pytest.raises(SnapshotError, match="cannot be written") as caught:
            write_snapshot(path, content())
        assert str(path) in str(caught.value)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["epoch-0001.h5", "file"]


def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path):
    path = tmp_path / "epoch-0003.h5"
    write_snapshot(path, content())
    before = path.read_bytes()
    program = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from stored import content, layer
from masktools.errors import SnapshotError
from masktools.snapshot.write import write_snapshot
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
told = content(layers=(layer("w", (500, 600)),), topology=None)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_snapshot(sys.argv[1], told)
except SnapshotError as error:
    print(error)
"""
    tests = str(Path(__file__).parent)
    result = subprocess.run([sys.executable, "-c", program, path, tests], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"{path}: cannot be written" in result.stdout
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["epoch-0003.h5"]


@pytest.mark.parametrize(
    ("density", "most"),
    [(0.1, 0.485), (0.05, 0.306), (0.01, 0.120), (0.5, 1.01)],  # entropy bounds .469, .286, .081, 1
)
def test_bits_per_weight_stay_close_to_the_entropy(tmp_path: Path, density: float, most: float):
    mask = np.random.default_rng(0).random((1000, 2000)) < density
    told = content(layers=(LayerContent("w", PackedMask.from_bool(mask), None, "none"),), tensors={}, topology=None)
    with h5py.File(roundtrip(tmp_path, told).path) as file:
        assert 8 * file["masks/w"].id.get_storage_size() / mask.size < most


def test_dense_and_empty_masks_take_next_to_nothing(tmp_path: Path):
    for density in (0, 1):
        mask = np.full((1000, 2000), density, dtype=bool)
        told = content(layers=(LayerContent("w", PackedMask.from_bool(mask), None, "none"),), tensors={}, topology=None)
        assert roundtrip(tmp_path, told).path.stat().st_size < 8_000


@pytest.mark.parametrize(
    ("shape", "itemsize", "expected"),
    [
        ((5,), 4, (5,)),
        ((3_000_000,), 1, (2**20,)),
        ((1000, 1000), 4, (262, 1000)),
        ((1, 25_000_000), 4, (1, 2**18)),
        ((512, 512, 3, 3), 4, (56, 512, 3, 3)),
        ((3, 1000, 1000), 8, (1, 131, 1000)),
        ((2, 2, 2**21), 1, (1, 1, 2**20)),
    ],
)
def test_chunks_are_at_most_a_mebibyte(shape: tuple[int, ...], itemsize: int, expected: tuple[int, ...]):
    assert chunks.chunk_shape(shape, itemsize) == expected
    assert np.prod(expected) * itemsize <= 2**20


def test_values_in_many_chunks_are_exact(tmp_path: Path):
    rng = np.random.default_rng(0)
    tensors = {
        "edges": rng.standard_normal((700, 700)),  # 4 chunks, the last one cut
        "noise": rng.integers(0, 256, 2**20 + 9, dtype=np.uint8),  # cannot be compressed
        "mixed": np.concatenate([np.zeros(2**20, np.uint8), rng.integers(0, 256, 2**20, dtype=np.uint8)]),
        "deep": rng.standard_normal((3, 90, 90, 70)).astype(np.float16),
    }
    snapshot = roundtrip(tmp_path, content(tensors=tensors))
    for name, value in snapshot.tensors().items():
        assert np.array_equal(value, tensors[name])
    with h5py.File(snapshot.path) as file:
        for name, tensor in tensors.items():
            assert file["tensors"][name].id.get_num_chunks() > 1
            assert np.array_equal(file["tensors"][name][()], tensor)
        noise = file["tensors/noise"].id.get_chunk_info(0)
        assert (noise.size, noise.filter_mask) == (2**20, 1)  # stored as it is, not inflated


def test_writing_takes_little_more_memory_than_the_values(tmp_path: Path):
    told = content(tensors={"t": np.zeros((64, 2**16), dtype=np.float32)})
    tracemalloc.start()
    write_snapshot(tmp_path / "a.h5", told)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23  # 16 MiB of values, written a MiB at a time
