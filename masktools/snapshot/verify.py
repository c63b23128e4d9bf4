"""Check a whole snapshot: every value against its digest, and everything it says against the digest of the content."""

from pathlib import Path

import h5py

from masktools.errors import SnapshotError
from masktools.snapshot import attributes, checks, layout
from masktools.snapshot.read import Layer, Snapshot

__all__ = ["verify_snapshot"]


def verify_snapshot(snapshot: Snapshot) -> str:
    """Read everything that a snapshot holds and check it.

    Parameters
    ----------
    snapshot
        What to check; its file is read whole.

    Returns
    -------
    str
        The digest of the content, 32 hexadecimal digits: equal digests, equal contents.

    Raises
    ------
    SnapshotError
        At the first thing that is damaged, missing or does not belong; the message names file and key.
    """
    path = snapshot.path
    snapshot.topology  # noqa: B018 - reading it checks it
    for _ in snapshot.contents():
        pass
    snapshot.tensors()
    with checks.opened(path) as file:
        stored = {name for name, layer in snapshot.layers.items() if layer.weights != "none"}
        if stored != set(checks.members(path, file, layout.WEIGHTS)):
            raise SnapshotError(f"{path}: /{layout.WEIGHTS}: its members are not the layers that have weights")
        shared = set(snapshot.layers) & set(snapshot.tensor_names)
        if shared:
            raise SnapshotError(f"{path}: /{layout.TENSORS}: {min(shared)!r} is a layer too")
        objects = [_object(path, file, layout.MASKS, name, layer) for name, layer in snapshot.layers.items()]
        objects += [_object(path, file, layout.WEIGHTS, name) for name in stored]
        objects += [_object(path, file, layout.TENSORS, name) for name in snapshot.tensor_names]
        if checks.has(file, layout.TOPOLOGY):
            objects.append(_object(path, file, layout.TOPOLOGY))
        texts = ("encoding-type", "encoding-version", "config", "extra")
        root: dict[str, object] = {key: attributes.text(path, file, key) for key in texts}
        root |= {key: attributes.integer(path, file, key) for key in ("epoch", "step")}
        digest = layout.content_digest(root, objects)
        if attributes.text(path, file, layout.CONTENT_DIGEST) != digest:
            raise SnapshotError(f"{path}: what it says does not match {layout.CONTENT_DIGEST}; the file is damaged")
    return digest


def _object(
    path: Path, file: h5py.File, group: str, name: str = "", layer: Layer | None = None
) -> tuple[str, str, tuple[int, ...], dict[str, object]]:
    item = checks.dataset(path, file, group, name)
    described: dict[str, object] = {layout.DIGEST: attributes.text(path, item, layout.DIGEST)}
    if layer is not None:
        described |= {
            "position": attributes.integer(path, item, "position"),
            "shape": list(layer.shape),
            "axes": layer.axes,
            "bitorder": layout.BIT_ORDER,
            "active": layer.active,
            "prunable": int(layer.prunable),
            "weights": layer.weights,
        }
    return item.name.lstrip("/"), item.dtype.str, item.shape, described
