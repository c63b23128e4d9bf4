"""Results of mask criteria."""

import dataclasses
from typing import Any

from masktools.frames import ToFrame
from masktools.statistics.ranking import Ranking
from masktools.structure.values.scores import RANDOM

__all__ = ["Criteria", "CriterionResult", "LayerCriterion"]


@dataclasses.dataclass(frozen=True)
class LayerCriterion:
    """How well a criterion orders the mask of one layer.

    Parameters
    ----------
    name
        Name of the layer.
    ranking
        Scores of active against those of inactive weights; without pairs in a layer that is dense or empty.
    """

    name: str
    ranking: Ranking

    def to_dict(self) -> dict[str, Any]:
        """Return the AUC with its interval, chance level and counts."""
        counts = {"active": self.ranking.members, "inactive": self.ranking.others}
        return {"name": self.name, **counts, **self.ranking.to_dict()}


@dataclasses.dataclass(frozen=True)
class CriterionResult:
    """How well one criterion orders a mask.

    Parameters
    ----------
    name, formula
        The criterion, and its score in words of mathematics.
    ranking
        All layers together, pairs within layers only; None where the values that it needs are not known.
    layers
        The same for each layer; empty where the values are not known.
    note
        Why there is no number, or what is to be known about it; empty where there is nothing to say.
    """

    name: str
    formula: str
    ranking: Ranking | None
    layers: tuple[LayerCriterion, ...] = ()
    note: str = ""

    @property
    def auc(self) -> float | None:
        """P(score active > score inactive) + P(equal) / 2 within layers; 1/2 by chance."""
        return None if self.ranking is None else self.ranking.auc

    @property
    def is_rule(self) -> bool:
        """Whether the criterion is the rule that the mask was chosen by: no inactive weight above an active one."""
        return self.ranking is not None and self.ranking.separates

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        nothing = {"auc": None, "low": None, "high": None, "z": None, "standard_error": None}
        return {
            "name": self.name,
            "formula": self.formula,
            **(nothing if self.ranking is None else self.ranking.to_dict()),
            "is_rule": self.is_rule,
            "note": self.note,
            "layers": [layer.to_dict() for layer in self.layers],
        }


@dataclasses.dataclass(frozen=True)
class Criteria(ToFrame):
    """How well each criterion orders a mask.

    Parameters
    ----------
    run
        Path of the run.
    epoch
        Epoch of the mask.
    weights_epoch
        Epoch of the final weights; None where none could be used.
    size
        Number of weights.
    compared
        Number of those that entered: they have a trained value and lie in a layer where the mask leaves some in
        and some out.
    note
        Which weights were compared, and why.
    criteria
        One entry a criterion, in the order of the registry.
    """

    run: str
    epoch: int
    weights_epoch: int | None
    size: int
    compared: int
    note: str
    criteria: tuple[CriterionResult, ...]

    @property
    def best(self) -> CriterionResult | None:
        """The criterion of highest AUC among those that are not the mask's own rule; None if none is defined."""
        found = [c for c in self.criteria if c.auc is not None and c.name != RANDOM and not c.is_rule]
        return max(found, key=lambda criterion: criterion.auc or 0.0, default=None)

    def criterion(self, name: str) -> CriterionResult:
        """Return the result of a criterion by its name.

        Raises
        ------
        KeyError
            If there is no such criterion.
        """
        return {criterion.name: criterion for criterion in self.criteria}[name]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-ready values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**fields, "criteria": [criterion.to_dict() for criterion in self.criteria]}
