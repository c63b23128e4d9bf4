"""Notice that a mask has settled, from the masks of consecutive epochs."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools.statistics.chance import Chance, stratified_kappa

__all__ = ["EarlyStructure"]

_RULE = re.compile(r"\s*(?:kappa|κ)\s*(>=?)\s*(\d*\.?\d+)\s+over\s+(\d+)\s*")


class EarlyStructure:
    """The rule ``kappa>0.9 over 5``: the mask agrees with each of the masks of the 5 epochs before.

    Agreement is kappa, corrected for chance layer by layer and summed over layers: 0 for independent masks with the
    same counts, 1 for equal ones. The mask of the initialisation is none of an epoch, so the rule can hold after
    ``epochs + 1`` epochs at the earliest.

    Parameters
    ----------
    rule
        ``kappa>THRESHOLD over EPOCHS``, or ``>=``.

    Attributes
    ----------
    kappa
        The smallest kappa of the last mask with those before; None as long as there are too few, or where every
        layer is dense.

    Raises
    ------
    RecipeError
        If it is no such rule.
    """

    def __init__(self, rule: str) -> None:
        match = _RULE.fullmatch(rule)
        if match is None or not 0 <= float(match[2]) <= 1 or int(match[3]) < 1:
            raise RecipeError(
                f"freeze_when: {rule!r} is no rule; write 'kappa>0.9 over 5': a threshold from 0 to 1, at least 1 epoch"
            )
        self._strict, self._threshold, self.epochs = match[1] == ">", float(match[2]), int(match[3])
        self.kappa: float | None = None
        self._before: list[dict[str, Tensor]] = []

    def settled(self, masks: Mapping[str, Tensor]) -> bool:
        """Take note of the masks at the end of an epoch and return whether the rule holds.

        Parameters
        ----------
        masks
            Boolean, by layer; the same layers every time.
        """
        values = _kappas(masks, self._before)
        known = [value for value in values if value is not None]
        self.kappa = min(known) if len(known) == self.epochs else None
        self._before = [*self._before, {name: mask.clone() for name, mask in masks.items()}][-self.epochs :]
        if self.kappa is None:
            return False
        return self.kappa > self._threshold if self._strict else self.kappa >= self._threshold

    def state_dict(self) -> dict[str, Any]:
        """Return the masks that are remembered, for `load_state_dict`."""
        return {"before": [dict(masks) for masks in self._before]}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Take up what `state_dict` returned."""
        self._before = [{name: mask.to(device) for name, mask in masks.items()} for masks in state["before"]]


def _kappas(masks: Mapping[str, Tensor], before: Sequence[Mapping[str, Tensor]]) -> list[float | None]:
    """Return kappa of masks with each of some earlier ones; counted on the device, read at once."""
    if not before:
        return []
    counts = torch.stack(
        [
            torch.stack([mask.sum(), earlier[name].sum(), (mask & earlier[name]).sum()])
            for earlier in before
            for name, mask in masks.items()
        ]
    ).tolist()
    sizes = [mask.numel() for mask in masks.values()]
    kappas = []
    for place in range(len(before)):
        rows = counts[place * len(sizes) : (place + 1) * len(sizes)]
        layers = [(Chance(size, now, then), both) for size, (now, then, both) in zip(sizes, rows, strict=True)]
        kappas.append(stratified_kappa(layers))
    return kappas
