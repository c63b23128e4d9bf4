"""Compact a recorded network, prove it, measure it, and record it as a run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from masktools.errors import RecipeError, RunError
from masktools.run_lock import locked
from masktools.run_writer import RunWriter
from masktools.runs import Run, open_run
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.structure.compaction import CompactReport, CompactTotal, Cost, LayerChange, multiply_accumulates
from masktools.topology.graph import Topology
from masktools_train.capture import Capture
from masktools_train.compacting.network import CompactNetwork, compact_model
from masktools_train.compacting.program import PROGRAM, exported, write_program
from masktools_train.compacting.proof import check, exact_arithmetic, proof_of, seconds_per_batch
from masktools_train.data.source import first_inputs
from masktools_train.devices import pick_device
from masktools_train.flops import forward_cost
from masktools_train.identity import describe_run
from masktools_train.reevaluate.restored import Restored
from masktools_train.sparse_layer import prunable_weights

__all__ = ["compact"]

BATCH_SIZE = 128
"""Inputs of the batch whose time is measured."""

_EXAMPLES = 16


def compact(
    run: str | Path | Run,
    out: str | Path | None = None,
    *,
    epoch: int | None = None,
    limit: int = 1000,
    overwrite: bool = False,
    device: str = "auto",
) -> CompactReport:
    """Make a recorded network smaller without changing what it computes.

    Parameters
    ----------
    run
        A run trained from a recipe.
    out
        Directory to write the smaller network to: a run of one snapshot, and ``model.pt2``, a program that
        `torch.export.load` reads without the code of the model. None writes nothing.
    epoch
        Which snapshot; None is the last.
    limit
        On how many of the run's test inputs both networks are compared, at most.
    overwrite
        Delete the run in `out` first.
    device
        ``auto``, ``cpu`` or ``cuda:N``.

    Returns
    -------
    CompactReport
        What went and what stayed, the proof, and the cost before and after.

    Raises
    ------
    RecipeError
        If `limit` is below 2.
    RunError
        If there is no such run, it records no recipe, or `out` holds a run already.
    StructureError
        If the network cannot be followed, its code does not run with fewer units, or the outputs differ. Nothing is
        written then.
    """
    if limit < 2:
        raise RecipeError(f"limit must be at least 2, got {limit}")
    opened = run if isinstance(run, Run) else open_run(run)
    writer = None if out is None else _writer(opened, Path(out), overwrite)
    source = Restored(opened, opened.at(epoch), pick_device(device))
    model = source.model()
    masks = {name: mask.numpy() for name, mask in source.masks().items()}
    found = compact_model(model, first_inputs(source.data, _EXAMPLES, limit), masks)
    with exact_arithmetic():
        batches = (inputs for inputs, _ in source.data.testing(BATCH_SIZE, limit))
        proof = proof_of((model, found.exact[0]), (found.model, found.exact[1]), batches)
    check(proof)
    inputs = first_inputs(source.data, BATCH_SIZE, limit)
    batch = inputs[torch.arange(BATCH_SIZE, device=inputs.device) % len(inputs)]
    times = seconds_per_batch((model, found.model), batch)
    problem = None
    if writer is not None:
        problem = _write(writer, source, found, batch.cpu(), overwrite)
    return CompactReport(
        run=str(opened.path),
        epoch=source.snapshot.epoch,
        layers=_changes(masks, found.masks),
        total=CompactTotal(
            units_before=found.units_before,
            units_after=found.units_after,
            dead=found.dead,
            folded=found.folded,
            kept=found.kept,
            left=found.left,
            before=_cost(model, found.original_topology, times[0]),
            after=_cost(found.model, found.topology, times[1]),
        ),
        proof=proof,
        batch_size=BATCH_SIZE,
        threads=torch.get_num_threads(),
        out=None if writer is None else str(writer.path),
        program=PROGRAM if writer is not None and problem is None else None,
        program_problem=problem,
    )


def _writer(run: Run, out: Path, overwrite: bool) -> RunWriter:
    own = run.path.resolve()
    if out.resolve() in (own, own.parent if own.is_file() else own):
        raise RunError(f"{out}: is the run itself; choose another directory")
    writer = RunWriter(out)
    if writer.occupied and not overwrite:
        raise _occupied(writer)
    return writer


def _occupied(writer: RunWriter) -> RunError:
    return RunError(
        f"{writer.path}: holds a run already; overwrite it (overwrite=True, --overwrite), or choose another directory "
        "(out=, --out)"
    )


def _changes(
    before: Mapping[str, NDArray[np.bool_]], after: Mapping[str, NDArray[np.bool_]]
) -> tuple[LayerChange, ...]:
    return tuple(
        LayerChange(name, mask.shape, after[name].shape, int(mask.sum()), int(after[name].sum()))
        for name, mask in before.items()
    )


def _cost(model: nn.Module, topology: Topology, seconds: float) -> Cost:
    tensors: list[Tensor] = [*model.parameters(), *model.buffers()]
    shapes = {name: tuple(weight.shape) for name, weight in prunable_weights(model).items()}
    return Cost(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        multiply_accumulates=multiply_accumulates(topology, shapes),
        seconds=seconds,
    )


def _write(writer: RunWriter, source: Restored, found: CompactNetwork, batch: Tensor, overwrite: bool) -> str | None:
    """Write the run, and return why there is no program in it, if there is none."""
    model = found.model.cpu()
    program = exported(model, batch)
    config = {
        **source.run.config,
        "compacted_from": {"run": str(source.run.path), "epoch": source.snapshot.epoch},
    }
    content = _content(source, found, model, config)
    with locked(writer.make()):
        if overwrite:
            writer.clear()
        elif writer.occupied:
            raise _occupied(writer)
        writer.describe({**describe_run(source.recipe, source.device), "config": config})
        write_program(writer.path, None if isinstance(program, str) else program)
        writer.metrics(_metrics(source, content, model, batch))
        writer.snapshot(content)
    return program if isinstance(program, str) else None


def _content(source: Restored, found: CompactNetwork, model: nn.Module, config: Mapping[str, Any]) -> SnapshotContent:
    recorded = Capture(model, config=config, topology=found.topology).content(
        source.snapshot.epoch, source.snapshot.step
    )
    weights = prunable_weights(model)
    layers = tuple(
        LayerContent.from_dense(
            name,
            mask,
            weights[name].detach().numpy(),
            prunable=source.snapshot.layers[name].prunable,
        )
        for name, mask in found.masks.items()
    )
    return SnapshotContent(
        epoch=recorded.epoch,
        step=recorded.step,
        layers=layers,
        config=config,
        tensors=recorded.tensors,
        topology=found.topology,
    )


def _metrics(source: Restored, content: SnapshotContent, model: nn.Module, batch: Tensor) -> list[dict[str, Any]]:
    """Return what the run says of the epoch: loss, accuracy and past training are those of the smaller network too."""
    records = [record for record in source.run.metrics if record.get("epoch") == content.epoch]
    figures: dict[str, Any] = {"active": content.active, "density": content.active / content.size}
    if any(record.get("forward_flops") is not None for record in records):
        cost = forward_cost(model, batch[:2])
        masks = {layer.name: layer.mask for layer in content.layers}
        active = [masks[name].active for name in cost.layers]
        sizes = [math.prod(masks[name].shape) for name in cost.layers]
        figures |= {"forward_flops": cost.spent(1, active, sizes), "forward_flops_dense": cost.dense}
    return [{**record, **figures} for record in records]
