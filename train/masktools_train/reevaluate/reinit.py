"""Structure alone: train a recorded mask again, from other weights."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.errors import MasktoolsError, RecipeError, RunError, SnapshotError
from masktools.runs import Run, open_run
from masktools.structure.reevaluation import ReinitResult, VariantResult
from masktools_train.evaluation import evaluate
from masktools_train.parts import run_parts
from masktools_train.progress import Observer
from masktools_train.reevaluate.retraining import Retrained, Retraining, forget, planned, restored, retrain
from masktools_train.reevaluate.variants.registry import DEFAULT, find_variant

__all__ = ["reinit", "retrainings"]


def retrainings(
    run: str | Path | Run,
    *,
    variants: Sequence[str] = DEFAULT,
    seeds: int | Sequence[int] = 5,
    epoch: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    rewind_epoch: int | None = None,
    other: str | Path | Run | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> list[Retraining]:
    """Return the parts of which `reinit` consists, checked but not begun: for callers that run those of many masks.

    Parameters
    ----------
    run, variants, seeds, epoch, overrides, rewind_epoch, other, device, out
        As for `reinit`.

    Returns
    -------
    list of Retraining
        Variant by variant, each by seed in the order given.

    Raises
    ------
    RecipeError, RunError, SnapshotError
        As `reinit` does.
    """
    parts = _retrainings(run, variants, seeds, epoch, overrides, rewind_epoch, other, device, out)
    return [_absolute(part) for part in parts]


def _absolute(part: Retraining) -> Retraining:
    """Return a part that means the same where another directory is the current one."""
    return dataclasses.replace(
        part,
        run=part.run.resolve(),
        other=None if part.other is None else part.other.resolve(),
        out=None if part.out is None else part.out.resolve(),
    )


def _retrainings(
    run: str | Path | Run,
    variants: Sequence[str],
    seeds: int | Sequence[int],
    epoch: int | None,
    overrides: Mapping[str, Any] | None,
    rewind_epoch: int | None,
    other: str | Path | Run | None,
    device: str,
    out: str | Path | None,
) -> list[Retraining]:
    """Return the parts with paths as they were given, as messages name them."""
    opened = run if isinstance(run, Run) else open_run(run)
    snapshot = opened.at(epoch)
    source = restored(opened.path, snapshot.epoch, device)
    if not variants or len(set(variants)) != len(variants):
        raise RecipeError(f"variants: at least one is needed, and none twice, got {list(variants)}")
    found = [find_variant(name) for name in variants]
    own = source.recipe.seed
    chosen = tuple(range(own + 1, own + 1 + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise RecipeError(f"seeds: at least one is needed, all different and at least 0, got {list(chosen)}")
    drawing = next((variant.name for variant in found if variant.draws_weights), None)
    if own in chosen and drawing is not None:
        raise RecipeError(f"seeds: {own} is the run's own, new weights of variant {drawing!r} would be the old ones")
    beyond = None if other is None else (other if isinstance(other, Run) else open_run(other))
    early = "" if snapshot.epoch == opened.final.epoch else f"-e{snapshot.epoch}"
    parts: list[Retraining] = []
    refused: dict[str, MasktoolsError] = {}
    for name in variants:
        first = Retraining(
            run=opened.path,
            epoch=snapshot.epoch,
            variant=name,
            seed=chosen[0],
            overrides=dict(overrides or {}),
            rewind_epoch=rewind_epoch,
            other=None if beyond is None else beyond.path,
            device=device,
            out=None,
        )
        # What is wrong or missing is said before anything is trained.
        variant, recipe, asked = planned(first, source)
        try:
            variant.check(asked)
        except MasktoolsError as error:
            refused[name] = error
            continue
        origin = {} if recipe.origin is None else recipe.origin.options
        stem = f"{name}{_suffix(origin)}{early}{_suffix(overrides or {})}"
        for seed in chosen:
            folder = None if out is None else Path(out) / f"{stem}-s{seed}"
            parts.append(dataclasses.replace(first, seed=seed, out=folder))
    if refused:
        first_error = next(iter(refused.values()))
        raise type(first_error)(f"{first_error}{_without(variants, refused)}") from first_error
    return parts


def _without(variants: Sequence[str], refused: Mapping[str, MasktoolsError]) -> str:
    """Say how to ask for those variants alone that can be started."""
    rest = [name for name in variants if name not in refused]
    if not rest:
        missing = any(isinstance(error, RunError | SnapshotError) for error in refused.values())
        drawing = [name for name in DEFAULT if name not in refused and find_variant(name).draws_weights]
        return f"; new weights need none of the run's: --variants {','.join(drawing)}" if missing else ""
    which = "variant" if len(refused) == 1 else "variants"
    return f"; leave out {which} {', '.join(refused)}: --variants {','.join(rest)}"


def _suffix(settings: Mapping[str, Any]) -> str:
    """Return what tells the folder of a training from those with other settings."""
    parts = (f"-{key.rpartition('.')[2]}={value}" for key, value in settings.items() if not key.endswith("digest"))
    return re.sub(r"[^\w.,=+-]", "_", "".join(parts))


def reinit(
    run: str | Path | Run,
    *,
    variants: Sequence[str] = DEFAULT,
    seeds: int | Sequence[int] = 5,
    epoch: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    rewind_epoch: int | None = None,
    other: str | Path | Run | None = None,
    baseline: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    observer: Observer | None = None,
    finished: Callable[[str, Retrained], None] | None = None,
) -> ReinitResult:
    """Train the mask of a run again under its own recipe, with the mask fixed from the first step.

    Parameters
    ----------
    run
        A run trained from a recipe.
    variants
        Keys of `masktools_train.reevaluate.variants.registry.VARIANTS`.
    seeds
        How many seeds, counted on from the run's own, or the seeds themselves. A seed determines data order,
        new weights and shuffles alike, so that variants are paired.
    epoch
        Whose mask; None is the last. An earlier one asks what training would have come to from the mask of then.
    overrides
        Dotted keys of the recipe and values, for example ``{"epochs": 5}``; how to train, not what.
    rewind_epoch
        Epoch of the weights of variant ``rewound``; None is where the run itself rewound to.
    other
        Another run, whose final mask the variants ``other`` and ``other-aligned`` take.
    baseline
        Variant that the others are compared with; None is ``new`` where that is among them, else the first.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    out
        Directory for a run of each training (``VARIANT-sSEED``; what is not as by default, such as the epoch of the
        mask or an overridden key, stands before the seed), resumed where it was left; None writes none.
    jobs
        Number of processes.
    scheduler
        Address of a Dask scheduler instead.
    observer
        Who watches each training, where they are done in this process.
    finished
        Called with the name and the accuracies of each part that is done.

    Returns
    -------
    ReinitResult
        Its intervals are over the seeds for this one mask; they say nothing about other masks.

    Raises
    ------
    RecipeError
        If a variant or key is unknown, or a given seed is the run's own and new weights would be the old ones.
    RunError
        If there is no such run, or it records no recipe.
    TaskError
        If a training failed; all others are finished first.
    """
    parts = _retrainings(run, variants, seeds, epoch, overrides, rewind_epoch, other, device, out)
    if baseline is not None and baseline not in variants:
        raise RecipeError(f"baseline {baseline!r} is none of the variants {', '.join(variants)}")
    source = restored(parts[0].run, parts[0].epoch, device)
    reference = evaluate(source.model(), source.data).accuracy
    here = jobs == 1 and scheduler is None
    named = [(part.key, (part if here else _absolute(part),)) for part in parts]
    try:
        done = run_parts(retrain, named, jobs=jobs, scheduler=scheduler, observer=observer, finished=finished)
    finally:
        forget()
    results = []
    for name in variants:
        mine = [part for part in parts if part.variant == name]
        found = [done[part.key] for part in mine]
        seeds_of = tuple(part.seed for part in mine)
        results.append(
            VariantResult(name, seeds_of, tuple(f.trained for f in found), tuple(f.untrained for f in found))
        )
    return ReinitResult(
        run=str(source.run.path if isinstance(run, Run) else run),
        epoch=source.snapshot.epoch,
        density=source.snapshot.density,
        reference_accuracy=reference,
        chance_accuracy=source.chance_accuracy,
        baseline=baseline or ("new" if "new" in variants else variants[0]),
        variants=tuple(results),
    )
