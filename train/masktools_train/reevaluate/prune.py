"""Structural robustness: prune a trained network further."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from masktools.errors import RecipeError
from masktools.runs import Run, open_run
from masktools.structure.robustness import PrunePoint, PruneResult
from masktools_train.devices import pick_device
from masktools_train.parts import run_parts
from masktools_train.progress import Observer
from masktools_train.reevaluate.pruned_network import Left
from masktools_train.reevaluate.pruned_runs import FineTuning
from masktools_train.reevaluate.pruning import SCOPES, Pruning, forget, measure, pruner
from masktools_train.reevaluate.pruning_criteria import CRITERIA
from masktools_train.reevaluate.restored import Restored

__all__ = ["CRITERIA", "SCOPES", "SHARES", "prune"]

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
"""Shares of the active weights that are kept, unless told otherwise."""


def prune(
    run: str | Path | Run,
    *,
    criterion: str = "magnitude",
    scope: str = "global",
    shares: Sequence[float] = SHARES,
    epoch: int | None = None,
    draws: int = 5,
    seed: int = 0,
    examples: int = 1024,
    recalibrate: bool = False,
    recalibration_examples: int = 2048,
    finetune_epochs: int | None = None,
    finetune_lr: float | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    scheduler: str | None = None,
    observer: Observer | None = None,
    finished: Callable[[str, Left], None] | None = None,
) -> PruneResult:
    """Prune a trained network further and measure what is left.

    Parameters
    ----------
    run
        A run trained from a recipe.
    criterion
        A key of `CRITERIA`.
    scope
        A key of `SCOPES`.
    shares
        Shares of the active weights to keep, each from 0 to 1.
    epoch
        Which snapshot; None is the last.
    draws
        Number of random orders, for a criterion that is random.
    seed
        Seed of the random orders. The orders are nested: what a smaller share keeps, a larger one keeps too.
    examples
        How many training examples a criterion looks at that looks at any: the first of the training order, without
        augmentation.
    recalibrate
        Measure each pruned network a second time, with the running statistics of its batch norms estimated anew. What
        is written and trained on is the network with these.
    recalibration_examples
        On how many training examples, in batches of the recipe's size: the first of the training order, without
        augmentation, or all where there are fewer.
    finetune_epochs
        Train each pruned network on for so long, with its mask fixed, and measure it once more.
    finetune_lr
        Learning rate of that, constant; None is a tenth of the recipe's.
    out
        Directory for a run of each pruned network (``CRITERION-SCOPE-SHARE``, with ``-drawN`` before the share for a
        random criterion). One that is there already is not trained again.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    jobs
        Number of processes; each prunes and trains one network at a time.
    scheduler
        Address of a Dask scheduler instead.
    observer
        Who watches each training, where they are done in this process.
    finished
        Called with the name of each network that is done, and what is left of it.

    Returns
    -------
    PruneResult
        The curve, from the largest share to the smallest.

    Raises
    ------
    RecipeError
        If an option is unknown or out of range, or there is no batch norm to recalibrate.
    RunError
        If there is no such run, it records no recipe or not what the criterion needs, or scores are not finite.
    SnapshotError
        If a snapshot cannot be read, or holds no weights.
    TaskError
        If fine-tuning diverges, or `out` holds another run or cannot be written; all other networks are finished first.
    """
    for kind, name, registry in (("criterion", criterion, CRITERIA), ("scope", scope, SCOPES)):
        if name not in registry:
            raise RecipeError(f"{kind} {name!r} is unknown; choose from {', '.join(registry)}")
    if not shares or any(not 0 <= share <= 1 for share in shares):
        raise RecipeError(f"shares must lie between 0 and 1, got {list(shares)}")
    for option, value, least in (
        ("draws", draws, 1),
        ("examples", examples, 1),
        ("recalibration_examples", recalibration_examples, 2),
        ("finetune_epochs", finetune_epochs, 1),
    ):
        if value is not None and value < least:
            raise RecipeError(f"{option} must be at least {least}, got {value}")
    opened = run if isinstance(run, Run) else open_run(run)
    snapshot = opened.at(epoch)
    base = Restored(opened, snapshot, pick_device(device)).recipe.optimizer.lr
    tuning = _tuning(finetune_epochs, finetune_lr, base)
    here = jobs == 1 and scheduler is None
    pruning = Pruning(
        run=opened.path if here else opened.path.absolute(),
        epoch=snapshot.epoch,
        device=device,
        criterion=criterion,
        scope=scope,
        seed=seed,
        examples=examples,
        recalibration_examples=recalibration_examples if recalibrate else None,
        tuning=tuning,
    )
    chosen = CRITERIA[criterion]
    draws = draws if chosen.random else 1
    folder = None if out is None else Path(out) if here else Path(out).absolute()
    ordered = sorted({float(share) for share in shares}, reverse=True)
    try:
        made = pruner(pruning)
        # What is wrong with the scores is said before anything is trained.
        for draw in range(draws):
            made.order(draw)
        named = []
        for share in ordered:
            for draw in range(draws):
                label = f"-draw{draw}" if chosen.random else ""
                place = None if folder is None else folder / f"{criterion}-{scope}{label}-{share:.12g}"
                named.append((_key(opened, share, draw, chosen.random), (pruning, share, draw, place)))
        done = run_parts(measure, named, jobs=jobs, scheduler=scheduler, observer=observer, finished=finished)
    finally:
        forget()
    network, source = made.network, made.network.source
    left = iter(done.values())
    curve = [_point(share, [next(left) for _ in range(draws)], network.size) for share in ordered]
    recipe = source.recipe
    return PruneResult(
        run=str(opened.path),
        epoch=source.snapshot.epoch,
        algorithm=recipe.algorithm.name,
        variant=None if recipe.origin is None else recipe.origin.variant,
        active=sum(network.active.values()),
        size=network.size,
        criterion=criterion,
        scope=scope,
        draws=draws,
        chance_accuracy=source.chance_accuracy,
        curve=tuple(curve),
        examples=examples if chosen.looks_at_data else None,
        recalibration_examples=made.treatment.recalibration_examples,
        finetune_epochs=finetune_epochs,
        finetune_lr=None if tuning is None else tuning.lr,
    )


def _key(run: Run, share: float, draw: int, random: bool) -> str:
    """Return the name of a part in messages."""
    return f"{run.name}: share {share!r}{f', draw {draw}' if random else ''}"


def _tuning(epochs: int | None, lr: float | None, base: float) -> FineTuning | None:
    if lr is not None and epochs is None:
        raise RecipeError(f"finetune_lr {lr:g} goes with finetune_epochs, which is not given")
    if lr is not None and not (math.isfinite(lr) and lr > 0):
        raise RecipeError(f"finetune_lr must be above 0, got {lr:g}")
    return None if epochs is None else FineTuning(epochs, base / 10 if lr is None else lr)


def _point(share: float, measured: Sequence[Left], size: int) -> PrunePoint:
    """Collect what the draws have in common: how many weights are left."""
    active = measured[0].active
    columns = {
        "recalibrated": [left.recalibrated for left in measured],
        "finetuned": [left.finetuned for left in measured],
        "effective_densities": [None if left.effective is None else left.effective / size for left in measured],
    }
    known = {key: [value for value in values if value is not None] for key, values in columns.items()}
    return PrunePoint(
        share=share,
        density=active / size,
        active=active,
        accuracies=tuple(left.accuracy for left in measured),
        **{key: tuple(values) if values else None for key, values in known.items()},
    )
