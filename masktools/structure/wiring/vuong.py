"""Which of two models of the same tail is closer to the truth: Vuong's normalised likelihood ratio."""

import dataclasses
import math
from typing import Any

from masktools.structure.wiring.tail_models import FittedTail, Tail

__all__ = ["TailComparison", "compare"]


@dataclasses.dataclass(frozen=True)
class TailComparison:
    """A power law against another model of the same tail.

    Parameters
    ----------
    model
        Name of the other model.
    parameters
        Of the other model, by name.
    log_likelihood_ratio
        Logarithm of the likelihood of the power law over that of the other model; positive where the power law is
        better.
    normalised
        The same in standard deviations (Vuong, 1989); None where all units have the same ratio.
    p_value
        Two-sided: probability of a ratio as far from 0 if both models were equally far from the truth; None with
        `normalised`.
    """

    model: str
    parameters: dict[str, float]
    log_likelihood_ratio: float
    normalised: float | None
    p_value: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dataclasses.asdict(self)


def compare(tail: Tail, law: FittedTail, name: str, rival: FittedTail) -> TailComparison:
    """Compare a power law with another model.

    Parameters
    ----------
    tail
        What both were fitted to.
    law
        The power law.
    name
        Name of the other model.
    rival
        The other model.

    Notes
    -----
    Vuong, Likelihood ratio tests for model selection and non-nested hypotheses, Econometrica 57 (1989), with the
    variance of the ratio over units as Clauset, Shalizi and Newman (2009) have it. It is normal for many units none
    of which outweighs the others.
    """
    ratio = law.log_probability - rival.log_probability
    units, mean = int(tail.counts.sum()), tail.mean(ratio)
    deviation = math.sqrt(tail.mean((ratio - mean) ** 2))
    normalised = math.sqrt(units) * mean / deviation if deviation > 0 else None
    p_value = math.erfc(abs(normalised) / math.sqrt(2)) if normalised is not None else None
    return TailComparison(name, rival.parameters, units * mean, normalised, p_value)
