"""Train a recipe into a run directory."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydantic
import torch

from masktools.errors import RunError
from masktools.run_files import METRICS, RUN_JSON, read_identity, read_metrics
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.runs import STATE
from masktools.structure.configuration import flatten
from masktools_train.background import BackgroundWriter
from masktools_train.capture import Capture
from masktools_train.checkpoint import copied, load_state, remove_state, save_state
from masktools_train.data import INDIFFERENT, Data
from masktools_train.data.source import chance_accuracy
from masktools_train.devices import describe_device, pick_device
from masktools_train.distributed import join
from masktools_train.identity import describe_run
from masktools_train.initialization import Start
from masktools_train.leading import Leader, follow
from masktools_train.progress import EpochRecord, Observer, SilentObserver
from masktools_train.recipe import Recipe
from masktools_train.train_result import TrainResult
from masktools_train.trainer import Trainer

__all__ = ["plan", "run_name", "train"]


def run_name(recipe: Recipe) -> str:
    """Return the name that a run's directory gets unless told otherwise: ``digits-dnw-s0``."""
    return f"{recipe.name}-{recipe.algorithm.name}-s{recipe.seed}"


def plan(recipe: Recipe, device: str = "auto") -> dict[str, Any]:
    """Return what training a recipe would do: plain values, nothing written.

    Parameters
    ----------
    recipe
        What would be trained.
    device
        ``auto``, ``cpu`` or ``cuda:N``.

    Raises
    ------
    RecipeError
        As `train` would.
    """
    target = pick_device(device)
    trainer = Trainer(recipe, target, SilentObserver())
    sparsifier, flops = trainer.sparsifier, trainer.flops.figures()
    now, dense = flops["forward_flops"], flops["forward_flops_dense"]
    return {
        "name": run_name(recipe),
        "device": describe_device(target),
        "epochs": trainer.planned_epochs,
        "steps": trainer.planned_steps,
        "size": sparsifier.size,
        "target": sparsifier.target,
        "forward_flops": now,
        "forward_flops_dense": dense,
        "forward_flops_ratio": None if now is None or not dense else now / dense,
        "layers": [
            {
                "name": layer.name,
                "shape": list(layer.parameter.shape),
                "size": layer.size,
                "active": layer.count,
                "density": layer.count / layer.size,
                "flops": trainer.flops.layer_flops(layer),
            }
            for layer in sparsifier.layers
        ],
        "config": recipe.to_dict(),
    }


def train(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    device: str = "auto",
    observer: Observer | None = None,
    resume: bool = False,
    overwrite: bool = False,
    start: Start | Callable[[], Start] | None = None,
    data: Data | None = None,
) -> TrainResult:
    """Train a recipe; where several processes were launched together (torchrun), all of them call this, the same way.

    Parameters
    ----------
    recipe
        What to train, from `masktools_train.recipe.resolve_recipe`.
    out
        The run directory to write: a snapshot at initialisation and after every epoch, ``metrics.jsonl`` and
        ``run.json``. None writes nothing.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    observer
        Who watches.
    resume
        Go on with the run in `out` after its last finished epoch; a finished one is returned as it is, and
        where there is none, training starts.
    overwrite
        Delete the run in `out` first.
    start
        Where to start, for re-evaluations: given, or made when there is something to train.
    data
        The recipe's data, on the device, where it is at hand already; None loads it.

    Returns
    -------
    TrainResult
        A record for every epoch; in every process the same.

    Raises
    ------
    RecipeError
        If the recipe does not fit the data, the model or this machine.
    RunError
        If `out` holds a run and neither `resume` nor `overwrite` is set, the run there is of another recipe,
        or another process writes to it.
    SnapshotError
        If a snapshot cannot be written, for example because the disk is full; the run can be resumed.
    TrainingError
        If training diverges.
    """
    target = pick_device(device)
    processes = join(target)
    watching = observer if observer is not None and processes.first else SilentObserver()
    made = functools.partial(Trainer, recipe, target, watching, start, data, processes)
    if not processes.first:
        return _result(None, recipe, target, follow(processes, made))
    leader = Leader(processes, made)
    if out is None:
        return _result(None, recipe, target, leader.run(leader.make(), None, lambda _: None))
    with leader.telling():
        return _recorded(leader, RunWriter(out), recipe, target, resume, overwrite)


