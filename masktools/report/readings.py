"""What the pictures of a page say, each in a sentence with its numbers and what they would be by chance."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from masktools.plots.groups import group_names
from masktools.render.comparison import mean_sentence
from masktools.render.numbers import count, percent, rate, with_interval
from masktools.report.material import Material
from masktools.runs import Run
from masktools.structure.comparisons import Comparisons
from masktools.structure.dynamics.groups import Emergences, GroupMean
from masktools.structure.epochs import EpochMatrix

__all__ = [
    "degrees_reading",
    "dynamics_of",
    "epochs_in_words",
    "finals_reading",
    "guessing",
    "heat_map_reading",
    "listed",
]

_MOST = 6
"""Groups that a sentence names; the table has all."""


_RARE = 1e-4


def listed(parts: Sequence[str], mark: str = ", ") -> str:
    """Return what groups have in a sentence, of many groups the first.

    >>> listed(["1 (dnw)", "2 (rigl)"])
    '1 (dnw), 2 (rigl)'
    """
    left = len(parts) - _MOST
    return mark.join(parts[:_MOST]) + (f" and {left} more in the table" if left > 0 else "")


def guessing(chances: Sequence[float], *, everywhere: bool = True) -> str:
    """Return what always naming the most frequent class comes to, or why no line shows it.

    Parameters
    ----------
    chances
        What runs record, each number once.
    everywhere
        Whether all of them do.
    """
    if not chances:
        return "No line for guessing: these runs do not record its accuracy (chance_accuracy of run.json)."
    where = "" if everywhere else ", of the runs that record it"
    return f"Guessing, which is always naming the most frequent class, has {' or '.join(map(rate, chances))}{where}."


def dynamics_of(material: Material, found: Emergences, key: str) -> list[tuple[str, GroupMean]]:
    """Return a number of every group of seeds, and of every run that is in none, by what it is called.

    Parameters
    ----------
    material
        The page's runs.
    found
        How they approach their final masks.
    key
        ``emergence_epoch``, ``half_life`` or ``expected_half_life``.
    """
    grouped = {path for group in found.groups for path in (*group.runs, *group.repeated)}
    titles = group_names([group.runs for group in found.groups])
    known = [
        (title.replace(r"\$", "$").strip(), group.measures[key])
        for title, group in zip(titles, found.groups, strict=True)
    ]
    for run in found.runs:
        if run.run not in grouped:
            spells = run.spells
            value = {
                "emergence_epoch": run.emergence_epoch,
                "half_life": spells.survival.median,
                "expected_half_life": spells.expected_survival.median,
            }[key]
            known.append((material.names[run.run], GroupMean.of([value])))
    return known


def epochs_in_words(mean: GroupMean) -> str:
    """Return a mean epoch with its interval, where every run has one."""
    found = mean.interval
    return "never" if found is None else with_interval(found.mean, found.low, found.high)


def heat_map_reading(matrix: EpochMatrix) -> str:
    """Return how much the first and the last mask agree, and those of one epoch and the next."""
    kappa = matrix.total.kappa
    near = kappa.diagonal(1)
    first = f"kappa {_kappa(kappa[0, -1])} between the first and the last mask"
    gaps = np.diff(matrix.epochs_a)
    later = "" if (gaps == 1).all() else f" that is shown, {_span(gaps)} epochs later"
    mean = f"{rate(float(np.nanmean(near)))} on average from one to the next{later}" if np.isfinite(near).any() else ""
    grey = "; grey where it is undefined, because a mask is dense or empty" if np.isnan(kappa).any() else ""
    return f"{', '.join(filter(None, (first, mean)))} (chance 0){grey}."


def _span(gaps: NDArray[np.int64]) -> str:
    least, most = int(gaps.min()), int(gaps.max())
    return str(least) if least == most else f"{least} to {most}"


def _kappa(value: float) -> str:
    return "undefined" if np.isnan(value) else rate(float(value))


def finals_reading(result: Comparisons, groups: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """Return how much final masks agree: within each group of seeds, and between groups.

    Pairs of one algorithm and pairs of two are never averaged: that mean depends on how many of each there are.

    Parameters
    ----------
    result
        The runs, each compared with each.
    groups
        What each group of seeds is called, and its runs.
    """
    group_of = {str(run.path): title for title, runs in groups for run in runs}
    members: dict[str, list[int]] = {}
    for place, path in enumerate(result.runs):
        members.setdefault(group_of[path], []).append(place)
    within = [(title, _part(result, places)) for title, places in members.items() if len(places) > 1]
    if len(members) == 1:
        return _agreement(result)
    sentences = [f"{title}: {_agreement(part)}" for title, part in within[:_MOST]]
    if len(within) > _MOST:
        sentences.append(f"{len(within) - _MOST} more groups are in the picture.")
    pairs = [(i, j) for i, j in itertools.combinations(range(len(result.runs)), 2)]
    between = [result.pair(i, j).total.kappa for i, j in pairs if group_of[result.runs[i]] != group_of[result.runs[j]]]
    sentences.append(f"Between runs of different groups {_range(between)}")
    return " ".join(sentences)


def _part(result: Comparisons, places: Sequence[int]) -> Comparisons:
    """Return the comparisons of some of the runs with each other."""
    return Comparisons(
        tuple(result.runs[place] for place in places),
        tuple(result.epochs[place] for place in places),
        tuple(result.pair(i, j) for i, j in itertools.combinations(places, 2)),
    )


def _agreement(result: Comparisons) -> str:
    """Return the mean with its interval over runs, where there are enough of them for one, else the range."""
    if result.mean().low is not None:
        sentence = mean_sentence(result)
        return sentence[:1].lower() + sentence[1:]
    return _range([pair.total.kappa for pair in result.pairs])


def _range(kappas: Sequence[float | None]) -> str:
    known = [kappa for kappa in kappas if kappa is not None]
    rest = f"; undefined for {len(kappas) - len(known)}" if 0 < len(known) < len(kappas) else ""
    if not known:
        return "kappa is undefined."
    low, high = rate(min(known)), rate(max(known))
    over = f"over {len(known)} pairs" if len(known) > 1 else "of one pair"
    return f"kappa = {low if low == high else f'{low} to {high}'} (chance 0) {over}{rest}."


def degrees_reading(fan_in: NDArray[np.int64], trials: int) -> str:
    """Return how many units have no weight and how much degrees vary, against what density alone gives.

    Parameters
    ----------
    fan_in
        Active weights into each unit.
    trials
        Weights into each unit, active or not.
    """
    density = float(fan_in.mean()) / trials
    empty = f"{percent(float((fan_in == 0).mean()))} of its {count(len(fan_in))} units have no active weight"
    alone = (1 - density) ** trials
    chance = f"({percent(alone) if alone >= _RARE else f'below {percent(_RARE)}'} by density alone)"
    if len(fan_in) < 2:
        return f"{empty} {chance}."
    # With one unit less, the ratio is 1 on average in random masks of the same number of weights.
    ratio = float(fan_in.var(ddof=1)) / (trials * density * (1 - density))
    return f"{empty} {chance}, and the variance of their numbers is {rate(ratio)} times that of density alone."
