"""Networks in the formats of other programs: arrays, edge lists, tables."""

import csv
import json
import sys
import zipfile

import numpy as np
import pytest
from pyarrow import parquet
from stored import content, layer

from masktools import __version__
from masktools.errors import MasktoolsError, SnapshotError, StructureError
from masktools.exporters.registry import FORMATS, find_format, write_export
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent
from masktools.structure.source import recorded

MASKED = np.array([[1, 0, 1], [0, 0, 1]], dtype=np.bool_)


@pytest.fixture
def moment(tmp_path):
    """Return a function that writes a snapshot of some content and returns it as it is recorded."""

    def make(**changes):
        writer = RunWriter(tmp_path / "a run")
        writer.snapshot(content(**changes))
        return recorded(writer.path)

    return make


@pytest.fixture
def exported(moment, tmp_path):
    """Return a function that exports a snapshot of some content, and returns it and the file."""

    def make(name, graph=None, **changes):
        found = moment(**changes)
        path = tmp_path / name
        write_export(found, path, find_format(path, None), graph)
        return found, path

    return make


def arrays_of(moment):
    """Return what formats of arrays must hold, made from the snapshot alone."""
    snapshot = moment.snapshot
    arrays = dict(snapshot.tensors())
    for name in snapshot.layers:
        mask = snapshot.mask(name)
        arrays[f"{name}_mask"] = mask
        if snapshot.layer(name).weights != "none":
            weight = snapshot.weight(name)
            weight[~mask] = 0
            arrays[name] = weight
    return arrays


def same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert np.array_equal(found[name], array), name


