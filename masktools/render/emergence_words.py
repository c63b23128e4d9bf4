"""What the dynamics of a run say, in sentences."""

import math

from masktools.render.numbers import count, rate
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.hubs import SIDES
from masktools.structure.dynamics.spells import SpellTable

__all__ = ["early_bird_sentence", "hubs_sentence", "sentence", "survival_sentence", "turnover_sentence"]

_TENFOLD = 10
"""Decay of the learning rate from which on it may have stilled the masks by itself."""


def sentence(result: Emergence, named: bool = False) -> str:
    """Return in words when a run found its final mask, and how much of it was there at first.

    Parameters
    ----------
    result
        The dynamics of a run.
    named
        Whether to begin with the run's path.
    """
    first, last = result.curve[0], result.curve[-1]
    if result.emergence_epoch is None:
        return f"{_name(result, named)}Emergence is not defined, because every final layer is dense or empty."
    if result.emergence_epoch == last.epoch:
        when = f"only the last snapshot (epoch {last.epoch}) is there: the mask was still changing"
    else:
        when = f"from epoch {result.emergence_epoch} on, of {last.epoch}"
    return (
        f"{_name(result, named)}kappa with the final mask reaches {result.threshold:g} for good {when}; at epoch "
        f"{first.epoch} kappa = {rate(first.kappa)} (chance 0), with {rate(first.intersection_share)} of the final "
        f"mask in place against {rate(first.expected_share)} by chance. {_beyond(result)}{_learning_rate(result)}"
    )


def _name(result: Emergence, named: bool) -> str:
    return f"{result.run}: " if named else ""


def _beyond(result: Emergence) -> str:
    first, last = result.curve[0], result.curve[-1]
    if last.kappa_beyond_initial is None:
        same = first.kappa == 1
        return "The run ends with the mask it began with." if same else "Given the first mask, kappa is undefined."
    epoch = result.emergence_epoch_beyond_initial
    return f"What the first mask does not explain (beyond) is there for good from epoch {epoch} on."


def _learning_rate(result: Emergence) -> str:
    if result.lr_decay is None:
        return ""
    largest, then = result.lr_decay
    if largest > _TENFOLD * then:
        return f" By then the learning rate had fallen more than tenfold, from {rate(largest)} to {rate(then)}."
    return f" The learning rate was {rate(then)} then, of {rate(largest)} at most."


def turnover_sentence(result: Emergence, named: bool = False) -> str:
    """Return in words how many births there were, how many came back, and what was explored."""
    end, steps = result.curve[-1].turnover, [point.turnover for point in result.curve[1:]]
    births = sum(step.births or 0 for step in steps)
    if not births:
        dies = any(step.deaths for step in steps)
        text = "No weight ever became active" + (": weights only leave." if dies else ", and none left.")
        return _name(result, named) + text
    returned = sum(step.regrowth or 0 for step in steps)
    expected = math.fsum(step.expected_regrowth or 0 for step in steps)
    return (
        f"{_name(result, named)}{count(births)} births since the first snapshot; {rate(returned / births)} of them "
        f"were weights that came back, against {rate(expected / births)} if births fell on random inactive weights. "
        f"{rate(end.exploration)} of all weights were ever active (explored), against "
        f"{rate(end.expected_exploration)} by such births."
    )


def survival_sentence(result: Emergence, named: bool = False) -> str:
    """Return in words how long weights stay active."""
    spells = result.spells
    text = _name(result, named)
    if spells.left_truncated:
        text += (
            f"{count(spells.left_truncated)} spells were running in the first snapshot (epoch {spells.epochs[0]}) and "
            "are left out, because their age is unknown. "
        )
    if not spells.spells:
        return f"{text}No spell has a known beginning."
    text += f"Of {count(spells.spells)} spells {count(spells.ongoing)} were still active at the end; {_half(spells)}."
    initial, expected_initial = spells.cohort("initial")
    later, expected_later = spells.cohort("later")
    if not initial.total or not later.total:
        return text
    return (
        f"{text} Half-life of the first mask's spells: {_epochs(initial.median)} (by chance "
        f"{_epochs(expected_initial.median)}); of later ones: {_epochs(later.median)} (by chance "
        f"{_epochs(expected_later.median)})."
    )


def _half(spells: SpellTable) -> str:
    curve, expected = spells.survival, _epochs(spells.expected_survival.median)
    if curve.median is None:
        return f"fewer than half ended while they were watched, so the half-life is not reached (by chance: {expected})"
    ends = f"[{count(curve.median_low)}, {count(curve.median_high)}]"
    return f"half have ended after {_epochs(curve.median)} {ends}, by chance after {expected}"


def _epochs(number: int | None) -> str:
    if number is None:
        return "not reached"
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def hubs_sentence(result: Emergence, named: bool = False) -> str:
    """Return in words whether the units with most active weights are the same ones in the end."""
    first = result.curve[0].epoch
    told = []
    for side in SIDES:
        curve = result.hubs[side]
        words = f"by {side.replace('_', '-')} "
        if curve.kappa[-1] is None:
            told.append(f"{words}undefined, because all units are hubs in the end, or none")
            continue
        z = f", z = {rate(curve.z[0])}" if curve.z[0] is not None else ""
        told.append(
            f"{words}kappa = {rate(curve.kappa[0])} (chance 0{z}), {result.threshold:g} for good from epoch "
            f"{result.hub_emergence_epoch(side)} on"
        )
    return f"{_name(result, named)}Hubs of epoch {first} against the final ones: {'; '.join(told)}."


def early_bird_sentence(result: Emergence, named: bool = False) -> str:
    """Return in words when the mask settled by either rule, and whether the second one says anything."""
    early = result.early_bird
    before = early.window - 1
    name = _name(result, named)
    if not early.points:
        return f"{name}There are fewer than {early.window} snapshots, so no window of masks is full."
    others = "the mask before it" if before == 1 else f"each of the {before} masks before it"
    text = f"{name}No mask has kappa {early.threshold:g} or more with {others}."
    if early.epoch is not None:
        text = f"{name}The mask of epoch {early.epoch} is the first to have kappa {early.threshold:g} with {others}."
    if early.hamming is None:
        return text
    decided = "is never met" if early.hamming_epoch is None else f"is met at epoch {early.hamming_epoch}"
    return (
        f"{text} The original rule of You et al. (at most {early.hamming_limit:g} of all weights differ) {decided}, "
        f"with {rate(early.hamming)}; independent masks of these densities differ by {rate(early.expected_hamming)}"
        f"{', so any masks meet it and it says nothing.' if early.vacuous else '.'}"
    )
