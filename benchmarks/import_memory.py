"""What importing a checkpoint of seven billion parameters costs: memory, as a share of its largest tensor, and time.

The checkpoint has the shapes of Llama 2 7B, in bfloat16, in shards with an index. By default its files are holes, so
that they take no space on disk and all weights are 0; ``--random`` fills them with weights, one in ten of them not 0.
Memory is the growth of the resident set over what it was when all modules were loaded, in a process of its own.

Run it with ``python benchmarks/import_memory.py --scale 8``: every extent an eighth, a sixty-fourth of the weights.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

MIB = 2**20
WIDTH, INNER, VOCABULARY, BLOCKS = 4096, 11008, 32000, 32


def shapes(scale: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the network, every extent divided by `scale`."""
    width, inner, vocabulary = WIDTH // scale, INNER // scale, VOCABULARY // scale
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    for block in range(BLOCKS):
        name = f"model.layers.{block}"
        found |= {f"{name}.self_attn.{part}_proj.weight": (width, width) for part in "qkvo"}
        found |= {f"{name}.mlp.{part}_proj.weight": (inner, width) for part in ("gate", "up")}
        found[f"{name}.mlp.down_proj.weight"] = (width, inner)
        found |= {f"{name}.{norm}_layernorm.weight": (width,) for norm in ("input", "post_attention")}
    found["model.norm.weight"] = (width,)
    found["lm_head.weight"] = (vocabulary, width)
    return found


def write(folder: Path, scale: int, random: bool) -> int:
    """Write the checkpoint in two shards, and return the number of its weights."""
    names = shapes(scale)
    where = {name: f"model-{1 + index * 2 // len(names)}.safetensors" for index, name in enumerate(names)}
    rng = np.random.default_rng(0)
    for file in sorted(set(where.values())):
        header, end = {}, 0
        mine = {name: shape for name, shape in names.items() if where[name] == file}
        for name, shape in mine.items():
            begin, end = end, end + 2 * math.prod(shape)
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            if random:
                for shape in mine.values():
                    for _ in range(shape[0]):
                        row = rng.standard_normal(math.prod(shape[1:]), dtype=np.float32)
                        row[rng.random(row.size, dtype=np.float32) < 0.9] = 0
                        stream.write((row.view(np.uint32) >> 16).astype("<u2").tobytes())
            stream.truncate(8 + len(text) + end)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return sum(map(math.prod, names.values()))


def peak() -> int:
    """Return the largest resident set of this process so far, bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(folder: Path, out: Path, options: dict[str, object]) -> None:
    """Import in this process, and print memory and time as JSON."""
    from masktools_train import import_run

    np.savez(out.with_suffix(".npz"), **{"a.weight": np.eye(4)})
    import_run(out.with_suffix(".npz"), out.with_name("small"), overwrite=True)
    before, start = peak(), time.perf_counter()
    result = import_run(folder, out, **options)  # type: ignore[arg-type]
    print(json.dumps({"bytes": peak() - before, "seconds": time.perf_counter() - start, "active": result.final.active}))


def main() -> None:
    """Make the checkpoint, import it in several ways, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=int, default=1, help="divide every extent by this")
    parser.add_argument("--random", action="store_true", help="weights instead of holes; takes the space on disk")
    parser.add_argument("--folder", type=Path, default=None, help="where to work; a temporary folder by default")
    parser.add_argument("--measure", type=json.loads, default=None, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        measure(asked.folder / "model", asked.folder / "run", asked.measure)
        return
    ways: dict[str, dict[str, object]] = {
        "zeros": {},
        "density 0.1, each layer": {"density": 0.1},
        "density 0.1, all layers": {"density": 0.1, "distribution": "global"},
    }
    largest = 4 * max(map(math.prod, shapes(asked.scale).values()))
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        (Path(name) / "model").mkdir()
        count = write(Path(name) / "model", asked.scale, asked.random)
        print(f"{count / 1e6:.1f} million weights, {2 * count / 1e6:.0f} MB; largest tensor {largest / MIB:.1f} MiB")
        for way, options in ways.items():
            call = [sys.executable, __file__, "--folder", name, "--measure", json.dumps({**options, "overwrite": True})]
            found = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)
            share, rate = found["bytes"] / largest, 2 * count / 1e6 / found["seconds"]
            print(
                f"{way:24} {found['bytes'] / MIB:7.1f} MiB = {share:5.2f} x largest tensor as float32; "
                f"{found['seconds']:7.1f} s, {rate:6.0f} MB/s of bfloat16; {found['active']} active"
            )


if __name__ == "__main__":
    main()
