"""What was imported, as a document."""

from masktools.importers.result import ImportResult
from masktools.render.document import Column, Document, Table
from masktools.render.numbers import count, percent

__all__ = ["import_document"]

_ORIGINS = {
    "file": "in the file",
    "scores": "largest scores",
    "largest": "largest weights",
    "zeros": "where not 0",
    "dense": "none: dense",
}
"""In words, where a mask is from."""


def import_document(result: ImportResult) -> Document:
    """Return the layers of the last epoch, and which file became which epoch.

    Parameters
    ----------
    result
        What was imported, or would be.
    """
    last = result.final
    columns = (
        Column("name", "layer"),
        Column("shape", "shape"),
        Column("size", "weights", "count"),
        Column("active", "active", "count"),
        Column("density", "density", "rate"),
        Column("prunable", "prunable"),
        Column("mask", "mask"),
    )
    rows = tuple(
        (
            layer.name,
            "x".join(map(str, layer.shape)),
            layer.size,
            layer.active,
            layer.active / layer.size if layer.size else None,
            layer.prunable,
            _ORIGINS[layer.mask],
        )
        for layer in last.layers
    )
    done = f"written to {result.run}" if result.written else "nothing was written"
    reading = (
        f"{count(last.active)} of {count(last.size)} weights are active ({percent(_density(last.active, last.size))}); "
        f"{count(len(result.tensors))} other tensors are kept as they are; {done}."
    )
    title = f"{last.source}, format {last.format}{f', under {last.key}' if last.key else ''}"
    return Document("import", result.to_dict(), (Table(title, columns, rows, reading), _epochs(result)), _notes(result))


def _epochs(result: ImportResult) -> Table:
    columns = (
        Column("epoch", kind="count"),
        Column("source", "from"),
        Column("format"),
        Column("active", kind="count"),
        Column("density", kind="rate"),
    )
    rows = tuple(
        (each.epoch, each.source, each.format, each.active, _density(each.active, each.size)) for each in result.epochs
    )
    words = {
        "given": "Epochs are as given.",
        "names": "Epochs are the numbers in the names; set them with --epochs LIST.",
        "order": "Epochs count the sources in natural order of their names; set them with --epochs LIST.",
    }
    return Table("Epochs", columns, rows, words[result.epochs_from])


def _notes(result: ImportResult) -> tuple[str, ...]:
    notes = [f"{warning}." for warning in result.warnings]
    if result.final.stripped:
        notes.append(f"taken off the names: {', '.join(result.final.stripped)}.")
    if result.graph is None:
        notes.append("no operator graph, so connectivity cannot be measured; give --model, or --graph sequential.")
    elif result.graph == "sequential":
        notes.append("the operator graph is a chain of the layers in their order, because you said so.")
    if result.recipe is None:
        notes.append("no recipe, so it can be neither pruned nor trained again; give --recipe with --model.")
    return tuple(notes)


def _density(active: int, size: int) -> float | None:
    return active / size if size else None
