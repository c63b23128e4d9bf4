"""Read checkpoints one after the other into a run that appears whole or not at all."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from masktools.errors import RunError
from masktools.importers.layers import layer_contents, other_tensors
from masktools.importers.result import ImportedEpoch, ImportedLayer
from masktools.importers.sources import Source
from masktools.run_writer import RunWriter
from masktools.snapshot.streamed import StreamedContent, StreamedLayer
from masktools_train.importing.plan import Asked, plan_import
from masktools_train.importing.recording import describe_import, import_recipe
from masktools_train.recipe import Recipe

if TYPE_CHECKING:
    from masktools_train.importing.networks import Network

__all__ = ["Reading", "write_import"]

_UNFINISHED = ".import.tmp"
"""Folder in the run directory in which an import grows until it is whole."""


@dataclasses.dataclass(eq=False)
class Reading:
    """Reads checkpoints one after the other, and takes note of what they were.

    Parameters
    ----------
    ordered
        Epoch and files of each, in the order of the epochs.
    asked
        What is asked of all of them.
    network
        The model that they are of, or None.
    weights
        Which values are kept: ``active``, ``dense`` or ``none``.
    observer
        Called with the name of a checkpoint, the number of layers done, and that of all of them; or None.
    done
        What was read so far.
    """

    ordered: Sequence[tuple[int, Source]]
    asked: Asked
    network: "Network | None"
    weights: str
    observer: Callable[[str, int, int], None] | None
    done: list[ImportedEpoch] = dataclasses.field(default_factory=list)

    def content(self, number: int, source: Source, config: Mapping[str, Any]) -> StreamedContent:
        """Return the content of a snapshot, whose layers are made when they are asked for."""
        plan = plan_import(source, self.asked, self.network)
        name, tensors = source.path.name, other_tensors(plan.parts, plan.chosen)
        total = len(plan.chosen)

        def layers() -> Iterator[StreamedLayer]:
            noted: list[ImportedLayer] = []
            origins = {choice.name: choice.mask for choice in plan.chosen}
            for layer in layer_contents(plan.parts, plan.chosen, plan.counts, plan.checkpoint.name, self.weights):
                self._tell(name, len(noted), total)
                yield layer
                mask = layer.mask
                noted.append(ImportedLayer(layer.name, mask.shape, mask.active, layer.prunable, origins[layer.name]))
            self._tell(name, total, total)
            key, stripped = plan.checkpoint.key, plan.checkpoint.stripped
            self.done.append(ImportedEpoch(number, name, plan.format, key, stripped, tuple(noted)))

        return StreamedContent(number, 0, layers(), config, tensors, plan.topology)

    def measured(self, number: int, source: Source) -> ImportedEpoch:
        """Make the masks of a checkpoint for nothing but their sizes, and return what it is."""
        for _ in self.content(number, source, {}).layers:
            pass
        return self.done.pop()

    def _tell(self, name: str, count: int, total: int) -> None:
        if self.observer is not None:
            self.observer(name, count, total)


def write_import(
    writer: RunWriter,
    work: Reading,
    recipe: str | None,
    model: str | None,
    options: Mapping[str, Any] | None,
    overwrite: bool,
) -> Recipe | None:
    """Write a run in a folder of its own, and put it in place when it is whole; return its recipe.

    Parameters
    ----------
    writer
        Of the run directory, which is locked.
    work
        What to write.
    recipe, model, options
        As for `masktools_train.importing.recording.import_recipe`; no recipe without the first.
    overwrite
        Delete the run that is there.

    Raises
    ------
    RunError, SnapshotError
        If it cannot be written.
    CheckpointError
        If a checkpoint cannot be read, or holds something else than masks.
    """
    growing = writer.path / _UNFINISHED
    shutil.rmtree(growing, ignore_errors=True)
    inner = RunWriter(growing)
    resolved = None
    try:
        if recipe is not None:
            last = work.measured(*work.ordered[-1])
            # A share of a network that has no weights left is none that a recipe may hold.
            resolved = import_recipe(recipe, max(last.active, 1) / last.size, model, options)
        for number, source in work.ordered:
            inner.snapshot(work.content(number, source, {} if resolved is None else resolved.to_dict()))
        digests = [source.digest() for _, source in work.ordered]
        inner.describe(describe_import(writer.path.resolve().name, work.done, digests, resolved))
        if overwrite:
            writer.clear()
        for path in sorted(growing.iterdir(), reverse=True):  # run.json before the snapshots
            path.replace(writer.path / path.name)
    except OSError as error:
        raise RunError(f"{writer.path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return resolved
