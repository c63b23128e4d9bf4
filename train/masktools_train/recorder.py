"""Record a run of anyone's training loop."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn

from masktools.errors import RecipeError, RunError
from masktools.run_files import METRICS, RUN_JSON, read_identity, read_metrics, snapshot_name
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.snapshot.content import SnapshotContent
from masktools.structure.configuration import flatten
from masktools.topology.graph import Topology
from masktools_train.capture import Capture
from masktools_train.given_masks import GivenMasks, chosen_masks
from masktools_train.identity import describe_recording
from masktools_train.model_weights import model_weights
from masktools_train.own_graph import graph_where_known
from masktools_train.sharding import refuse_sharded_model
from masktools_train.sparsifier import Sparsifier
from masktools_train.wrapping import unwrapped

__all__ = ["Recorder"]

_OWN = ("epoch", "step", "active", "density")
"""What every line of ``metrics.jsonl`` says by itself."""


class Recorder:
    """Writes a run directory as `masktools_train.train` does: ``run.json``, ``metrics.jsonl``, a snapshot an epoch.

    >>> recorder = Recorder("runs/mine", model, sparsifier)  # doctest: +SKIP
    >>> recorder.snapshot(epoch=1, metrics={"test_accuracy": 0.97})  # doctest: +SKIP

    Masks are those of the sparsifier, else those of `masks`, else what the model holds itself: of
    `torch.nn.utils.prune`, or of a parametrization with a tensor ``mask``. A layer that none of them names is dense:
    zeros among its weights say nothing, unless `masks` says that they do. Where several processes train together
    (torch.distributed), all may call this, and the first one writes.

    Parameters
    ----------
    path
        The run directory; made when missing.
    model
        The network, wrapped (`torch.compile`, DataParallel, DistributedDataParallel, AveragedModel) or not; names are
        those of the network inside.
    sparsifier
        What knows the masks.
    config
        The configuration, JSON-serialisable, for ``run.json`` and every snapshot.
    topology
        The operator graph, from `masktools_train.trace`; connectivity can be analysed only with it.
    weights
        Which weight values to store: ``active`` ones, ``dense`` (all of them, those included that train behind
        the mask) or ``none``.
    dtype
        ``float32`` or ``float16``, of the stored weights.
    masks
        Tensors of 0 and 1 by layer, or a function that returns them at each snapshot, for example
        ``sparsifier.masks``; ``zeros`` takes every weight for active that is not 0.
    example
        What the model is called with, a batch of at least two: the operator graph is traced from it, here and now. A
        model that cannot be followed is recorded without, with a warning.
    resume
        Go on with the run that is there: epochs recorded again replace those of before, others stay.
    overwrite
        Delete the run that is there, at the first snapshot.

    Raises
    ------
    RunError
        If the directory holds a run and neither `resume` nor `overwrite` is set, or one of another configuration.
    RecipeError
        If options exclude each other, masks do not fit the model, or each process holds a part of the weights (FSDP).
    """

    def __init__(
        self,
        path: str | Path,
        model: nn.Module,
        sparsifier: Sparsifier | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        topology: Topology | None = None,
        weights: str = "active",
        dtype: str = "float32",
        masks: GivenMasks | None = None,
        example: Tensor | tuple[Tensor, ...] | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        for first, second, both in (
            ("masks", "sparsifier", masks is not None and sparsifier is not None),
            ("example", "topology", example is not None and topology is not None),
            ("resume", "overwrite", resume and overwrite),
        ):
            if both:
                raise RecipeError(f"{first}= and {second}= exclude each other")
        refuse_sharded_model(model)
        self.writer = RunWriter(path)
        self._leads = not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
        self._config, self._resume, self._overwrite = dict(config or {}), resume, overwrite
        self._require_room()
        self._model, self._sparsifier = unwrapped(model), sparsifier
        if sparsifier is None and not callable(masks):
            # Here, where it is written, rather than after an epoch of training.
            chosen_masks(masks, model_weights(self._model).layers)
        if example is not None and self._leads:
            topology = graph_where_known(self._model, example)
        self._capture = Capture(
            self._model, sparsifier, config=config, topology=topology, weights=weights, dtype=dtype, masks=masks
        )
        self._records: dict[int, dict[str, Any]] | None = None

    def snapshot(
        self,
        epoch: int,
        step: int | None = None,
        *,
        metrics: Mapping[str, Any] | None = None,
        **extra: int | float | str,
    ) -> Path:
        """Write the snapshot of an epoch, and its line of ``metrics.jsonl``, and return the snapshot's path.

        At epoch 0 the *dense* initial weights are stored beside the first masks. An epoch that is recorded again
        replaces what it was.

        Parameters
        ----------
        epoch
            Number of finished epochs; 0 is the initialisation.
        step
            Number of finished optimizer steps; as the sparsifier counts them when None, without one 0.
        metrics
            What was measured, for example ``{"test_accuracy": 0.97}``: numbers (tensors of one element too), texts.
        extra
            Further facts about this moment, for example ``level=3``, kept in the snapshot.

        Raises
        ------
        SnapshotError
            If the file cannot be written.
        RunError
            If another file cannot, a metric has a name that the recorder uses itself, or a run is there already.
        RecipeError
            If a mask is wanting or fits no layer.
        """
        figures = _figures(metrics or {})
        if not self._leads:
            return self.writer.path / snapshot_name(epoch)
        content = self.content(epoch, self._step(step), **extra)
        with locked(self.writer.make()):
            records = self._open()
            path = self.writer.snapshot(content)
            records[content.epoch] = {
                "epoch": content.epoch,
                "step": content.step,
                **figures,
                "active": content.active,
                "density": content.active / content.size if content.size else 1.0,
            }
            self.writer.metrics([records[key] for key in sorted(records)])
        return path

    def add_metrics(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Add to the line of an epoch that was recorded before it was measured.

        Parameters
        ----------
        epoch
            One that this recorder has written, or one of the run that it resumes.
        metrics
            As for `snapshot`; those of the same name are replaced.

        Raises
        ------
        RunError
            If there is no line of that epoch, or as for `snapshot`.
        """
        figures = _figures(metrics)
        if not self._leads:
            return
        with locked(self.writer.make()):
            records = self._open()
            if epoch not in records:
                raise RunError(f"{self.writer.path}: epoch {epoch} is not recorded, so that it can have no metrics")
            records[epoch].update(figures)
            self.writer.metrics([records[key] for key in sorted(records)])

    def content(self, epoch: int, step: int | None = None, **extra: int | float | str) -> SnapshotContent:
        """Return what `snapshot` writes into the file of an epoch, copied off the device."""
        return self._capture.content(epoch, self._step(step), **extra)

    def _step(self, step: int | None) -> int:
        counted = 0 if self._sparsifier is None else self._sparsifier.step
        return counted if step is None else step

    def _require_room(self) -> None:
        if self._leads and self.writer.occupied and not (self._resume or self._overwrite):
            raise RunError(
                f"{self.writer.path}: holds a run already; resume it (resume=True), overwrite it (overwrite=True), "
                "or choose another directory"
            )

    def _open(self) -> dict[int, dict[str, Any]]:
        """Make the directory this run's, once; return the lines of its metrics by epoch."""
        if self._records is not None:
            return self._records
        self._require_room()
        if self._overwrite:
            self.writer.clear()
        path = self.writer.path
        records = {record["epoch"]: record for record in read_metrics(path / METRICS) if "epoch" in record}
        identity = read_identity(path / RUN_JSON)
        if identity:
            self._require_same(identity.get("config", {}))
        else:
            device = next((value.device for value in self._model.state_dict().values()), None)
            self.writer.describe(describe_recording(path.resolve().name, self._config, device))
        self._records = records
        return records

    def _require_same(self, recorded: Mapping[str, Any]) -> None:
        theirs, ours = flatten(recorded), flatten(json.loads(json.dumps(self._config, default=str)))
        different = sorted(key for key in theirs | ours if theirs.get(key) != ours.get(key))
        if different:
            key = different[0]
            raise RunError(
                f"{self.writer.path}: cannot be resumed with another configuration: "
                f"{key} was {theirs.get(key)!r}, is {ours.get(key)!r}"
            )


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics as plain values, tensors and NumPy numbers of one element as Python's."""
    figures = {}
    for name, value in metrics.items():
        if name in _OWN:
            raise RunError(f"metrics: {name!r} is written by the recorder itself; give another name")
        figures[name] = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
        try:
            json.dumps(figures[name])
        except (TypeError, ValueError) as error:
            raise RunError(f"metrics: {name!r} cannot be written: {error}") from error
    return figures
