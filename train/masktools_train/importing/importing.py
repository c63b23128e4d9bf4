"""Import checkpoints of other programs as a run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masktools.errors import CheckpointError, RecipeError, RunError
from masktools.importers.epochs import epochs_of
from masktools.importers.layers import other_tensors
from masktools.importers.result import ImportedEpoch, ImportResult
from masktools.importers.sources import find_sources
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.snapshot.layout import KINDS
from masktools_train.importing.plan import DISTRIBUTION_NAMES, Asked, Plan, plan_import
from masktools_train.importing.recording import import_recipe
from masktools_train.importing.writing import Reading, write_import

if TYPE_CHECKING:
    from masktools_train.importing.networks import Network

__all__ = ["import_run"]


def import_run(
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    format: str = "auto",  # noqa: A002
    key: str | None = None,
    masks: str | Path | None = None,
    density: float | None = None,
    distribution: str = "uniform",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    epochs: Sequence[int] | None = None,
    model: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    graph: str | None = None,
    recipe: str | None = None,
    weights: str = "active",
    overwrite: bool = False,
    dry_run: bool = False,
    observer: Callable[[str, int, int], None] | None = None,
) -> ImportResult:
    """Make a run of checkpoints that other programs wrote, a snapshot of each.

    No tensor is whole in memory: masks and values are made piece by piece (of a ``.pt`` file from before torch 1.6, the
    file is). Nothing in a file is run.

    Parameters
    ----------
    sources
        Files (``.pt``, ``.pth``, ``.safetensors`` or its ``.index.json``, ``.npz``), folders of Hugging Face, or
        directories of a replicate of open_lth, in which every level is a checkpoint.
    out
        The run directory.
    format
        A key of `masktools.importers.registry.FORMATS`, or ``auto``.
    key
        Where in a file the network is, where there are several.
    masks
        A file with the masks, where they are not with the weights.
    density, distribution
        Keep the largest weights (or scores): this share of each layer (``uniform``), by layer sizes (``erk``), or of
        all layers together (``global``).
    include, exclude
        Patterns of names: what is a layer, see `masktools.importers.layers.choose`.
    epochs
        Epoch of each checkpoint; None takes the numbers in their names, else their order.
    model, model_options, input_shape, classes
        The model, built as recipes do, for the operator graph. Shape and classes are those of the recipe's data where
        they are not given.
    graph
        ``sequential`` chains the layers in their order instead.
    recipe
        Recipe whose data and optimizer the run records, so that it can be pruned and trained again; of `model`, or of
        its own model.
    weights
        Which values are kept: ``active``, ``dense`` (what is behind the masks too) or ``none``.
    overwrite
        Delete the run in `out`, once the new one is whole.
    dry_run
        Write nothing, and say what would be imported.
    observer
        Called with the name of a checkpoint, the number of layers done, and that of all of them.

    Returns
    -------
    ImportResult
        What was imported, or with `dry_run` what would be: epochs, layers and counts, and what is odd about them.

    Raises
    ------
    CheckpointError
        If a file cannot be read, is ambiguous, or does not fit what was asked.
    RecipeError
        If an option, a model or a recipe cannot be used.
    RunError
        If `out` holds a run and `overwrite` is not set.
    """
    for option, value, allowed in (
        ("distribution", distribution, DISTRIBUTION_NAMES),
        ("weights", weights, KINDS),
        ("graph", graph, (None, "sequential")),
    ):
        if value not in allowed:
            raise RecipeError(f"{option} {value!r} is unknown; choose from {', '.join(str(a) for a in allowed if a)}")
    if graph is not None and (model or recipe):
        raise RecipeError("graph 'sequential' and a model exclude each other; the model says what its graph is")
    paths = [sources] if isinstance(sources, str | Path) else list(sources)
    found = [source for path in paths for source in find_sources(Path(path))]
    if not found:
        raise CheckpointError("there is no checkpoint to import")
    numbers, origin = epochs_of([source.path for source in found], epochs)
    ordered = sorted(zip(numbers, found, strict=True), key=lambda item: item[0])
    writer = RunWriter(out)
    if writer.occupied and not (overwrite or dry_run):
        raise RunError(f"{writer.path}: holds a run already; overwrite it (--overwrite), or choose another directory")
    network = _network(model, model_options or {}, input_shape, classes, recipe)
    asked = Asked(
        format,
        key,
        None if masks is None else Path(masks),
        density,
        distribution,
        tuple(include),
        tuple(exclude),
        graph is not None,
        None if input_shape is None else tuple(input_shape),
    )
    # All are looked at before the first is read: what is wrong with the last is said now. None is kept open.
    first = plan_import(ordered[0][1], asked, network)
    for _, source in ordered[1:]:
        _same_layers(first, plan_import(source, asked, network))
    work = Reading(ordered, asked, network, weights, observer)
    if dry_run:
        work.done = [work.measured(number, source) for number, source in ordered]
        made = None
    else:
        with locked(writer.make()):
            made = write_import(writer, work, recipe, model, model_options, overwrite)
    return ImportResult(
        run=str(out),
        written=not dry_run,
        epochs=tuple(work.done),
        epochs_from=origin,
        tensors=tuple(other_tensors(first.parts, first.chosen)),
        graph="model" if network is not None else graph,
        recipe=recipe if made is None else made.name,
        warnings=_warnings(work.done, density),
    )


def _network(
    model: str | None,
    options: Mapping[str, Any],
    input_shape: Sequence[int] | None,
    classes: int | None,
    recipe: str | None,
) -> "Network | None":
    """Build the model that was asked for, or that of the recipe."""
    if model is None and recipe is None:
        if options or classes is not None:
            raise RecipeError("model options and classes go with a model (--model)")
        return None
    from masktools_train.importing.networks import Network  # torch takes a second

    whose = "that of --input-shape"
    if recipe is not None:
        spec = import_recipe(recipe, 1.0, model, options)
        model, options = spec.model.name, spec.model.options
        whose = "that of the recipe's data" if input_shape is None else whose
        if input_shape is None or classes is None:
            from masktools_train.data import load_data

            data = load_data(spec.data.name, spec.data.options)
            input_shape, classes = input_shape or data.input_shape, classes or data.classes
    if model is None or input_shape is None or classes is None:
        raise RecipeError(f"model {model!r}: the shape of an input and the number of classes are needed to build it")
    return Network.build(model, options, tuple(input_shape), classes, whose)


def _same_layers(first: Plan, other: Plan) -> None:
    if first.shapes != other.shapes:
        names = [name for name in {**first.shapes, **other.shapes} if first.shapes.get(name) != other.shapes.get(name)]
        raise CheckpointError(
            f"{other.checkpoint.name}: is no other epoch of {first.checkpoint.name}: layer {names[0]!r} differs"
        )


def _warnings(done: Sequence[ImportedEpoch], density: float | None) -> tuple[str, ...]:
    return (*_of_full(done, density), *_of_empty(done[-1]))


def _of_empty(epoch: ImportedEpoch) -> tuple[str, ...]:
    """Say which layers let nothing through."""
    names = [layer.name for layer in epoch.layers if layer.size and not layer.active]
    if not names:
        return ()
    if len(names) == 1:
        return (f"{epoch.source}: {names[0]} has no active weight: nothing gets through it",)
    listed = f"{', '.join(names[:-1])} and {names[-1]}"
    return (f"{epoch.source}: {listed} have no active weight: nothing gets through them",)


def _of_full(done: Sequence[ImportedEpoch], density: float | None) -> tuple[str, ...]:
    """Say that every weight is active, where nobody asked for that."""
    if density is not None or any(epoch.active < epoch.size for epoch in done):
        return ()
    last = done[-1]
    if any(layer.mask == "zeros" for layer in last.layers):
        return (
            f"{last.source}: the weights have no zeros, so that all of them are taken for active; where the file holds "
            "dense weights of a sparse network, say with --density how many of them count",
        )
    return (f"{last.source}: every mask is full of ones, the network is dense",)
