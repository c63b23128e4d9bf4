"""Every family of measures: a new one is its file and one line here."""

from collections.abc import Iterable, Mapping

from masktools.errors import StructureError
from masktools.structure.measures import (
    bottlenecks,
    cores,
    cycles,
    degrees,
    persistence,
    spectrum,
    symmetries,
    tails,
    throughput,
)
from masktools.structure.measures.family import Family

__all__ = ["FAMILIES", "find_families"]

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        degrees.FAMILY,
        tails.FAMILY,
        cycles.FAMILY,
        cores.FAMILY,
        spectrum.FAMILY,
        persistence.FAMILY,
        throughput.FAMILY,
        bottlenecks.FAMILY,
        symmetries.FAMILY,
    )
}
"""By name."""


def find_families(names: Iterable[str]) -> tuple[Family, ...]:
    """Return families by name, each once; ``all`` stands for all of them.

    Raises
    ------
    StructureError
        If there is none of this name.
    """
    wanted = [name for word in names for name in (FAMILIES if word == "all" else (word,))]
    unknown = [name for name in wanted if name not in FAMILIES]
    if unknown:
        raise StructureError(f"measure {unknown[0]!r} is unknown; there are {', '.join(FAMILIES)}, and all")
    return tuple(FAMILIES[name] for name in dict.fromkeys(wanted))
