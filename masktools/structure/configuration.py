"""Configurations as flat keys, and where several of them differ."""

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["ABSENT", "ConfigDifference", "config_differences", "flatten"]


class _Absent(enum.Enum):
    """The value of a key that a configuration does not have; None would be a value."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent.ABSENT


@dataclasses.dataclass(frozen=True)
class ConfigDifference:
    """A key on which two configurations differ.

    Parameters
    ----------
    key
        Flat key, for example ``optimizer.lr``.
    a, b
        The two values; `ABSENT` where a configuration lacks the key.
    """

    key: str
    a: object
    b: object

    def to_dict(self) -> dict[str, Any]:
        """Return key and values; an absent value is left out."""
        return {"key": self.key} | {side: v for side, v in (("a", self.a), ("b", self.b)) if v is not ABSENT}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration with nested keys joined by dots; lists and mappings without keys stay values.

    Examples
    --------
    >>> flatten({"seed": 1, "optimizer": {"lr": 0.1}})
    {'seed': 1, 'optimizer.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def config_differences(config_a: Mapping[str, Any], config_b: Mapping[str, Any]) -> tuple[ConfigDifference, ...]:
    """Return the flat keys whose values differ, sorted; 1 and 1.0 are the same, 1 and true are not.

    A mapping that is without keys in one configuration only, and has some in the other, differs by these keys alone.

    Parameters
    ----------
    config_a, config_b
        Configurations as JSON gives them, nested or flat.
    """
    a, b = flatten(config_a), flatten(config_b)
    a, b = _without_hollow(a, b), _without_hollow(b, a)
    return tuple(
        ConfigDifference(key, a.get(key, ABSENT), b.get(key, ABSENT))
        for key in sorted({*a, *b})
        if key not in a or key not in b or not _same(a[key], b[key])
    )


def _without_hollow(flat: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out mappings without keys where the other configuration has a mapping too: they are not absent there."""
    return {
        key: value
        for key, value in flat.items()
        if value != {} or not any(theirs.startswith(f"{key}.") for theirs in other)
    }


def _same(a: object, b: object) -> bool:
    if json.dumps(a, sort_keys=True, default=repr) == json.dumps(b, sort_keys=True, default=repr):
        return True  # NaN equals NaN here, although it does not equal itself
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return numbers and isinstance(a, bool) == isinstance(b, bool) and a == b
