"""Learning rates as pure functions of the step: rewinding a schedule is calling it with an earlier step."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from masktools_train.recipe import Recipe

__all__ = ["SCHEDULES", "learning_rate", "learning_rate_factor"]


def _constant(progress: float, milestones: Sequence[float], gamma: float) -> float:
    del progress, milestones, gamma
    return 1.0


def _cosine(progress: float, milestones: Sequence[float], gamma: float) -> float:
    del milestones, gamma
    return 0.5 * (1 + math.cos(math.pi * progress))


def _step(progress: float, milestones: Sequence[float], gamma: float) -> float:
    return gamma ** sum(progress >= milestone for milestone in milestones)


SCHEDULES: Mapping[str, Callable[[float, Sequence[float], float], float]] = {
    "cosine": _cosine,
    "step": _step,
    "constant": _constant,
}
"""Factor of the learning rate by progress after the warm-up."""


def learning_rate_factor(
    name: str,
    step: int,
    total_steps: int,
    warmup_steps: int = 0,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
) -> float:
    """Return the share of the base learning rate that a step uses.

    Parameters
    ----------
    name
        ``cosine`` (to 0 at the end), ``step`` (times `gamma` at each milestone) or ``constant``.
    step
        Number of optimizer steps taken before this one.
    total_steps
        Length of training, steps.
    warmup_steps
        Linear rise from ``1 / warmup_steps`` to 1 first; cosine spans what remains.
    milestones
        Steps, counted from the start of training, at which ``step`` drops.
    gamma
        Factor of each drop.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if name == "step":
        return SCHEDULES[name](step, milestones, gamma)
    return SCHEDULES[name]((step - warmup_steps) / max(1, total_steps - warmup_steps), milestones, gamma)


def learning_rate(recipe: "Recipe", step: int, steps_per_epoch: int) -> float:
    """Return the learning rate that a step uses under a recipe.

    Parameters
    ----------
    recipe
        What is trained.
    step
        Number of optimizer steps taken before this one.
    steps_per_epoch
        Length of an epoch.

    Returns
    -------
    float
        The optimizer's, times the factor of the schedule.
    """
    schedule = recipe.schedule
    factor = learning_rate_factor(
        schedule.name,
        step,
        recipe.epochs * steps_per_epoch,
        round(schedule.warmup_epochs * steps_per_epoch),
        [round(milestone * steps_per_epoch) for milestone in schedule.milestones],
        schedule.gamma,
    )
    return recipe.optimizer.lr * factor
