"""Recipe keys, seeds and other lists, as they are written on the command line."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from masktools.errors import MasktoolsError

__all__ = ["SetOption", "numbers", "overrides_of", "parse_seeds", "setting_of", "value_of", "values_of", "words"]

SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other key of the recipe, its value as in TOML: optimizer.weight_decay=0.",
        show_default=False,
    ),
]
"""Annotation of a parameter ``settings: SetOption = None``."""


def setting_of(text: str, option: str = "--set") -> tuple[str, str]:
    """Return key and value of ``KEY=VALUE``.

    Raises
    ------
    MasktoolsError
        If it is written otherwise.
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise MasktoolsError(f"{option}: {text!r} is not KEY=VALUE")
    return key.strip(), value


def value_of(text: str) -> Any:
    """Return a value that is written as in TOML, or as plain text where it is not."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def values_of(text: str, option: str) -> list[Any]:
    """Return the values between commas, each written as for `value_of`; commas within brackets separate none.

    Raises
    ------
    MasktoolsError
        If there is no value somewhere.
    """
    import tomllib

    try:
        found: list[Any] = tomllib.loads(f"values = [{text}]")["values"]
    except tomllib.TOMLDecodeError:
        return [value_of(word) for word in words(text, option)]
    if not found:
        raise MasktoolsError(f"{option}: {text!r} is no list with commas")
    return found


def overrides_of(flags: Mapping[str, Any], settings: Sequence[str] | None) -> dict[str, Any]:
    """Return the recipe keys that the command line sets.

    Parameters
    ----------
    flags
        Values of options by recipe key; None where an option was not given.
    settings
        Values of ``--set``.

    Raises
    ------
    MasktoolsError
        If a setting is not ``KEY=VALUE``.
    """
    overrides = {key: value for key, value in flags.items() if value is not None}
    for setting in settings or ():
        key, value = setting_of(setting)
        overrides[key] = value_of(value)
    return overrides


def parse_seeds(text: str, option: str = "--seeds", what: str = "seed") -> list[int]:
    """Return the whole numbers that ``0-4`` or ``0,2,7`` means.

    Parameters
    ----------
    text
        What was given.
    option, what
        The option and what each number is, for the message.

    Raises
    ------
    MasktoolsError
        If the text is neither, or names one twice.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise MasktoolsError(f"{option}: {text!r} is no list of {what}s; write 0-4 or 0,2,7")
        found += range(int(first), int(last if dash else first) + 1)
    if not found or len(set(found)) != len(found):
        raise MasktoolsError(f"{option}: {text!r} names {f'one {what} twice' if found else f'no {what}'}")
    return found


def words(text: str, option: str) -> list[str]:
    """Return what stands between commas.

    Raises
    ------
    MasktoolsError
        If nothing does somewhere.
    """
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise MasktoolsError(f"{option}: {text!r} is no list with commas")
    return found


def numbers(text: str, option: str) -> list[float]:
    """Return the numbers between commas.

    Raises
    ------
    MasktoolsError
        If one is none.
    """
    try:
        return [float(part) for part in words(text, option)]
    except ValueError:
        raise MasktoolsError(f"{option}: {text!r} is no list of numbers; write 1,0.5,0.1") from None
