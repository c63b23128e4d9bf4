"""The optimizers that a recipe can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from masktools_train.recipe_tables import OptimizerSpec

__all__ = ["build_optimizer"]


def build_optimizer(spec: OptimizerSpec, model: torch.nn.Module, fused: bool | None = None) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe over all parameters of `model`.

    Parameters
    ----------
    spec
        What the recipe says.
    model
        On its device.
    fused
        Whether one kernel does the whole step; None says so on CUDA.
    """
    parameters = list(model.parameters())
    if fused is None:
        fused = all(parameter.is_cuda for parameter in parameters)
    if spec.name == "adamw":
        return torch.optim.AdamW(
            parameters, lr=spec.lr, betas=spec.betas, eps=spec.eps, weight_decay=spec.weight_decay, fused=fused or None
        )
    return torch.optim.SGD(
        parameters,
        lr=spec.lr,
        momentum=spec.momentum,
        weight_decay=spec.weight_decay,
        nesterov=spec.nesterov,
        fused=fused or None,
    )
