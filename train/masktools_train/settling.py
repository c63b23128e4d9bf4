"""Masks that are frozen when a recipe says so, or once they have settled, and since when they are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from masktools_train.early_structure import EarlyStructure

if TYPE_CHECKING:
    from masktools_train.sparsifier import Sparsifier

__all__ = ["Settling"]


class Settling:
    """Looks at the masks at the end of every epoch.

    Parameters
    ----------
    rule
        ``freeze_when`` of the recipe; None freezes nothing.
    masked
        The layers.

    Attributes
    ----------
    kappa
        Under the rule, what was looked at last; None where there is nothing to look at, or no more.
    frozen_epoch
        Epoch whose mask is kept from then on; None as long as none is.
    """

    def __init__(self, rule: str | None, masked: "Sparsifier") -> None:
        self._early = None if rule is None else EarlyStructure(rule)
        self._masked = masked
        self.kappa: float | None = None
        self.frozen_epoch: int | None = None

    def look(self, epoch: int) -> None:
        """Freeze the masks where they have settled, and notice where they are frozen by now."""
        self.kappa = None
        if self.frozen_epoch is not None:
            return
        if self._early is not None and epoch > 0:
            if self._early.settled(self._masked.masks()):
                self._masked.freeze()
            self.kappa = self._early.kappa
        if self._masked.freeze_step is not None and self._masked.frozen:
            self.frozen_epoch = epoch

    def state_dict(self) -> dict[str, Any] | None:
        """Return the masks that the rule remembers, for `load_state_dict`; None without a rule."""
        return None if self._early is None else self._early.state_dict()

    def load_state_dict(
        self, state: Mapping[str, Any] | None, frozen_epoch: int | None, device: torch.device | str
    ) -> None:
        """Take up what `state_dict` returned, and since when masks are frozen."""
        self.frozen_epoch = frozen_epoch
        if self._early is not None and state is not None:
            self._early.load_state_dict(state, device)
