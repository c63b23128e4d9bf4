"""Names, version and digest of the snapshot format; `docs/format.md` is the specification."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONTENT_DIGEST",
    "DIGEST",
    "ENCODING_TYPE",
    "ENCODING_VERSION",
    "MASKS",
    "MAX_ATTRIBUTE",
    "TENSORS",
    "TOPOLOGY",
    "WEIGHTS",
    "array_digest",
    "content_digest",
]

ENCODING_TYPE = "masktools-snapshot"
ENCODING_VERSION = "1.0"

MASKS = "masks"
WEIGHTS = "weights"
TENSORS = "tensors"
TOPOLOGY = "topology"
DIGEST = "blake2b"
CONTENT_DIGEST = "content-blake2b"

MAX_ATTRIBUTE = 60_000
"""Largest text that is stored as an attribute, bytes: HDF5 keeps attributes in a 64 KiB object header."""


def array_digest(values: NDArray[Any]) -> str:
    """Return the digest of an array's bytes in C order, 32 hexadecimal digits."""
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=16).hexdigest()


def content_digest(
    root: Mapping[str, object], objects: Iterable[tuple[str, str, tuple[int, ...], Mapping[str, object]]]
) -> str:
    """Return the digest over everything a snapshot says, 32 hexadecimal digits.

    Parameters
    ----------
    root
        The root attributes, without the content digest itself.
    objects
        Path, dtype, shape and attributes of each dataset; the attributes include the digest of the values.
    """
    text = json.dumps(
        [
            dict(root),
            sorted([path, dtype, list(shape), dict(attributes)] for path, dtype, shape, attributes in objects),
        ],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
