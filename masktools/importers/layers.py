"""Which arrays of a checkpoint are layers, and the mask and weights of each."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from masktools.errors import CheckpointError
from masktools.importers.masks import active_values, full_mask, nonzero_mask, packed
from masktools.importers.parts import Parts, masked
from masktools.importers.top_k import Selection
from masktools.masks import PackedMask
from masktools.snapshot.streamed import StreamedArray, StreamedLayer

__all__ = ["Choice", "choose", "layer_contents", "other_tensors"]

NO_LAYER = re.compile(r"emb(?:ed|d)|(?:^|[._])(?:wte|wpe|emb|pos|ln|bn)(?:[._\d]|$)|position|rotary|relative|norm")
"""Parts of names by which embeddings, positions and norms are told."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What becomes of one layer.

    Parameters
    ----------
    name
        Name of the weight.
    prunable
        False for one that is kept dense by choice.
    mask
        Where its mask is from: ``file``, ``scores``, ``largest``, ``zeros`` or ``dense``.
    """

    name: str
    prunable: bool
    mask: str


def choose(
    parts: Parts,
    file: str,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    density: float | None = None,
    network: Sequence[str] | None = None,
) -> list[Choice]:
    """Say which arrays are layers, and where their masks come from.

    Parameters
    ----------
    parts
        The network.
    file
        For messages.
    include, exclude
        Patterns of names (``*``, ``?``, ``[...]``). Without the first, what has a mask or scores; where nothing has,
        floating-point arrays of two axes or more that are called ``weight`` and no embedding, position or norm.
    density
        Whether the largest weights are to be selected.
    network
        The layers of the operator graph, in its order: all of them are layers, and those that the patterns leave
        out are dense by choice.

    Raises
    ------
    CheckpointError
        If there is none, or a pattern names none, or a density was given for masks that are there.
    """
    named = {*parts.masks, *parts.scores}
    if density is not None and parts.masks:
        raise CheckpointError(f"{file}: holds masks, so --density has nothing to decide")
    possible = [name for name, array in parts.arrays.items() if array.dtype.kind == "f" and len(array.shape) > 1]
    possible = possible if network is None else list(network)
    for option, patterns in (("--include", include), ("--exclude", exclude)):
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in possible):
                raise CheckpointError(f"{file}: {option} {pattern!r} names no weight; there are {_some(possible)}")
    if include:
        wanted = {name for name in possible if any(fnmatchcase(name, pattern) for pattern in include)}
    elif network is not None:
        wanted = set(network)
    elif named:
        wanted = {name for name in possible if name in named}
    else:
        wanted = {name for name in possible if name.endswith("weight") and not NO_LAYER.search(name.lower())}
    wanted -= {name for name in wanted if any(fnmatchcase(name, pattern) for pattern in exclude)}
    if not wanted:
        raise CheckpointError(
            f"{file}: no array is taken for a layer; name some with --include, there are {_some(possible)}"
        )
    chosen = []
    for name in possible:
        if name in wanted:
            chosen.append(Choice(name, True, _origin(name, parts, density)))
        elif network is not None:
            chosen.append(Choice(name, False, "dense"))
    return chosen


def _origin(name: str, parts: Parts, density: float | None) -> str:
    if name in parts.masks:
        return "dense" if parts.masks[name] is None else "file"
    if parts.masks or (parts.scores and name not in parts.scores):
        return "dense"  # where some have a mask, what has none is not masked
    if name in parts.scores:
        return "scores"
    return "zeros" if density is None else "largest"


def layer_contents(
    parts: Parts, chosen: Sequence[Choice], counts: Mapping[str, int] | int, file: str, kind: str = "active"
) -> Iterator[StreamedLayer]:
    """Yield the layers one at a time, each mask made when its turn comes.

    Parameters
    ----------
    parts
        The network.
    chosen
        Its layers.
    counts
        How many weights stay in each layer whose largest are selected, or in all of them together.
    file
        For messages.
    kind
        Which values are kept: ``active``, ``dense`` or ``none``.

    Raises
    ------
    CheckpointError
        If an array cannot be read, or a mask is none.
    """
    ranked = {c.name: parts.scores.get(c.name, parts.arrays[c.name]) for c in chosen if c.mask in ("scores", "largest")}
    together = Selection(list(ranked.items()), counts, file) if isinstance(counts, int) and ranked else None
    for choice in chosen:
        weight = parts.arrays[choice.name]
        if choice.name in ranked:
            scores = ranked[choice.name]
            selection = together
            if selection is None:
                assert not isinstance(counts, int)  # noqa: S101  # then there would be one for all of them
                selection = Selection([(choice.name, scores)], counts[choice.name], file)
            mask = packed(weight.shape, selection.flags(scores))
        else:
            mask = _told(parts, choice, weight)
        values = {"active": active_values(weight, mask), "dense": weight, "none": None}[kind]
        yield StreamedLayer(choice.name, mask, values, kind, prunable=choice.prunable)


def _told(parts: Parts, choice: Choice, weight: StreamedArray) -> PackedMask:
    if choice.mask == "zeros":
        return nonzero_mask(weight)
    flags = parts.masks.get(choice.name)
    if choice.mask == "dense" or flags is None:
        return full_mask(weight.shape)
    return packed(weight.shape, flags.pieces())


def other_tensors(parts: Parts, chosen: Sequence[Choice]) -> dict[str, StreamedArray]:
    """Return what is no layer, with 0 where it is masked all the same (a bias, an excluded weight).

    Parameters
    ----------
    parts
        The network.
    chosen
        Its layers.
    """
    layers = {choice.name for choice in chosen}
    found = {}
    for name, array in parts.arrays.items():
        if name not in layers:
            mask = parts.masks.get(name)
            found[name] = array if mask is None else masked(array, mask)
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return (shown or "none") + (f" and {len(names) - 8} more" if len(names) > 8 else "")
