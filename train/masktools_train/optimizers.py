"""The optimizers that a recipe can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from masktools_train.recipe import OptimizerSpec

__all__ = ["build_optimizer"]


def build_optimizer(spec: OptimizerSpec, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe over all parameters of `model`."""
    if spec.name == "adamw":
        return torch.optim.AdamW(
            model.parameters(), lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=spec.lr,
        momentum=spec.momentum,
        weight_decay=spec.weight_decay,
        nesterov=spec.nesterov,
    )
