"""The equivalent smaller network, as a document."""

from masktools.render.document import Cell, Column, Document, Table
from masktools.render.numbers import count, percent, rate
from masktools.structure.compaction import CompactReport

__all__ = ["compact_document"]


def compact_document(result: CompactReport) -> Document:
    """Return what became of each layer, and what the whole network costs before and after."""
    total, proof = result.total, result.proof
    columns = (
        Column("name", "layer"),
        Column("shape_before", "shape before"),
        Column("shape_after", "after"),
        Column("active_before", "active before", "count"),
        Column("active_after", "after", "count"),
    )
    rows = tuple(
        (layer.name, _shape(layer.shape_before), _shape(layer.shape_after), layer.active_before, layer.active_after)
        for layer in result.layers
    )
    reading = (
        f"{count(total.units_after)} of {count(total.units_before)} hidden units are left: {count(total.dead)} were "
        f"read by nothing that leads to an output, {count(total.folded)} were constant and went into biases."
    )
    size = (
        f"The same function with {percent(_share(total.after.parameters, total.before.parameters))} of the parameters: "
        f"on {count(proof.inputs)} test inputs no output differs by more than {rate(proof.float32)} in float32 and "
        f"{rate(proof.float64)} in float64 (largest output {rate(proof.largest_output)}, "
        f"allowed {rate(proof.tolerance)})."
    )
    tables = (
        Table(f"{result.run}, epoch {result.epoch}", columns, rows, reading),
        Table("The whole network", _COSTS, _costs(result), size),
    )
    return Document("compact", result.to_dict(), tables, _notes(result))


_COSTS = (
    Column("what", ""),
    Column("before", "before", "rate"),
    Column("after", "after", "rate"),
    Column("ratio", "before / after", "rate"),
)


def _costs(result: CompactReport) -> tuple[tuple[Cell, ...], ...]:
    before, after = result.total.before, result.total.after
    pairs = [
        ("hidden units", result.total.units_before, result.total.units_after),
        (
            "active weights",
            sum(layer.active_before for layer in result.layers),
            sum(layer.active_after for layer in result.layers),
        ),
        ("parameters", before.parameters, after.parameters),
        ("bytes", before.bytes, after.bytes),
        ("multiply-accumulates", before.multiply_accumulates, after.multiply_accumulates),
    ]
    rows: list[tuple[Cell, ...]] = [(what, old, new, old / new if new else None) for what, old, new in pairs]
    if before.seconds is not None and after.seconds is not None:
        label = f"ms a batch of {result.batch_size}"
        rows.append((label, 1e3 * before.seconds, 1e3 * after.seconds, before.seconds / after.seconds))
    return tuple(rows)


def _notes(result: CompactReport) -> tuple[str, ...]:
    notes = [
        f"{count(units)} unit{'s' if units > 1 else ''} without effect or constant stayed: {reason}."
        for reason, units in sorted(result.total.kept.items(), key=lambda item: -item[1])
    ]
    reasons: dict[str, list[int]] = {}
    for group in result.total.left:
        reasons.setdefault(group.reason, []).append(group.units)
    notes += [
        f"left alone: {len(units)} set{'s' if len(units) > 1 else ''} of {count(sum(units))} hidden units: {reason}."
        for reason, units in reasons.items()
    ]
    if result.out is not None:
        notes.append(f"written to {result.out}.")
    if result.program is not None:
        notes.append(f"{result.program} runs without the model's code: torch.export.load(path).module()(inputs).")
    if result.program_problem is not None:
        notes.append(f"no model.pt2 was written, torch cannot export this network: {result.program_problem}.")
    return tuple(notes)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
