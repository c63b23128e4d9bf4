"""What a family of measures is."""

import dataclasses
from collections.abc import Callable

from masktools.nulls.trial import Numbers
from masktools.structure.measures.network import Network

__all__ = ["Family", "Term"]


@dataclasses.dataclass(frozen=True)
class Term:
    """One number of a family.

    Parameters
    ----------
    name
        Name in results.
    title
        Header for people; those without one are only in JSON and CSV.
    """

    name: str
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Family:
    """Numbers that are measured together.

    Parameters
    ----------
    name
        What it is asked for by.
    summary
        What it measures, in words.
    terms
        Its numbers. Each is measured for layers, for the whole network, or for both.
    measure
        Measures them; what is not defined is None or left out.
    wide
        Whether the number of a layer depends on other layers, or on weights: a null can then change it even where it
        cannot change the mask of the layer.
    weighted
        Whether it is not defined without the values of the weights.
    """

    name: str
    summary: str
    terms: tuple[Term, ...]
    measure: Callable[[Network], Numbers]
    wide: bool = False
    weighted: bool = False
