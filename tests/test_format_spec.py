"""The specification is enough: its example runs, and a reader and a writer made from it alone agree with ours."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stored import TOPOLOGY, content, everything

from masktools import errors
from masktools.run_writer import RunWriter
from masktools.runs import RUN_VERSION, open_run
from masktools.snapshot import layout
from masktools.snapshot.read import Snapshot
from masktools.snapshot.verify import verify_snapshot
from masktools.snapshot.write import write_snapshot
from masktools.topology.graph import OPERATORS, Heads, Node, View, Window
from masktools.topology.reach import effective_masks

SPECIFICATION = (Path(__file__).parent.parent / "docs" / "format.md").read_text(encoding="utf-8")


def table(heading: str) -> list[str]:
    """Return the first cells of the first table after a heading."""
    rest = SPECIFICATION.split(f"\n### {heading}\n")[1]
    rows = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert rows
    return [row.split("|")[1].strip().strip("`") for row in rows[0].splitlines()[2:]]


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def test_the_example_reads_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    example = re.search(r"```python\n(.*?)```", SPECIFICATION, re.DOTALL)
    assert example
    assert len(example[1].splitlines()) == 3
    write_snapshot(tmp_path / "epoch-0030.h5", content(epoch=30))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"h5py": h5py, "np": np}
    try:
        exec(example[1], names)
    finally:
        names["file"].close()
    assert names["mask"].dtype == np.bool_
    assert np.array_equal(names["mask"], content().layers[0].mask.to_bool())


def test_versions_agree():
    assert f"Version **{layout.ENCODING_VERSION}** of both" in SPECIFICATION
    assert layout.ENCODING_VERSION == RUN_VERSION
    assert f'"version": "{RUN_VERSION}"' in SPECIFICATION


def test_the_tables_name_what_the_files_hold(tmp_path: Path):
    write_snapshot(tmp_path / "s.h5", content())
    with h5py.File(tmp_path / "s.h5") as file:
        assert set(table("Root attributes")) == set(file.attrs)
        assert set(table("Masks")) == set(file["masks/fc1.weight"].attrs)
        for name in ("weights/fc1.weight", "tensors/fc1.bias", "topology"):
            assert set(file[name].attrs) == {"blake2b"}
        members = {row.split("/")[1] for row in table_of_members()}
        assert members - {""} == set(file)
    fields = table("Operator graph")
    assert fields == [field.name for field in dataclasses.fields(Node)]
    operators = SPECIFICATION.split("| operator | inputs | since | meaning |")[1].split("\n\n")[0]
    since = re.findall(r"^\| `(\w+)` \| [0-3](?: or more)? \| (1\.[01]) \|", operators, re.MULTILINE)
    assert [operator for operator, _ in since] == list(OPERATORS)
    assert {operator for operator, version in since if version == "1.0"} == FIRST_OPERATORS
    for part in (View, Heads, Window):
        assert all(f"`{field.name}`" in SPECIFICATION for field in dataclasses.fields(part))
    for element in layout.ELEMENTS:
        assert f"`{element}`" in SPECIFICATION


FIRST_OPERATORS = {
    "input", "linear", "conv2d", "add", "identity", "pool2d", "adaptive_pool2d", "flatten", "output",
}  # fmt: skip


def table_of_members() -> list[str]:
    rows = SPECIFICATION.split("| path | what | MUST be there |")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)


def put(item: h5py.HLObject, key: str, value: Any) -> None:
    """Write an attribute as the specification says, by other means than ours."""
    if isinstance(value, str):
        item.attrs[key] = np.bytes_(value.encode() or b"\0")
    else:
        item.attrs[key] = np.array(value, dtype=np.int32)


GRAPH = """{"nodes": [
    {"op": "input", "inputs": [], "shape": [2, 6, 5]},
    {"op": "conv2d", "inputs": [0], "shape": [4, 4, 3], "weight": "größe",
     "window": {"kernel": [3, 3], "stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}},
    {"op": "view", "inputs": [1], "shape": [4, 10], "view": {"sizes": [4, 5, 2], "strides": [12, 2, 1], "offset": 0}},
    {"op": "constant", "inputs": [], "shape": [4, 1]},
    {"op": "concat", "inputs": [3, 2], "shape": [4, 11], "axes": [1]},
    {"op": "resample", "inputs": [4], "shape": [4, 10],
     "reads": [[[0, 1], [2], [], [3], [4], [5], [6], [7], [8], [10]]]},
    {"op": "attention", "inputs": [4, 5, 5], "shape": [4, 11], "heads": {"count": 2, "causal": true}},
    {"op": "mul", "inputs": [6, 4], "shape": [4, 11]},
    {"op": "mix", "inputs": [7], "shape": [4, 11], "axes": [1]},
    {"op": "view", "inputs": [8], "shape": [40], "view": {"sizes": [4, 10], "strides": [11, -1], "offset": 10}},
    {"op": "linear", "inputs": [9], "shape": [30], "weight": "fc1.weight", "bias": "steps", "label": "head"},
    {"op": "output", "inputs": [10], "shape": [30]}
]}"""
"""Every field of the operator graph, written by hand."""


def write_by_the_text(path: Path, version: str = "1.0") -> str:
    """Write a small snapshot with h5py alone; return its content digest."""
    rng = np.random.default_rng(0)
    mask = rng.random((30, 40)) < 0.3
    conv = rng.random((4, 2, 3, 3)) < 0.5
    datasets: dict[str, tuple[Any, dict[str, Any]]] = {
        "masks/fc1.weight": (
            np.packbits(mask),
            {
                "position": 1,
                "shape": [30, 40],
                "axes": "out,in",
                "bitorder": "big",
                "active": int(mask.sum()),
                "prunable": 1,
                "weights": "active",
            },
        ),
        "masks/größe": (
            np.packbits(conv),
            {
                "position": 0,
                "shape": [4, 2, 3, 3],
                "axes": "",
                "bitorder": "big",
                "active": int(conv.sum()),
                "prunable": 0,
                "weights": "none",
            },
        ),
        "weights/fc1.weight": (rng.standard_normal(int(mask.sum())).astype("<f2"), {}),
        "tensors/steps": (np.array(5, dtype="<i8"), {}),
        "tensors/flags": (np.array([True, False]), {}),
    }
    if version != "1.0":
        datasets["topology"] = (np.frombuffer(GRAPH.encode(), dtype=np.uint8), {})
    root = {
        "encoding-type": "masktools-snapshot",
        "encoding-version": version,
        "epoch": 4,
        "step": 44,
        "config": '{ "name":\t"größe \\"x\\"" }',
        "extra": "{}",
    }
    listed = []
    with h5py.File(path, "w") as file:
        for key, value in root.items():
            put(file, key, value)
        for name, (values, attributes) in datasets.items():
            chunked = {"chunks": (60,), "compression": "gzip", "shuffle": True} if values.size > 100 else {}
            item = file.create_dataset(name, data=values, **chunked)
            attributes = {**attributes, "blake2b": digest(values.tobytes())}
            for key, value in attributes.items():
                put(item, key, value)
            listed.append([name, values.dtype.str, list(values.shape), attributes])
        total = digest(canonical([root, sorted(listed)]))
        put(file, "content-blake2b", total)
    return total


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_writer_made_from_the_text_is_read(tmp_path: Path, version: str):
    total = write_by_the_text(tmp_path / "epoch-0004.h5", version)
    snapshot = Snapshot(tmp_path / "epoch-0004.h5")
    assert verify_snapshot(snapshot) == total
    assert list(snapshot.layers) == ["größe", "fc1.weight"]
    assert snapshot.config == {"name": 'größe "x"'}
    assert snapshot.weight("fc1.weight").dtype == np.float16
    assert snapshot.tensors()["steps"] == 5
    assert open_run(tmp_path).epochs == (4,)
    if version == "1.0":
        assert snapshot.topology is None
        return
    assert snapshot.topology
    assert json.loads(snapshot.topology.to_json()) == json.loads(GRAPH)
    # By the text every position of the map is reached and read: all taps count, of units that the head reads.
    kept = effective_masks(snapshot.topology, {name: snapshot.mask(name) for name in snapshot.layers})
    assert np.array_equal(kept["fc1.weight"], snapshot.mask("fc1.weight"))
    assert np.array_equal(kept["größe"], snapshot.mask("größe"))


def test_a_reader_made_from_the_text_reads_ours(tmp_path: Path):
    told = content(config={"text": 'größe "\\ \n\t\x01 \U0001f600 \u2028'})
    write_snapshot(tmp_path / "s.h5", told)
    listed = []
    with h5py.File(tmp_path / "s.h5") as file:
        assert file["masks/fc1.weight"].attrs["position"] == 0
        for layer in told.layers:
            item = file["masks"][layer.name]
            mask = np.unpackbits(item[()], count=layer.mask.size).reshape(item.attrs["shape"]).astype(bool)
            assert np.array_equal(mask, layer.mask.to_bool())
            values = file["weights"][layer.name][()]
            assert np.array_equal(values, layer.values)
            assert values.shape == ((mask.sum(),) if item.attrs["weights"] == b"active" else mask.shape)
        assert json.loads(file["topology"][()].tobytes()) == json.loads(TOPOLOGY.to_json())
        names = [f"{group}/{name}" for group in ("masks", "weights", "tensors") for name in file[group]]
        for name in [*names, "topology"]:
            item = file[name]
            attributes = {key: plain(item.attrs[key]) for key in item.attrs}
            assert attributes["blake2b"] == digest(item[()].tobytes())
            listed.append([name, item.dtype.str, list(item.shape), attributes])
        root = {key: plain(file.attrs[key]) for key in file.attrs}
    total = root.pop("content-blake2b")
    assert total == digest(canonical([root, sorted(listed)]))
    assert json.loads(root["config"]) == told.config


def plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.tolist()


def test_a_run_made_from_the_text_is_read(tmp_path: Path):
    write_by_the_text(tmp_path / "epoch-0004.h5")
    (tmp_path / "run.json").write_text('{"format": "masktools-run", "version": "1.0", "config": {"seed": 3}}')
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 3, "loss": null}\n{"epoch": 4, "lo')
    (tmp_path / "epoch-0005.h5.tmp").write_text("half")
    (tmp_path / "notes.md").write_text("mine")
    run = open_run(tmp_path)
    assert run.config == {"seed": 3}
    assert run.metrics == [{"epoch": 3, "loss": None}]
    assert [everything(snapshot)[0] for snapshot in run] == [4]
    (tmp_path / "epoch-0004.h5").rename(tmp_path / "epoch-0006.h5")
    with pytest.raises(errors.SnapshotError, match="its name says 6"):
        open_run(tmp_path).final.layers  # noqa: B018


def test_our_runs_are_as_the_text_says(tmp_path: Path):
    writer = RunWriter(tmp_path / "run")
    writer.describe({"config": {"seed": 0}})
    writer.metrics([{"epoch": 0, "loss": float("nan")}])
    writer.snapshot(content())
    assert sorted(path.name for path in writer.path.iterdir()) == ["epoch-0003.h5", "metrics.jsonl", "run.json"]
    identity = json.loads((writer.path / "run.json").read_text())
    assert identity == {"format": "masktools-run", "version": "1.1", "config": {"seed": 0}}
    assert (writer.path / "metrics.jsonl").read_text() == '{"epoch": 0, "loss": null}\n'
