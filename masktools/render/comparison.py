"""Comparisons as documents."""

from collections.abc import Sequence
from typing import Any

from masktools.render.chance_words import ALPHA, agreement, agreement_of_mean, in_common
from masktools.render.comparison_degrees import UNITS_NOTE, alike_degrees_note, unit_rows, units_table
from masktools.render.comparison_nulls import against_null, aligned_table, nnstd_table
from masktools.render.comparison_pairs import overlaps_table, pairs_table
from masktools.render.document import Column, Document, Table
from masktools.render.null_words import ENOUGH_DRAWS
from masktools.render.numbers import count, p_words, percent, rate, with_interval
from masktools.render.run_names import beginning_of, named, short_names
from masktools.structure.comparison import Comparison
from masktools.structure.comparisons import Comparisons
from masktools.structure.configuration import ABSENT, ConfigDifference
from masktools.structure.overlap import LayerOverlap, Overlap

__all__ = ["comparison_document", "comparisons_document", "mean_sentence", "overlap_table", "verdict"]

_MATRIX_LIMIT = 8
"""Runs up to which the matrix fits 80 columns."""

_FEW_RUNS = 10
"""Runs below which an interval is called a rough guide: a rare kind of run is likely not among so few."""

_CHANCE = (
    "chance = Jaccard index of independent uniform masks with the same number of active weights in every layer; "
    "kappa is 0 for those, and z counts standard deviations from them."
)
_PAIRS = (
    "pairs share runs, so they are not independent: the interval is one over runs (jackknife and Student t), not over "
    "pairs."
)

_COLUMNS = (
    Column("name", "layer"),
    Column("size", "weights", "count"),
    Column("density_a", "dens. A", "rate"),
    Column("density_b", "dens. B", "rate", like="density_a"),
    Column("density_difference", kind="rate", shown=False),
    Column("active_a", kind="count", shown=False),
    Column("active_b", kind="count", shown=False),
    Column("intersection", kind="count", shown=False),
    Column("expected_intersection", kind="rate", shown=False),
    Column("jaccard", "Jaccard", "rate"),
    Column("expected_jaccard", "chance", "rate", like="jaccard"),
    Column("kappa", "kappa", "rate"),
    Column("z", "z", "rate"),
    Column("share", kind="rate", shown=False),
    Column("expected_share", kind="rate", shown=False),
    Column("hamming", kind="rate", shown=False),
    Column("expected_hamming", kind="rate", shown=False),
    Column("p_value", kind="rate", shown=False),
)


def verdict(total: LayerOverlap) -> str:
    """Return in words how far an overlap is from chance."""
    if total.kappa is None:
        return "kappa is undefined, because every layer is dense in both masks or empty in both"
    if total.z is None:
        words = "chance leaves no freedom, because in every layer one of the masks is dense or empty"
    elif total.kappa == 1:
        words = "the masks are equal"
    else:
        words = agreement(total.kappa, total.p_value)
    common = in_common(total.share, total.expected_share)
    return f"kappa = {rate(total.kappa)} (chance 0): {words}; {common}; z = {rate(total.z)}, {p_words(total.p_value)}"


def overlap_table(result: Overlap) -> Table:
    """Return the overlap of two sets of masks: a row a layer, the total last."""
    rows = [row.to_dict() for row in (*result.layers, result.total)]
    return Table.of_records("", _COLUMNS, rows, verdict(result.total) + ".")


def comparison_document(result: Comparison) -> Document:
    """Return the comparison of two runs: a row a layer, the total last, then degrees, alignment and configuration."""
    (a, b), (epoch_a, epoch_b) = result.runs, result.epochs
    rows = [row.to_dict() for row in (*result.layers, result.total)]
    title = f"A = {a} (epoch {epoch_a})\nB = {b} (epoch {epoch_b})"
    tables = [Table.of_records(title, _COLUMNS, rows, verdict(result.total) + ".")]
    tables += [
        table
        for table in (against_null(result), units_table(result), nnstd_table(result), aligned_table(result))
        if table
    ]
    if result.configuration:
        values = tuple((item.key, *_values(item)) for item in result.configuration)
        tables.append(
            Table(
                "Configuration, where it differs",
                (Column("key"), Column("a", "A"), Column("b", "B")),
                values,
                f"{len(values)} configuration {'key differs' if len(values) == 1 else 'keys differ'}.",
            )
        )
    notes = [_CHANCE]
    alike = alike_degrees_note(result)
    if result.degrees:
        notes.append(alike or UNITS_NOTE)
    if result.degrees_missing:
        notes.append(f"degrees were not compared: {result.degrees_missing}.")
    if result.nnstd_missing:
        notes.append(f"NNSTD was not measured: {result.nnstd_missing}.")
    if result.configuration_missing:
        notes.append(f"configurations were not compared: {result.configuration_missing}.")
    elif not result.configuration:
        notes.append("the configurations do not differ.")
    if result.same_snapshot:
        notes.append("A and B are the same snapshot, which agrees with itself.")
    return Document("compare", result.to_dict(), tuple(tables), tuple(notes), _records(title, result, rows))


def _records(title: str, result: Comparison, rows: list[dict[str, Any]]) -> Table:
    """Return everything that there is of each layer in one row."""
    units = {row["name"]: row for row in unit_rows(result)}
    names = list(dict.fromkeys(key for row in units.values() for key in row if key != "name"))
    levels = ["mean", "low", "high", *(["p_value", "adjusted_p_value"] if _enough(result) else [])]
    metrics = dict.fromkeys(metric for metric, _ in result.trial.levels) if result.trial else {}
    drawn = [f"{metric}_null_{key}" for metric in metrics for key in levels]
    columns = (*_COLUMNS, *(Column(name, kind="rate") for name in (*names, *drawn)))
    blank = dict.fromkeys((*names, *drawn))
    records = []
    for row in rows:
        null: dict[str, Any] = {}
        for metric in metrics:
            level = result.level(metric, row["name"])
            null |= {f"{metric}_null_{key}": getattr(level, key) for key in levels} if level else {}
        records.append({**blank, **row, **units.get(row["name"], {}), **null})
    return Table.of_records(title, columns, records, "")