def _recorded(
    leader: Leader, writer: RunWriter, recipe: Recipe, target: torch.device, resume: bool, overwrite: bool
) -> TrainResult:
    if writer.occupied and not (resume or overwrite):
        raise _occupied(writer)
    # Before anything is touched: a recipe that cannot be trained makes no directory and overwrites nothing.
    trainer = leader.make() if overwrite or not writer.occupied else None
    with locked(writer.make()):
        if overwrite:
            writer.clear()
        if not writer.occupied:
            return _run(leader, trainer or leader.make(), writer)
        if not resume:
            raise _occupied(writer)
        _check_same_recipe(writer.path, recipe)
        state = load_state(writer.path)
        # Metrics are written after the state, and the state is removed last: without one, the run is finished.
        if state is None and (writer.path / METRICS).is_file():
            records = _records(writer.path / METRICS)
            leader.finished(records)
            return _result(writer.path, recipe, target, records)
        return _run(leader, trainer or leader.make(), writer, state)


def _occupied(writer: RunWriter) -> RunError:
    return RunError(
        f"{writer.path}: holds a run already; resume it (resume=True), overwrite it (overwrite=True), or choose "
        "another directory (out=)"
    )


def _run(leader: Leader, trainer: Trainer, writer: RunWriter, state: dict[str, Any] | None = None) -> TrainResult:
    """Train to the end, from a state or the beginning, and write every epoch in the background."""
    recipe = trainer.recipe
    if state is None:
        guessing = chance_accuracy(trainer.data)
        last = trainer.planned_epochs
        writer.describe(describe_run(recipe, trainer.device, leader.processes.world, guessing, last))
    capture = Capture(
        trainer.model,
        trainer.sparsifier,
        config=recipe.to_dict(),
        topology=trainer.topology,
        weights=recipe.snapshot.weights,
        dtype=recipe.snapshot.dtype,
    )

    def each_epoch(now: Trainer) -> None:
        content = capture.captured(now.epoch, now.steps, level=now.level, level_step=now.sparsifier.step)
        state, records = copied(now.state_dict()), [record.to_dict() for record in now.records]

        def write() -> None:
            writer.snapshot(content())
            # Never before the snapshot: what resuming starts from must not run ahead of what is on disk.
            save_state(writer.path, state)
            writer.metrics(records)

        background.submit(write)

    with BackgroundWriter() as background:
        leader.run(trainer, state, each_epoch, str(writer.path / STATE))
    # A run that was stopped just before this has its last state, but perhaps not its last metrics.
    writer.metrics([record.to_dict() for record in trainer.records])
    remove_state(writer.path)
    return _result(writer.path, recipe, trainer.device, trainer.records)


def _result(path: Path | None, recipe: Recipe, device: torch.device, records: Sequence[EpochRecord]) -> TrainResult:
    return TrainResult(path, recipe.to_dict(), describe_device(device), tuple(records))


def _records(path: Path) -> list[EpochRecord]:
    """Return what a finished run says of its epochs."""
    try:
        records = [EpochRecord(**record) for record in read_metrics(path)]
    except TypeError as error:  # keys of another program, or of a later version
        raise RunError(f"{path}: was not written by this version's training: {error}") from error
    if not records:
        raise RunError(f"{path}: holds no epoch, and there is no state to go on from; overwrite the run")
    return records


def _check_same_recipe(path: Path, recipe: Recipe) -> None:
    recorded = read_identity(path / RUN_JSON).get("config", {})
    # A key that there was not yet when the run began had the value that is its default now.
    with contextlib.suppress(pydantic.ValidationError):
        recorded = Recipe.model_validate(recorded).to_dict()
    theirs, ours = flatten(recorded), flatten(recipe.to_dict())
    free = {f"data.options.{name}" for name in INDIFFERENT.get(recipe.data.name, ())}
    different = sorted(key for key in theirs | ours if key not in free and theirs.get(key) != ours.get(key))
    if different:
        key = different[0]
        raise RunError(
            f"{path}: cannot be resumed with another recipe: {key} was {theirs.get(key)!r}, is {ours.get(key)!r}"
        )
