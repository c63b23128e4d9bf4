"""A checkpoint: nested keys of whatever was saved, and where among them the network is."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from masktools.errors import CheckpointError
from masktools.importers.epochs import natural_order
from masktools.snapshot.streamed import StreamedArray

__all__ = ["Checkpoint", "Tree", "arrays_of", "find_network"]

Tree: TypeAlias = Mapping[str, Any]
"""Nested mappings and lists; the leaves are `StreamedArray`, or whatever else was saved."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and `torch.compile` put before every name."""

_COUNTER = "n_averaged"
"""What `torch.optim.swa_utils.AveragedModel` adds beside the network that it holds as ``module``."""

_DEPTH = 3
_NO_NETWORK = ("optim", "opt_state", "mask", "pruner", "scheduler", "lr_scheduler", "scaler", "sparsifier", "grad")
"""Beginnings of keys that hold tensors of the shapes of a network, but no network."""


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds.

    Parameters
    ----------
    name
        The file, for messages.
    container
        ``torch``, ``safetensors``, ``npz`` or ``open-lth``.
    tree
        All of it.
    arrays
        Parameters and buffers of the network, names without prefixes, in the order of the file; of safetensors, which
        keeps none, in the natural order of their names.
    key
        Where in the file they are: keys with dots between them; empty at the top.
    stripped
        Prefixes that every name had.
    masks
        Masks from a file of their own, by name; None without one.
    """

    name: str
    container: str
    tree: Tree
    arrays: Mapping[str, StreamedArray]
    key: str = ""
    stripped: tuple[str, ...] = ()
    masks: Mapping[str, StreamedArray] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        container: str,
        tree: Tree,
        key: str | None = None,
        masks: Mapping[str, StreamedArray] | None = None,
    ) -> "Checkpoint":
        """Find the network in a file, and take prefixes off its names.

        Parameters
        ----------
        name, container, tree, masks
            As for the class.
        key
            Where the network is; None looks for it.

        Raises
        ------
        CheckpointError
            If there is none, or more than one; the message names the file and the keys.
        """
        place, found = find_network(name, tree, key)
        if container == "safetensors":  # its files do not keep the order in which they were given the arrays
            found = dict(sorted(found.items(), key=lambda item: natural_order(item[0])))
        arrays, stripped = _plain(found)
        return cls(name, container, tree, arrays, place, stripped, masks)


def find_network(name: str, tree: Tree, key: str | None = None) -> tuple[str, dict[str, StreamedArray]]:
    """Return where the network is in nested keys, and its arrays.

    Parameters
    ----------
    name
        The file, for messages.
    tree
        What it holds.
    key
        Where to look; None takes the only place with floating-point arrays of two axes or more that is no state of an
        optimizer and no set of masks.

    Raises
    ------
    CheckpointError
        If there is none there, or more than one.
    """
    if key is not None:
        place = _at(tree, key)
        arrays = arrays_of(place) if isinstance(place, Mapping) else {}
        if not arrays:
            raise CheckpointError(f"{name}: --key {key}: holds no arrays; there are {_keys(tree)}")
        return key, arrays
    found = dict(_networks(tree, "", 0))
    if not found:
        raise CheckpointError(f"{name}: holds no weights (floating-point arrays of two axes); there are {_keys(tree)}")
    if len(found) > 1:
        raise CheckpointError(f"{name}: holds several networks; choose one of {', '.join(found)} with --key")
    return next(iter(found.items()))


def arrays_of(tree: Tree) -> dict[str, StreamedArray]:
    """Return the arrays directly under a key."""
    return {str(name): value for name, value in tree.items() if isinstance(value, StreamedArray)}


def _networks(tree: Tree, place: str, depth: int) -> Iterator[tuple[str, dict[str, StreamedArray]]]:
    arrays = arrays_of(tree)
    if any(array.dtype.kind == "f" and len(array.shape) > 1 for array in arrays.values()):
        yield place, arrays
        return
    if "param_groups" in tree or depth >= _DEPTH:  # the state of an optimizer, whatever it is called
        return
    for key, value in tree.items():
        if isinstance(value, Mapping) and not str(key).lower().startswith(_NO_NETWORK):
            yield from _networks(value, f"{place}.{key}" if place else str(key), depth + 1)


def _at(tree: Tree, key: str) -> Any:
    """Return what is under a key, dots in it meaning nested ones where no key is called so."""
    if key in tree or not key:
        return tree.get(key) if key else tree
    first, _, rest = key.partition(".")
    inner = tree.get(first)
    return _at(inner, rest) if rest and isinstance(inner, Mapping) else None


def _keys(tree: Tree) -> str:
    names = [str(key) for key in tree]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "no keys"


def _plain(arrays: Mapping[str, StreamedArray]) -> tuple[dict[str, StreamedArray], tuple[str, ...]]:
    """Return arrays without the prefixes that all names have, and those prefixes, in their order."""
    found, stripped = dict(arrays), []
    while True:
        named = [name for name in found if name != _COUNTER]
        prefix = next((p for p in PREFIXES if named and all(name.startswith(p) for name in named)), None)
        if prefix is None:
            break
        stripped.append(prefix)
        found = {name.removeprefix(prefix): found[name] for name in named}
    inside = {name: ".".join(part for part in name.split(".") if part != "_orig_mod") for name in found}
    if list(inside.values()) != list(found) and len(set(inside.values())) == len(found):
        stripped.append("_orig_mod.")  # where only a part of the network was compiled
        found = {inside[name]: array for name, array in found.items()}
    return found, tuple(stripped)
