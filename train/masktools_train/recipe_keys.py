"""Which keys a recipe has, and which one was meant by a key that it has not."""

import difflib
from collections.abc import Iterable, Iterator

import pydantic

__all__ = ["keys_of", "meant"]


def keys_of(table: type[pydantic.BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a table, those of the tables in it included, in their order.

    Parameters
    ----------
    table
        The class that describes it.
    prefix
        What stands before each key.
    """
    for name, field in table.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            yield from keys_of(field.annotation, f"{prefix}{name}.")


def meant(key: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a key that there is not: one that is written alike, or any of its table.

    Parameters
    ----------
    key
        Dotted, as it was given.
    known
        All keys that there are.
    """
    known = list(known)
    table, _, last = key.rpartition(".")
    # By last names first: who forgets the table, or takes another one, knows that much of the key.
    ends = {end: [each for each in known if each.rpartition(".")[2] == end] for end in map(_last, known)}
    close = [each for end in difflib.get_close_matches(last, ends, n=1, cutoff=0.7) for each in ends[end]]
    close = close or difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    if close:
        best = max(close, key=lambda each: difflib.SequenceMatcher(None, key, each).ratio())
        return f"did you mean {best}?"
    there = [_last(each) for each in known if each.rpartition(".")[0] == table]
    return f"{table or 'a recipe'} has {', '.join(there)}" if there else f"there is no table {table}"


def _last(key: str) -> str:
    return key.rpartition(".")[2]
