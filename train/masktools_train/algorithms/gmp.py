"""Gradual magnitude pruning: from dense to sparse along a cubic curve."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pydantic

from masktools_train.algorithms.base import Algorithm
from masktools_train.algorithms.scoring import keep_highest

if TYPE_CHECKING:
    from masktools_train.masked_layers import MaskedLayers

__all__ = ["GMP"]


class GMP(Algorithm):
    """Prune the smallest weights while training, quickly at first.

    Every `delta_t` steps, and at step ``T_end``, the share ``s (1 - (1 - p)^3)`` of the weights is inactive:
    `s` is the sparsity in the end and `p` the progress from ``T_start`` to ``T_end``. Pruned weights never come
    back. With the distribution ``global`` all layers compete, else each follows its own budget.

    References
    ----------
    Zhu and Gupta, To prune, or not to prune, arXiv 1710.01878.
    """

    name = "gmp"
    summary = "prune gradually by magnitude while training"
    distributions = ("global", "uniform", "erk")
    dynamic = True

    delta_t: int = pydantic.Field(100, ge=1)
    t_start: float = pydantic.Field(0.0, ge=0, lt=1)
    t_end: float = pydantic.Field(0.75, gt=0, le=1)

    @pydantic.model_validator(mode="after")
    def _ends_after_it_starts(self) -> GMP:
        if self.t_end <= self.t_start:
            raise ValueError("t_end must be after t_start")
        return self

    @classmethod
    def why_not_frozen(cls) -> str | None:
        """Return that the density would not be reached."""
        return "algorithm 'gmp' would stop before it has reached its density"

    def start(self, masked: MaskedLayers) -> None:
        """Begin dense."""
        for layer in masked.layers:
            layer.known_count = layer.size

    def reads_dense_gradient(self, step: int, total_steps: int) -> bool:
        """Return whether the weights are all active still."""
        return not any(self.prunes(earlier, total_steps) for earlier in self._first(total_steps) if earlier < step)

    def prunes(self, step: int, total_steps: int) -> bool:
        """Return whether weights are pruned after this step."""
        first, last = self._span(total_steps)
        return first < step <= last and (step % self.delta_t == 0 or step == last)

    def kept(self, size: int, target: int, step: int, total_steps: int) -> int:
        """Return how many of `size` weights are active after this step; `target` of them from ``T_end`` on."""
        first, last = self._span(total_steps)
        progress = Fraction(min(max(step, first), last) - first, last - first)
        return size - math.floor((size - target) * (1 - (1 - progress) ** 3))

    def after_step(self, masked: MaskedLayers) -> None:
        """Prune, where it is time."""
        step, total = masked.step + 1, masked.total_steps
        if self.prunes(step, total):
            scores = [layer.parameter.detach().abs() for layer in masked.layers]
            keep_highest(masked, scores, lambda size, target: self.kept(size, target, step, total))

    def _span(self, total_steps: int) -> tuple[int, int]:
        """Return the steps between which pruning takes place; the last is at least one after the first."""
        first = int(self.t_start * total_steps)
        return first, max(first + 1, int(self.t_end * total_steps))

    def _first(self, total_steps: int) -> tuple[int, int]:
        """Return the only steps that can be the first to prune."""
        first, last = self._span(total_steps)
        return (first // self.delta_t + 1) * self.delta_t, last
