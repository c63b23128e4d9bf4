"""The specification is enough: its example runs, and a reader and a writer made from it alone agree with ours."""

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
from masktools.runs import RUN_VERSION, RunWriter, open_run
from masktools.snapshot import layout
from masktools.snapshot.read import Snapshot
from masktools.snapshot.verify import verify_snapshot
from masktools.snapshot.write import write_snapshot
from masktools.topology.graph import OPERATORS

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
    assert set(fields) == {"op", "inputs", "shape", "weight", "bias", "window", "label"}
    operators = SPECIFICATION.split("| operator | inputs | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", operators, re.MULTILINE) == list(OPERATORS)
    for element in layout.ELEMENTS:
        assert f"`{element}`" in SPECIFICATION


def table_of_members() -> list[str]:
    rows = SPECIFICATION.split("| path | what | MUST be there |")[1].split("\n\n")[0]
    return re.findall(r"^\| `([^`]+)`", rows, re.MULTILINE)


def put(item: h5py.HLObject, key: str, value: Any) -> None:
    """Write an attribute as the specification says, by other means than ours."""
    if isinstance(value, str):
        item.attrs[key] = np.bytes_(value.encode() or b"\0")
    else:
        item.attrs[key] = np.array(value, dtype=np.int32)


def write_by_the_text(path: Path) -> str:
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
    root = {
        "encoding-type": "masktools-snapshot",
        "encoding-version": "1.0",
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


def test_a_writer_made_from_the_text_is_read(tmp_path: Path):
    total = write_by_the_text(tmp_path / "epoch-0004.h5")
    snapshot = Snapshot(tmp_path / "epoch-0004.h5")
    assert verify_snapshot(snapshot) == total
    assert list(snapshot.layers) == ["größe", "fc1.weight"]
    assert snapshot.config == {"name": 'größe "x"'}
    assert snapshot.weight("fc1.weight").dtype == np.float16
    assert snapshot.tensors()["steps"] == 5
    assert open_run(tmp_path).epochs == (4,)


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
    assert identity == {"format": "masktools-run", "version": "1.0", "config": {"seed": 0}}
    assert (writer.path / "metrics.jsonl").read_text() == '{"epoch": 0, "loss": null}\n'
