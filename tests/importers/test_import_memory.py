"""Importing a file that is larger than memory: what is in memory is less than its largest tensor."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from masktools.runs import open_run
from masktools_train import import_run

MIB = 2**20
TENSORS, ROWS, COLUMNS = 12, 1024, 2048
LARGEST = 4 * ROWS * COLUMNS
"""Bytes of a tensor: 8 MiB as float32, which bfloat16 becomes."""


def write_shard(path: Path, names, kind, rng) -> None:
    """Write a shard by the format's own description, tensor by tensor, nine weights of ten 0."""
    item = 2 if kind == "BF16" else 4
    size = ROWS * COLUMNS * item
    header = {
        name: {"dtype": kind, "shape": [ROWS, COLUMNS], "data_offsets": [index * size, (index + 1) * size]}
        for index, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in names:
            weight = rng.standard_normal((ROWS, COLUMNS), dtype=np.float32)
            weight[rng.random((ROWS, COLUMNS), dtype=np.float32) < 0.9] = 0
            file.write((weight.view(np.uint32) >> 16).astype("<u2").tobytes() if kind == "BF16" else weight.tobytes())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("F32", {}),
        ("BF16", {"density": 0.1}),
        ("F32", {"density": 0.1, "distribution": "global"}),
        ("BF16", {"weights": "dense"}),
    ],
    ids=str,
)
def test_a_sharded_folder_is_imported_in_less_memory_than_its_largest_tensor(tmp_path: Path, kind, options):
    rng = np.random.default_rng(0)
    folder = tmp_path / "model"
    folder.mkdir()
    names = [f"layers.{index}.weight" for index in range(TENSORS)]
    where = {name: f"model-{1 + index // 4}.safetensors" for index, name in enumerate(names)}
    for file in sorted(set(where.values())):
        write_shard(folder / file, [name for name in names if where[name] == file], kind, rng)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    small = tmp_path / "small.npz"
    np.savez(small, **{"a.weight": np.eye(4, dtype=np.float32)})
    import_run(small, tmp_path / "small")  # modules are loaded by now
    tracemalloc.start()
    try:
        import_run(folder, tmp_path / "run", **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 1.5 * LARGEST, f"{peak / MIB:.1f} MiB"
    final = open_run(tmp_path / "run").final
    assert list(final.layers) == names  # 10 after 9
    assert final.density == pytest.approx(0.1, abs=2e-3)
    assert final.layers[names[-1]].size == ROWS * COLUMNS


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path):
    script = Path(__file__).parents[2] / "benchmarks" / "import_memory.py"
    call = [sys.executable, script, "--scale", "64", "--random", "--folder", tmp_path]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    first, *rows = done.stdout.splitlines()
    assert first.startswith("1.6 million weights, 3 MB; largest tensor 0.1 MiB")
    assert [row.split("  ")[0] for row in rows] == ["zeros", "density 0.1, each layer", "density 0.1, all layers"]
