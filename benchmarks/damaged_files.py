"""Damage snapshots in every way, and read, describe and compare them: one clear error is all that may come of it.

    python benchmarks/damaged_files.py --files 20000

Half of the files are damaged in their bytes (bits, blocks, truncation), half through h5py as someone might who means
harm: shapes, types, filters, links, attributes, digests made to fit again. Each goes through `open_run`, everything of
the snapshot, `summarize`, `compare` and `connectivity`. Counted are escapes (an exception that is no
`MasktoolsError`), hangs (over two seconds), and the largest memory of the process.
"""

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import numpy as np

import masktools as mt
from masktools.snapshot.layout import array_digest
from masktools.snapshot.verify import verify_snapshot

ROOT = Path(__file__).parents[1]
Random = np.random.Generator


def bytes_damaged(path: Path, rng: Random) -> None:
    """Flip, overwrite, move, cut or add bytes."""
    data = bytearray(path.read_bytes())
    first, second = (int(place) for place in rng.integers(len(data), size=2))
    match int(rng.integers(6)):
        case 0:
            del data[first:]
        case 1:
            data[first] ^= 1 << int(rng.integers(8))
        case 2:
            data[first : first + 8] = rng.bytes(8)
        case 3:
            data[first : first + 32] = data[second : second + 32]
        case 4:
            del data[first : first + int(rng.integers(1, 64))]
        case _:
            for place in rng.integers(len(data), size=int(rng.integers(2, 12))):
                data[place] = int(rng.integers(256))
    path.write_bytes(data)