def read_safetensors(path):
    """Read a file as the specification of the format says."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    about = header.pop("__metadata__")
    types = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BOOL": "?", "I64": "<i8"}
    arrays, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = entry["data_offsets"]
        assert begin == end, "no holes are allowed"
        dtype, end = np.dtype(types[entry["dtype"]]), stop
        assert (8 + length + begin) % dtype.itemsize == 0
        arrays[name] = np.frombuffer(body[begin:stop], dtype).reshape(entry["shape"])
    assert end == len(body)
    return about, arrays


KINDS = {
    "one dense": {},
    "precisions": {"layers": (layer("a.weight", (3, 4, 2, 2), dtype="f2"), layer("b.weight", (5, 3), dtype="f8"))},
    "without weights": {"layers": (layer("a.weight", (3, 4), "none"),)},
    "an empty layer": {"layers": (layer("a.weight", (0, 4)), layer("b.weight", (3, 0, 2, 2)))},
}


@pytest.mark.parametrize("changes", [{**each, "topology": None} for each in KINDS.values()], ids=list(KINDS))
def test_npz_holds_every_array(exported, changes):
    moment, path = exported("network.npz", **changes)
    with np.load(path) as archive:
        same(dict(archive), arrays_of(moment))


@pytest.mark.parametrize("changes", [{**each, "topology": None} for each in KINDS.values()], ids=list(KINDS))
def test_safetensors_hold_every_array(exported, changes):
    moment, path = exported("network.safetensors", **changes)
    about, arrays = read_safetensors(path)
    assert about == {"masktools": __version__, "epoch": "3", "run": "a run"}
    same(arrays, arrays_of(moment))


@pytest.mark.parametrize("name", ["network.npz", "network.safetensors"])
def test_the_same_network_makes_the_same_bytes(exported, name):
    _, path = exported(name)
    first = path.read_bytes()
    assert exported(name)[1].read_bytes() == first


def test_npz_is_compressed(exported):
    _, path = exported("network.npz", layers=(layer("a.weight", (100, 100)),), topology=None)
    with zipfile.ZipFile(path) as archive:
        mask = archive.getinfo("a.weight_mask.npy")
    assert mask.compress_size < mask.file_size / 3


def test_inactive_weights_of_dense_snapshots_are_0(exported):
    item = LayerContent.from_dense("a.weight", MASKED, np.full((2, 3), 7, np.float32), "dense")
    _, path = exported("network.npz", layers=(item,), topology=None)
    with np.load(path) as archive:
        assert archive["a.weight"].tolist() == [[7, 0, 7], [0, 0, 7]]


def test_axes_are_brought_into_the_order_of_pytorch(exported):
    item = LayerContent.from_dense("a.weight", MASKED, np.arange(6, dtype=np.float32).reshape(2, 3), axes="in,out")
    moment, path = exported("network.npz", layers=(item,), topology=None)
    with np.load(path) as archive:
        assert np.array_equal(archive["a.weight_mask"], MASKED.T)
        assert archive["a.weight"].tolist() == [[0, 0], [0, 0], [2, 5]]
    write_export(moment, path.with_suffix(".csv"), FORMATS["csv"])
    assert rows_of(path.with_suffix(".csv"))[1:] == [
        ["a.weight", "0", "0", "1"],
        ["a.weight", "2", "0", "1"],
        ["a.weight", "2", "1", "1"],
    ]


@pytest.mark.parametrize("name", ["network.npz", "network.safetensors"])
def test_arrays_must_be_told_apart(exported, name):
    tensors = {"fc1.weight_mask": np.zeros(3)}
    with pytest.raises(StructureError, match=r"epoch-0003\.h5: two arrays would have the name 'fc1\.weight_mask'"):
        exported(name, tensors=tensors)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


CONV = np.zeros((2, 3, 2, 2), dtype=np.bool_)
CONV[0, 1] = [[1, 0], [1, 1]]
CONV[1, 2, 1, 0] = True


def conv(kind="active"):
    weight = np.arange(24, dtype=np.float32).reshape(CONV.shape) / 10
    return LayerContent.from_dense("odd,name", CONV, weight, kind)


def test_edges_by_hand(exported):
    _, path = exported("edges.csv", layers=(conv(),), topology=None)
    assert rows_of(path) == [
        ["layer", "out", "in", "taps"],
        ["odd,name", "0", "1", "3"],
        ["odd,name", "1", "2", "1"],
    ]
    _, path = exported("edges.csv", "weights", layers=(conv(),), topology=None)
    assert rows_of(path) == [
        ["layer", "out", "in", "kernel", "value"],
        ["odd,name", "0", "1", "0", "0.4"],
        ["odd,name", "0", "1", "2", "0.6"],
        ["odd,name", "0", "1", "3", "0.7"],
        ["odd,name", "1", "2", "2", "2.2"],
    ]


def test_values_are_empty_where_there_are_none(exported):
    _, path = exported("edges.csv", "weights", layers=(conv("none"),), topology=None)
    assert [row[4] for row in rows_of(path)[1:]] == [""] * 4
    _, path = exported("edges.parquet", "weights", layers=(conv("none"),), topology=None)
    assert parquet.read_table(path)["value"].null_count == 4


@pytest.mark.parametrize("graph", ["channels", "weights"])
def test_parquet_has_the_rows_of_csv(exported, graph):
    layers = (layer("a.weight", (40, 30, 3, 3)), layer("b.weight", (0, 3)), layer("c.weight", (7, 30), "dense"))
    _, text = exported("edges.csv", graph, layers=layers, topology=None)
    moment, path = exported("edges.parquet", graph, layers=layers, topology=None)
    table = parquet.read_table(path)
    names, *rows = rows_of(text)
    assert table.column_names == names
    assert table.num_rows == len(rows) > 1000
    assert {key.decode(): value.decode() for key, value in table.schema.metadata.items()} == {
        "masktools": __version__,
        "epoch": "3",
        "run": "a run",
    }
    for place, name in enumerate(names):
        column = table[name].to_numpy()
        assert np.array_equal(column, np.array([row[place] for row in rows], dtype=column.dtype)), name
    if graph == "channels":
        assert table["taps"].to_numpy().sum() == moment.snapshot.active
    else:
        assert table.num_rows == moment.snapshot.active


def test_wide_values_are_not_rounded(exported):
    _, path = exported("edges.parquet", "weights", layers=(layer("b.weight", (5, 3), dtype="f8"),), topology=None)
    value = parquet.read_table(path)["value"].to_numpy()
    assert value.dtype == np.float64
    assert (value != value.astype(np.float32)).any()


def test_a_layer_without_outputs_and_inputs_has_no_edges(exported):
    with pytest.raises(StructureError, match=r"layer gain of shape \(9,\) has no inputs and outputs"):
        exported("edges.csv", layers=(layer("gain", (9,)),), topology=None)


def test_parquet_without_pyarrow_is_one_sentence(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MasktoolsError, match="pip install pyarrow"):
        exported("edges.parquet")


def test_a_file_that_is_there_is_replaced_by_a_whole_one_only(exported, moment, tmp_path):
    path = tmp_path / "network.npz"
    path.write_text("old")
    broken = moment(layers=(conv(),), topology=None)
    (tmp_path / "a run" / "epoch-0003.h5").write_text("no snapshot")
    with pytest.raises(SnapshotError):
        write_export(broken, path, FORMATS["npz"])
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["network.npz"]
    exported("network.npz")
    assert np.load(path)["fc1.bias"].shape == (30,)


def test_formats_are_found_by_ending_or_name(tmp_path):
    assert find_format(tmp_path / "A.NPZ", None) is FORMATS["npz"]
    assert find_format(tmp_path / "a.npz", "csv") is FORMATS["csv"]
    with pytest.raises(StructureError, match=r"a: no format has this ending; there are \.graphml, \.dot, \.npz, "):
        find_format(tmp_path / "a", None)
    with pytest.raises(StructureError, match="no format 'zip'"):
        find_format(tmp_path / "a.npz", "zip")


def test_graphs_that_a_format_does_not_hold_are_refused(exported):
    with pytest.raises(StructureError, match=r"a\.npz: cannot be written with --graph weights: .* holds arrays"):
        exported("a.npz", "weights")
    with pytest.raises(StructureError, match="this format takes --graph channels or weights"):
        exported("a.csv", "operators")
