"""The mask criteria: scores of a weight by its initial and its final value, in one registry."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from masktools.statistics.ranking import midranks

__all__ = ["CRITERIA", "RANDOM", "Criterion", "LayerValues"]

RANDOM: Final = "random"
"""The criterion that needs no score: its AUC is 1/2."""


@dataclasses.dataclass(frozen=True, eq=False)
class LayerValues:
    """Weights of one layer before and after training.

    Parameters
    ----------
    given_initial, given_final
        Values of the same weights, shape ``(weights,)``; None where they are not known.
    """

    given_initial: NDArray[Any] | None
    given_final: NDArray[Any] | None

    @property
    def initial(self) -> NDArray[Any]:
        """w_i."""
        return _known(self.given_initial)

    @property
    def final(self) -> NDArray[Any]:
        """w_f."""
        return _known(self.given_final)

    @functools.cached_property
    def initial_size(self) -> NDArray[Any]:
        """|w_i|."""
        size: NDArray[Any] = np.abs(self.initial)
        return size

    @functools.cached_property
    def final_size(self) -> NDArray[Any]:
        """|w_f|."""
        size: NDArray[Any] = np.abs(self.final)
        return size

    @functools.cached_property
    def initial_rank(self) -> NDArray[np.float64]:
        """Midrank of |w_i| in the layer."""
        return midranks(self.initial_size)

    @functools.cached_property
    def final_rank(self) -> NDArray[np.float64]:
        """Midrank of |w_f| in the layer."""
        return midranks(self.final_size)

    @functools.cached_property
    def along(self) -> NDArray[Any]:
        """w_f sign(w_i): positive where the sign stayed, 0 where either value is 0."""
        along: NDArray[Any] = self.final * np.sign(self.initial)
        return along


def _known(values: NDArray[Any] | None) -> NDArray[Any]:
    if values is None:
        raise ValueError("a criterion was asked for a score of values that are not known")
    return values


@dataclasses.dataclass(frozen=True)
class Criterion:
    """One way to score weights; a mask keeps the highest scores of each layer.

    Parameters
    ----------
    name
        Its name, Zhou et al.'s.
    formula
        The score in words of mathematics, w_i the initial and w_f the final weight.
    score
        The scores of a layer's weights; None where nothing is to be computed.
    needs_initial, needs_final
        Which of the two values it uses.
    """

    name: str
    formula: str
    score: Callable[[LayerValues], NDArray[Any]] | None
    needs_initial: bool = True
    needs_final: bool = True


_ALL = (
    Criterion("large_final", "|w_f|", lambda w: w.final_size, needs_initial=False),
    Criterion("small_final", "-|w_f|", lambda w: -w.final_size, needs_initial=False),
    Criterion("large_init", "|w_i|", lambda w: w.initial_size, needs_final=False),
    Criterion("small_init", "-|w_i|", lambda w: -w.initial_size, needs_final=False),
    Criterion(
        "large_init_large_final", "min(rank |w_f|, rank |w_i|)", lambda w: np.minimum(w.final_rank, w.initial_rank)
    ),
    Criterion(
        "small_init_small_final", "-max(rank |w_f|, rank |w_i|)", lambda w: -np.maximum(w.final_rank, w.initial_rank)
    ),
    Criterion("magnitude_increase", "|w_f| - |w_i|", lambda w: w.final_size - w.initial_size),
    Criterion("movement", "|w_f - w_i|", lambda w: np.abs(w.final - w.initial)),
    Criterion("large_final_same_sign", "max(0, w_f sign(w_i))", lambda w: np.maximum(w.along, 0)),
    Criterion("large_final_diff_sign", "max(0, -w_f sign(w_i))", lambda w: np.maximum(-w.along, 0)),
    Criterion(
        "magnitude_increase_same_sign",
        "max(0, w_f sign(w_i) - |w_i|)",
        lambda w: np.maximum(w.along - w.initial_size, 0),
    ),
    Criterion(
        "magnitude_increase_diff_sign",
        "max(0, -w_f sign(w_i) - |w_i|)",
        lambda w: np.maximum(-w.along - w.initial_size, 0),
    ),
    Criterion(RANDOM, "uniform", None, needs_initial=False, needs_final=False),
)

CRITERIA: Mapping[str, Criterion] = MappingProxyType({criterion.name: criterion for criterion in _ALL})
"""Every criterion by name, in the order of reports.

Notes
-----
Zhou, Lan, Liu, Yosinski, *Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask*, arXiv 1905.01067. They
write ``large_init_large_final`` as min(alpha |w_f|, |w_i|). Training changes the scale of the weights, so alpha
decides which of the two values the minimum ever is. Ranks within the layer settle it without a constant: both values
have the same distribution then, and to keep the highest scores is to keep the weights above one and the same
percentile of |w_i| and of |w_f|, which is how the authors' program selects them.
"""
