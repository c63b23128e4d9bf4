"""The dynamics of several runs as documents: a row a run, with its curve in small."""

from collections.abc import Mapping, Sequence

from masktools.render.document import Cell, Column, Table
from masktools.render.emergence_layers import layer_table
from masktools.render.emergence_null import null_sentence
from masktools.render.numbers import rate
from masktools.render.run_names import beginning_of
from masktools.render.sparkline import sparkline
from masktools.structure.dynamics.emergence_result import Emergence
from masktools.structure.dynamics.hubs import SIDES
from masktools.structure.dynamics.turnover import Turnover

__all__ = ["runs_tables"]

_WIDTH = 20
"""Characters of a curve, which leave room for the names of runs."""


def runs_tables(results: Sequence[Emergence], names: Mapping[str, str], beginning: str) -> list[Table]:
    """Return what several runs did, a row a run in each table.

    Parameters
    ----------
    results
        The dynamics of each run.
    names
        What each run is called, by its path.
    beginning
        What is left out of the paths.
    """
    nulls = " ".join(null_sentence(result, names[result.run]) for result in results if result.trials)
    return [
        _arrivals(results, names, beginning),
        *([Table("Beside random masks", (), (), nulls)] if nulls else []),
        layer_table(results),
        _births(results),
        _survivals(results),
        _hubs(results),
        _early_birds(results),
    ]


def _table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], reading: str) -> Table:
    return Table(title, (Column("run"), *columns), tuple(map(tuple, rows)), reading)


