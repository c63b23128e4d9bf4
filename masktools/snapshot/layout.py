"""Names, version, element types and digests of the snapshot format; `docs/format.md` is the specification."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BIT_ORDER",
    "CONTENT_DIGEST",
    "DIGEST",
    "ELEMENTS",
    "ENCODING_TYPE",
    "ENCODING_VERSION",
    "FLOATS",
    "KINDS",
    "MASKS",
    "MAX_ATTRIBUTE",
    "MAX_WEIGHTS",
    "TENSORS",
    "TOPOLOGY",
    "WEIGHTS",
    "array_digest",
    "axes_fit",
    "content_digest",
    "little",
    "named",
]

ENCODING_TYPE = "masktools-snapshot"
ENCODING_VERSION = "1.1"

MASKS = "masks"
WEIGHTS = "weights"
TENSORS = "tensors"
TOPOLOGY = "topology"
DIGEST = "blake2b"
CONTENT_DIGEST = "content-blake2b"

BIT_ORDER = "big"
KINDS = ("active", "dense", "none")
"""Which weight values of a layer are stored."""

FLOATS = ("<f2", "<f4", "<f8")
ELEMENTS = (*FLOATS, "|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8")
"""Element types that a dataset may have, as NumPy writes them: numbers that every reader has, little-endian."""

MAX_ATTRIBUTE = 60_000
"""Largest text that an attribute holds, bytes: HDF5 keeps attributes in an object header, 64 KiB a message."""

MAX_WEIGHTS = 2**40
"""Most weights that a layer may claim."""


def named(name: str) -> bool:
    """Say whether a parameter can have this name: printable (no control signs, no stray surrogates), no path."""
    return bool(name) and name.isprintable() and "/" not in name and name not in (".", "..")


def axes_fit(axes: str, rank: int) -> bool:
    """Say whether an axis layout is empty or has one plain name for each of `rank` axes."""
    return not axes or (axes.isprintable() and len(axes.split(",")) == rank and all(axes.split(",")))


def little(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values in C order and little-endian, as they are stored and digested."""
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"), order="C")


def array_digest(values: NDArray[Any]) -> str:
    """Return the digest of an array's little-endian bytes in C order, 32 hexadecimal digits."""
    return hashlib.blake2b(little(values).reshape(-1).view(np.uint8).data, digest_size=16).hexdigest()


def content_digest(
    root: Mapping[str, object], objects: Iterable[tuple[str, str, tuple[int, ...], Mapping[str, object]]]
) -> str:
    """Return the digest over everything a snapshot says, 32 hexadecimal digits.

    The digested text is canonical JSON (RFC 8785), so that any language can compute it.

    Parameters
    ----------
    root
        The root attributes, without the content digest itself.
    objects
        Path, element type, shape and attributes of each dataset; the attributes include the digest of the values.
    """
    text = json.dumps(
        [
            dict(root),
            sorted([path, element, list(shape), dict(attributes)] for path, element, shape, attributes in objects),
        ],
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