def some_dataset(file: h5py.File, rng: Random) -> str:
    """Return the path of a dataset."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names[int(rng.integers(len(names)))]


def reshaped(file: h5py.File, rng: Random) -> None:
    """Put an array of another shape, with its digest, in the place of a dataset."""
    name = some_dataset(file, rng)
    old, described = file[name][()], dict(file[name].attrs)
    shapes = [(), (0,), (1,), (old.size + 1,), (max(1, old.size - 1),), (2, old.size), (1,) * 9]
    new = np.resize(old, shapes[int(rng.integers(len(shapes)))])
    replace(file, name, {"data": new}, {**described, "blake2b": np.bytes_(array_digest(new))})


def retyped(file: h5py.File, rng: Random) -> None:
    """Give a dataset another element type."""
    name = some_dataset(file, rng)
    old, described = file[name][()], dict(file[name].attrs)
    kinds: list[Any] = ["i8", "f2", ">f8", "S3", "c16", "b1", "V8", h5py.string_dtype(), [("a", "i4"), ("b", "f8")]]
    kind = kinds[int(rng.integers(len(kinds)))]
    replace(file, name, {"shape": old.shape, "dtype": kind}, described)


def enormous(file: h5py.File, rng: Random) -> None:
    """Let a dataset claim far more than is stored."""
    name = some_dataset(file, rng)
    described = dict(file[name].attrs)
    extent = int(10 ** rng.uniform(6, 15))
    filters: dict[str, Any] = {"chunks": (min(extent, 2**20),), "compression": "gzip"} if rng.random() < 0.7 else {}
    if not filters:
        extent = min(extent, 10**9)
    replace(file, name, {"shape": (extent,), "dtype": "u1", **filters}, {**described, "shape": [extent, 8]})


def linked(file: h5py.File, rng: Random) -> None:
    """Put a link in the place of a dataset or a group."""
    name = some_dataset(file, rng) if rng.random() < 0.7 else ["masks", "weights", "tensors"][int(rng.integers(3))]
    del file[name]
    targets: list[Any] = [
        h5py.SoftLink("/masks"),
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/no/where"),
        h5py.ExternalLink("/etc/passwd", "/"),
        h5py.ExternalLink(file.filename, "/masks"),
        file["/"],
    ]
    file[name] = targets[int(rng.integers(len(targets)))]


def stored_elsewhere(file: h5py.File, rng: Random) -> None:
    """Let the values of a dataset lie in another file."""
    name = some_dataset(file, rng)
    described, size = dict(file[name].attrs), max(1, file[name].size)
    del file[name]
    if rng.random() < 0.5:
        item = file.create_dataset(name, shape=(size,), dtype="u1", external=[("/etc/passwd", 0, size)])
    else:
        layout = h5py.VirtualLayout(shape=(size,), dtype="u1")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(size,))
        item = file.create_virtual_dataset(name, layout)
    describe(item, described)


def attribute_changed(file: h5py.File, rng: Random) -> None:
    """Change, remove or add an attribute of the file or a dataset."""
    item = file if rng.random() < 0.4 else file[some_dataset(file, rng)]
    keys = [*item.attrs, "more"]
    key = keys[int(rng.integers(len(keys)))]
    values: list[Any] = [
        -1, 0, 2**62, 2**63, 1.5, float("nan"), "", "x" * 50_000, "[" * 5000, "{}", "[]", "1.0", "2.0", "1.9", "a.b",
        b"\xff\xfe", np.zeros(3), np.zeros((2, 2), "i8"), [2**40, 2**40], [-1, 3], [], h5py.Empty("f4"), True,
        np.array(["a", "b"], dtype=object),
    ]  # fmt: skip
    if key in item.attrs and rng.random() < 0.3:
        del item.attrs[key]
    else:
        item.attrs[key] = values[int(rng.integers(len(values)))]


def nested(file: h5py.File, rng: Random) -> None:
    """Add deep, wide or cyclic groups."""
    group = file[["masks", "weights", "tensors", "/"][int(rng.integers(4))]]
    match int(rng.integers(3)):
        case 0:
            for _ in range(200):
                group = group.create_group("g")
        case 1:
            for number in range(500):
                group.create_group(f"g{number}")
        case _:
            group["loop"] = file["/"]


def poisoned(file: h5py.File, rng: Random) -> None:
    """Write NaN, infinity or ones into values, and make the digest fit."""
    name = some_dataset(file, rng)
    old, described = file[name][()], dict(file[name].attrs)
    new = np.full_like(
        old, [1, 0, 255][int(rng.integers(3))] if old.dtype.kind != "f" else [np.nan, np.inf, -1][int(rng.integers(3))]
    )
    replace(file, name, {"data": new}, {**described, "blake2b": np.bytes_(array_digest(new))})


def replace(file: h5py.File, name: str, created: dict[str, Any], described: dict[str, Any]) -> None:
    """Create a dataset in the place of another, with its attributes."""
    del file[name]
    describe(file.create_dataset(name, **created), described)


def describe(item: h5py.Dataset, described: dict[str, Any]) -> None:
    """Set attributes."""
    for key, value in described.items():
        item.attrs[key] = value


HARM: tuple[Callable[[h5py.File, Random], None], ...] = (
    reshaped, retyped, enormous, linked, stored_elsewhere, attribute_changed, attribute_changed, nested, poisoned,
)  # fmt: skip


def damaged(path: Path, rng: Random) -> str:
    """Damage a file in place; return how."""
    if rng.random() < 0.5:
        bytes_damaged(path, rng)
        return "bytes"
    harm = HARM[int(rng.integers(len(HARM)))]
    # h5py refuses some combinations; what it did until then is damage enough.
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RuntimeError), h5py.File(path, "r+") as file:
        harm(file, rng)
    return harm.__name__


def used(path: Path, sound: Path) -> int:
    """Use a file in all ways; return how many of them refused it."""
    uses: list[Callable[[], object]] = [
        lambda: mt.open_run(path),
        lambda: verify_snapshot(mt.Snapshot(path)),
        lambda: [mt.Snapshot(path).masks(), mt.Snapshot(path).weights()],
        lambda: mt.Snapshot(path).topology,
        lambda: mt.summarize(path),
        lambda: mt.compare(path, sound),
        lambda: mt.connectivity(path, draws=0),
    ]
    refused = 0
    for use in uses:
        try:
            use()
        except mt.MasktoolsError as error:
            refused += 1
            if "\n" in str(error):
                raise AssertionError(f"not one line: {error!r}") from error
    return refused


def too_slow(number: int, frame: FrameType | None) -> None:
    """End a use that takes more than two seconds."""
    del number, frame
    raise TimeoutError


def peak_memory() -> float:
    """Return the largest memory of this process, MB; `getrusage` would count that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024


def main() -> None:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", type=Path, default=ROOT / "fixtures" / "v1" / "dnw", help="a run to damage")
    options = parser.parse_args()
    sound = options.source / "epoch-0001.h5"
    folder = Path(tempfile.mkdtemp(prefix="damaged-files-"))
    path = folder / "epoch-0001.h5"
    signal.signal(signal.SIGALRM, too_slow)
    begun, refused, slowest, bad = time.monotonic(), 0, 0.0, []
    for number in range(options.files):
        shutil.copyfile(sound, path)
        how = damaged(path, np.random.default_rng([options.seed, number]))
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        start = time.monotonic()
        try:
            refused += used(path, sound) > 0
        except BaseException as error:
            bad.append(f"file {number} ({how}): {type(error).__name__}: {error}")
            if isinstance(error, KeyboardInterrupt):
                raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        slowest = max(slowest, time.monotonic() - start)
    shutil.rmtree(folder)
    memory = peak_memory()
    print(f"{options.files} files in {time.monotonic() - begun:.0f} s: {refused} refused, {len(bad)} escaped or hung")
    print(f"slowest {slowest:.2f} s, peak memory {memory:.0f} MB")
    print("\n".join(bad[:20]))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