def _arrivals(results: Sequence[Emergence], names: Mapping[str, str], beginning: str) -> Table:
    threshold = results[0].threshold
    rows = []
    for result in results:
        kappa = [point.kappa for point in result.curve]
        ends = (result.emergence_epoch, result.emergence_epoch_beyond_initial, result.epochs[-1])
        rows.append((result.run, sparkline(kappa, width=_WIDTH), kappa[0], kappa[len(kappa) // 2], *ends))
    columns = (
        Column("curve", "kappa, 0 to 1", "curve"),
        Column("first", kind="rate"),
        Column("half", "half-way", "rate", like="first"),
        Column("epoch", "in place", "count"),
        Column("beyond", kind="count"),
        Column("last", "of", "count"),
    )
    when = [f"{names[result.run]} {_when(result)}" for result in results]
    reading = (
        f"kappa with the final mask (chance 0) reaches {threshold:g} for good: {'; '.join(when)}. In place is that "
        "epoch, beyond the one from which on it holds for what the first mask does not explain. --format csv has every "
        "epoch."
    )
    return _table(f"Overlap with the final mask{beginning_of(beginning)}", columns, rows, reading)


def _when(result: Emergence) -> str:
    last = result.epochs[-1]
    if result.emergence_epoch is None:
        return "is not defined, because every final layer is dense or empty"
    if result.emergence_epoch == last:
        return f"only with the last snapshot (epoch {last}): the mask was still changing"
    lr = result.lr_decay
    fallen = f" (learning rate {rate(lr[1])} then, of {rate(lr[0])} at most)" if lr else ""
    return f"from epoch {result.emergence_epoch} on, of {last}{fallen}"


def _births(results: Sequence[Emergence]) -> Table:
    rows = []
    for result in results:
        steps = [point.turnover for point in result.curve[1:]]
        first, end = result.curve[0], result.curve[-1].turnover
        births = sum(step.births or 0 for step in steps)
        back, expected = _returned(steps)
        rows.append(
            (
                result.run,
                *(first.intersection_share, first.expected_share, births),
                *((back / births, expected / births) if births else (None, None)),
                *(end.exploration, end.expected_exploration),
            )
        )
    columns = (
        Column("share", "at first", "rate"),
        Column("expected_share", "by chance", "rate", like="share"),
        Column("births", kind="count"),
        Column("back", "came back", "rate"),
        Column("expected_back", "by chance", "rate", like="back"),
        Column("explored", kind="rate"),
        Column("expected_explored", "by chance", "rate", like="explored"),
    )
    reading = (
        "At first: share of the final mask that was there. Came back: share of the births that were active before; "
        "explored: of all weights, ever active; both by chance if births fell on random inactive weights."
    )
    return _table("Births since the first snapshot", columns, rows, reading)


def _returned(steps: Sequence[Turnover]) -> tuple[int, float]:
    return sum(step.regrowth or 0 for step in steps), sum(step.expected_regrowth or 0.0 for step in steps)


def _survivals(results: Sequence[Emergence]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for result in results:
        spells = result.spells
        curve, expected = spells.survival, spells.expected_survival
        points = curve.to_dict()["curve"]
        told = (curve.median, curve.median_low, curve.median_high, expected.median)
        rows.append((result.run, _survival_curve(points), spells.spells, spells.ongoing, *told))
    columns = (
        Column("curve", "share left, 0 to 1", "curve"),
        Column("spells", kind="count"),
        Column("ongoing", "at the end", "count"),
        Column("half_life", "half-life", "count"),
        Column("low", "95 %", "count", until="high"),
        Column("high", kind="count"),
        Column("expected", "by chance", "count"),
    )
    reading = (
        "Half-life: epochs after which half of the spells have ended; - is one that was not reached. The curves begin "
        "at a duration of 0 and end at the longest; at the end: spells that were still running."
    )
    return _table("How long weights stay active", columns, rows, reading)


def _survival_curve(points: Sequence[Mapping[str, float]]) -> str:
    """Return a survival function at evenly spread durations: it keeps its value until the next one."""
    if not points:
        return ""
    longest = points[-1]["duration"]
    moments = [longest * place / (_WIDTH - 1) for place in range(_WIDTH)]
    values = [[1.0, *(p["survival"] for p in points if p["duration"] <= moment)][-1] for moment in moments]
    return sparkline(values, width=_WIDTH)


def _hubs(results: Sequence[Emergence]) -> Table:
    rows = [
        (
            result.run,
            *(
                cell
                for side in SIDES
                for cell in (result.hubs[side].kappa[0], result.hubs[side].z[0], result.hub_emergence_epoch(side))
            ),
        )
        for result in results
    ]
    columns = [
        column
        for side in SIDES
        for column in (
            Column(f"{side}_kappa", f"{side.replace('_', '-')}: kappa", "rate"),
            Column(f"{side}_z", "z", "rate", joined=True),
            Column(f"{side}_epoch", "in place", "count", joined=True),
        )
    ]
    reading = (
        "Hubs are the tenth of a layer's units with most active weights. kappa (chance 0, z from it): those of the "
        f"first snapshot against the final ones; in place: from then on kappa stays at {results[0].threshold:g} or "
        "above."
    )
    return _table("Hubs, inputs by fan-out and outputs by fan-in", columns, rows, reading)


def _early_birds(results: Sequence[Emergence]) -> Table:
    early = [result.early_bird for result in results]
    rows = [
        (result.run, bird.epoch, bird.hamming_epoch, bird.hamming, bird.expected_hamming, bird.vacuous)
        for result, bird in zip(results, early, strict=True)
    ]
    columns = (
        Column("epoch", "settled", "count"),
        Column("hamming_epoch", "by Hamming", "count"),
        Column("hamming", "differ", "rate"),
        Column("expected", "by chance", "rate", like="hamming"),
        Column("vacuous", "says nothing"),
    )
    bird = early[0]
    reading = (
        f"Settled: the first epoch whose mask has kappa {bird.threshold:g} with each of the {bird.window - 1} masks "
        f"before it. By Hamming, the original rule of You et al.: at most {bird.hamming_limit:g} of all weights "
        "differ, which says nothing where independent masks differ as little."
    )
    return _table("Early bird: settled, told without the final mask", columns, rows, reading)
