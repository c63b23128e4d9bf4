"""How many floating-point operations a run has taken, from its log."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["FlopSummary", "flops_of"]


@dataclasses.dataclass(frozen=True)
class FlopSummary:
    """What a forward pass takes, and training up to there; a multiplication with its addition is two.

    A number that the log does not have is None.

    Parameters
    ----------
    forward, forward_dense
        FLOPs of a forward pass for one example, under the masks and with all weights.
    training, training_dense
        Those of all steps that were taken, as trained and as if all weights had been active.
    """

    forward: float | None
    forward_dense: float | None
    training: float | None
    training_dense: float | None

    @property
    def forward_ratio(self) -> float | None:
        """Share of the dense forward pass."""
        return _ratio(self.forward, self.forward_dense)

    @property
    def training_ratio(self) -> float | None:
        """Share of dense training; None before the first step."""
        return _ratio(self.training, self.training_dense)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, ratios included."""
        return {
            "forward": self.forward,
            "forward_dense": self.forward_dense,
            "forward_ratio": self.forward_ratio,
            "training": self.training,
            "training_dense": self.training_dense,
            "training_ratio": self.training_ratio,
        }


def flops_of(records: Iterable[Mapping[str, Any]], epoch: int) -> FlopSummary | None:
    """Return what the log of a run says of an epoch; None where it says nothing.

    Parameters
    ----------
    records
        The lines of the log.
    epoch
        Number of the epoch.
    """
    for record in records:
        if record.get("epoch") == epoch:
            keys = ("forward_flops", "forward_flops_dense", "training_flops", "training_flops_dense")
            values = [_number(record.get(key)) for key in keys]
            return None if all(value is None for value in values) else FlopSummary(*values)
    return None


def _number(value: object) -> float | None:
    """Return a value of the log that can be a number of operations, else None: anyone may have written it."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
