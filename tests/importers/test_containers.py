"""safetensors and npz: what their own programs write is read, what is damaged is refused in one sentence."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from masktools.errors import CheckpointError
from masktools.importers.npz_file import read_npz
from masktools.importers.safetensors_file import read_safetensors

RNG = np.random.default_rng(0)
ARRAYS = {
    "a.weight": RNG.standard_normal((3, 4)).astype(np.float32),
    "b.half": RNG.standard_normal((2, 2)).astype(np.float16),
    "c.double": RNG.standard_normal(300_000),  # several pieces
    "flags": RNG.random(5) < 0.5,
    "count": np.array(3, np.int64),
    "none": np.zeros((0, 2), np.float32),
}


def stored(header, data=b"", extra=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data + extra


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def test_what_safetensors_writes_is_read(tmp_path: Path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"format": "np"})
    found = read_safetensors(tmp_path / "a.safetensors")
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert np.array_equal(found[name].read(), array)
        assert np.array_equal(found[name].read(), array)  # and again


def test_bfloat16_comes_as_float32_without_loss(tmp_path: Path):
    exact = np.array([1.0, -2.5, 3.140625, np.inf, 0.0], np.float32)
    data = (exact.view(np.uint32) >> 16).astype("<u2").tobytes()
    (tmp_path / "a.safetensors").write_bytes(stored({"w": entry("BF16", (5,), (0, 10))}, data))
    found = read_safetensors(tmp_path / "a.safetensors")["w"]
    assert found.dtype == np.float32
    assert np.array_equal(found.read(), exact)


def test_shards_are_one_checkpoint(tmp_path: Path):
    names = list(ARRAYS)
    save_file = pytest.importorskip("safetensors.numpy").save_file
    for index in (0, 1):
        save_file({name: ARRAYS[name] for name in names[index::2]}, tmp_path / f"m-{index}.safetensors")
    weight_map = {name: f"m-{place % 2}.safetensors" for place, name in enumerate(names)}
    index_file = tmp_path / "m.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": weight_map}))
    found = read_safetensors(index_file)
    assert {name: array.read().tolist() for name, array in found.items()} == {
        name: array.tolist() for name, array in ARRAYS.items()
    }
    for wrong, words in (
        ({**weight_map, "lost": "m-0.safetensors"}, "array 'lost' is in none"),
        ({**weight_map, "x": "../m-0.safetensors"}, "no file beside it"),
        ({**weight_map, "x": "m-2.safetensors"}, "no file beside it"),
    ):
        index_file.write_text(json.dumps({"weight_map": wrong}))
        with pytest.raises(CheckpointError, match=words):
            read_safetensors(index_file)
    index_file.write_text("[1]")
    with pytest.raises(CheckpointError, match="no index of safetensors files"):
        read_safetensors(index_file)
    save_file({names[0]: ARRAYS[names[0]]}, tmp_path / "m-1.safetensors")
    index_file.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError, match="is in another shard too"):
        read_safetensors(index_file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "header of 0 bytes"),
        (b"\xff" * 30, "damaged: a header of"),
        (b"\x04" + bytes(7) + b"{{{{", "damaged"),
        (stored([1, 2]), "no JSON object"),
        (stored({"w": 3}), "does not describe it"),
        (stored({"w": entry()}), "its header tells of 8"),
        (stored({"w": entry()}, bytes(8), b"more"), "holds 12 bytes of arrays"),
        (stored({"w": entry("F8_E4M3", (8,))}, bytes(8)), "type 'F8_E4M3' are not read"),
        (stored({"w": entry(shape=(3,))}, bytes(8)), "is no place for F32"),
        (stored({"w": entry(shape=(-2,))}, bytes(8)), "does not give its shape"),
        (stored({"w": entry(shape=(2.0,))}, bytes(8)), "does not give its shape"),
        (stored({"w": entry(offsets=(0, 8, 8))}, bytes(8)), "is no place"),
        (stored({"w": entry(offsets=(4, 12))}, bytes(12)), "do not follow"),
        (stored({"v": entry(), "w": entry(offsets=(4, 12))}, bytes(12)), "do not follow"),
        (b"\x0d" + bytes(7) + b'{"a":1,"a":2}', "a key is there twice"),
    ],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, content, words):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_safetensors(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(stored({"w": entry()}, bytes(8)))
    found = read_safetensors(path)["w"]
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="the file ends within it"):
        found.read()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path: Path, save):
    columns = np.asfortranarray(RNG.standard_normal((4, 5)))
    save(tmp_path / "a.npz", **ARRAYS, columns=columns)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == [*ARRAYS, "columns"]
    for name, array in {**ARRAYS, "columns": columns}.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert np.array_equal(found[name].read(), array)


def test_a_damaged_archive_is_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, w=np.ones(1000))
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[:200], whole.replace(b"NUMPY", b"NUMPX")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"a.npz: is no archive of NumPy, or it is damaged"):
            read_npz(path)
    path.write_bytes(whole[:400] + bytes(100) + whole[500:])
    found = read_npz(path)["w"]
    with pytest.raises(CheckpointError, match="damaged"):  # the checksum of zip
        found.read()


def test_an_array_of_objects_is_refused_without_being_read(tmp_path: Path):
    np.savez(tmp_path / "a.npz", w=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="w: holds objects or records, not numbers"):
        read_npz(tmp_path / "a.npz")


def test_an_archive_that_claims_more_than_it_holds_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**9)})
    with pytest.raises(CheckpointError, match="claims 4000000000000000000 bytes"):
        read_npz(tmp_path / "a.npz")