def comparisons_document(result: Comparisons) -> Document:
    """Return the comparison of several runs: a row a pair, then kappa as a matrix where that fits."""
    columns = (Column("run_a", "run A"), Column("run_b", "run B"), *_COLUMNS[2:])
    records = [{"run_a": p.runs[0], "run_b": p.runs[1], **p.total.to_dict()} for p in result.pairs]
    beginning, names = short_names(result.runs)
    short = dict(zip(result.runs, names, strict=True))
    title = f"All layers together, each pair of runs{beginning_of(beginning)}"
    reading = f"{_range(result)} {mean_sentence(result)}{_mixed(result)}"
    everything = Table.of_records(title, columns, records, reading)
    shown = (overlaps_table(everything, result), pairs_table(result))
    tables = [named(table, short, ("run_a", "run_b")) for table in shown if table]
    if len(result.runs) <= _MATRIX_LIMIT:
        tables.insert(1, _matrix(result, names))
    notes = [_CHANCE, _PAIRS]
    if result.repeated:
        notes.append(f"given more than once, and counted once: {', '.join(result.repeated)}.")
    missing = {pair.degrees_missing for pair in result.pairs if pair.degrees_missing}
    notes += [f"degrees were not compared: {reason}." for reason in sorted(missing)]
    return Document("compare", result.to_dict(), tuple(tables), tuple(notes), records=everything)


def _matrix(result: Comparisons, names: Sequence[str]) -> Table:
    """Return kappa of every pair as a matrix, runs as rows and, by their numbers, as columns."""
    alike = len(set(result.epochs)) == 1
    title = f"kappa at epoch {result.epochs[0]}" if alike else "kappa"
    columns = (
        Column("run", whole=True),
        *(Column(str(i + 1), kind="rate", like="1" if i else "") for i in range(len(names))),
    )
    rows = tuple(
        (f"{i + 1}  {name}" + ("" if alike else f" (epoch {epoch})"), *row)
        for i, (name, epoch, row) in enumerate(zip(names, result.epochs, result.matrix(), strict=True))
    )
    return Table(title, columns, rows, "Columns are the runs by their numbers; 0 is chance, 1 the same masks.")


def mean_sentence(result: Comparisons) -> str:
    """Return the mean kappa over pairs in words, with its interval over runs."""
    mean = result.mean()
    if mean.mean is None:
        return "kappa is undefined for every pair."
    if mean.low is None or mean.high is None:
        return f"Mean kappa = {rate(mean.mean)} (chance 0); an interval over runs needs at least three runs."
    number = with_interval(mean.mean, mean.low, mean.high)
    said = f"Mean kappa = {number} (chance 0): {agreement_of_mean(mean.mean, mean.low, mean.high)}"
    if mean.runs < _FEW_RUNS:
        return f"{said}; with {count(mean.runs)} runs this interval is a rough guide."
    return f"{said}; 95 % interval over {count(mean.runs)} runs."


def _mixed(result: Comparisons) -> str:
    """Return a warning where the mean is one over different experiments: it depends on how many runs are of each."""
    keys = dict.fromkeys(difference.key for pair in result.pairs for difference in pair.configuration)
    different = [key for key in keys if key != "seed"]
    if not different:
        return ""
    rest = f" and {count(len(different) - 1)} more" if len(different) > 1 else ""
    return (
        f" The runs are not seeds of one experiment ({different[0]}{rest} differ{'' if rest else 's'}): pairs within "
        "one and between two are averaged, so compare those of one experiment for its mean."
    )


def _range(result: Comparisons) -> str:
    kappas = [pair.total.kappa for pair in result.pairs if pair.total.kappa is not None]
    undefined = len(result.pairs) - len(kappas)
    rest = f"; undefined for {undefined} of {len(result.pairs)} pairs" if undefined else ""
    if not kappas:
        return "kappa is undefined for every pair, because every layer is dense in both masks or empty in both."
    ps = [pair.total.p_value for pair in result.pairs if pair.total.p_value is not None]
    within = sum(p > ALPHA for p in ps)
    return (
        f"kappa = {rate(min(kappas))} to {rate(max(kappas))} (chance 0) over {len(kappas)} pairs; "
        f"{within} of {len(ps)} are not told apart from chance (p > {ALPHA}, not corrected for their number){rest}."
        f"{_in_common(result)}"
    )


def _in_common(result: Comparisons) -> str:
    """Return how many weights the pairs have in common, from the least to the most, each beside its chance level."""
    found = sorted(
        (pair.total.share, pair.total.expected_share)
        for pair in result.pairs
        if pair.total.share is not None and pair.total.expected_share is not None
    )
    if not found:
        return ""
    (least, by_chance), (most, most_by_chance) = found[0], found[-1]
    return (
        f" Active weights in common: {percent(least)} (by chance {percent(by_chance)}) to {percent(most)} (by chance "
        f"{percent(most_by_chance)})."
    )


def _enough(result: Comparison) -> bool:
    return result.trial is not None and result.trial.plan.draws >= ENOUGH_DRAWS


def _values(item: ConfigDifference) -> tuple[str, str]:
    """Return both values in full, so that the difference is seen: the text 1 is not the number."""
    a, b = ("(absent)" if value is ABSENT else str(value) for value in (item.a, item.b))
    return (repr(item.a), repr(item.b)) if a == b else (a, b)
