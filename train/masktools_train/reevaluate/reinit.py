"""Structure alone: train a recorded mask again, from other weights."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from masktools.errors import RecipeError
from masktools.nulls.shuffles import shuffled
from masktools.runs import Run, open_run
from masktools.structure.reevaluation import ReinitResult, VariantResult
from masktools_train.devices import pick_device
from masktools_train.evaluation import evaluate
from masktools_train.initialization import Start
from masktools_train.progress import Observer
from masktools_train.recipe import OriginSpec, Recipe
from masktools_train.reevaluate.restored import Restored
from masktools_train.seeding import numpy_generator
from masktools_train.training import train

__all__ = ["VARIANTS", "reinit"]


def _original(source: Restored, masks: dict[str, Tensor], seed: int) -> Start:
    """Start from the mask with the weights that the run was initialised with."""
    del seed
    return Start(state=source.state_of(source.run.at(0)), masks=masks)


def _new(source: Restored, masks: dict[str, Tensor], seed: int) -> Start:
    """Start from the mask with a new random initialisation."""
    del source, seed
    return Start(masks=masks)


def _shuffled(source: Restored, masks: dict[str, Tensor], seed: int) -> Start:
    """Start from the mask shuffled within each layer, with a new random initialisation."""
    del source
    drawn = {
        name: torch.from_numpy(shuffled(mask.numpy(), numpy_generator(seed, "layer-shuffle", index)))
        for index, (name, mask) in enumerate(masks.items())
    }
    return Start(masks=drawn)


VARIANTS: Mapping[str, Callable[[Restored, dict[str, Tensor], int], Start]] = {
    "original": _original,
    "new": _new,
    "shuffled": _shuffled,
}
"""Ways of starting again; a new one is its function and one line here."""


def reinit(
    run: str | Path | Run,
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    seeds: int | Sequence[int] = 5,
    epoch: int | None = None,
    epochs: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    observer: Observer | None = None,
) -> ReinitResult:
    """Train the mask of a run again under its own recipe, with the mask fixed from the first step.

    Parameters
    ----------
    run
        A run trained from a recipe.
    variants
        Keys of `VARIANTS`.
    seeds
        How many seeds, counted on from the run's own, or the seeds themselves. A seed determines data order,
        new weights and shuffles alike.
    epoch
        Whose mask; None is the last.
    epochs
        How long to train; as long as the run when None.
    device
        ``auto``, ``cpu`` or ``cuda:N``.
    out
        Directory for a run of each training (``VARIANT-sSEED``), resumed where it was left; None writes none.
    observer
        Who watches each training.

    Returns
    -------
    ReinitResult
        Its intervals are over the seeds for this one mask; they say nothing about other masks.

    Raises
    ------
    RecipeError
        If a variant is unknown, or a given seed is the run's own: new weights would be the old ones.
    RunError
        If there is no such run, or it records no recipe.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    source = Restored(opened, opened.at(epoch), pick_device(device))
    unknown = [name for name in variants if name not in VARIANTS]
    if unknown or not variants:
        raise RecipeError(f"variant {unknown[0] if unknown else ''!r} is unknown; choose from {', '.join(VARIANTS)}")
    own = source.recipe.seed
    chosen = tuple(range(own + 1, own + 1 + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not chosen or own in chosen:
        raise RecipeError(f"seeds: at least one is needed, and none that is the run's own ({own}), got {list(chosen)}")
    if min(chosen) < 0 or len(set(chosen)) != len(chosen):
        raise RecipeError(f"seeds must be at least 0 and all different, got {list(chosen)}")
    reference = evaluate(source.model(), source.data).accuracy
    masks = source.masks()
    results = []
    for name in variants:
        accuracies = []
        for seed in chosen:
            recipe = _fixed(source, masks, name, seed, epochs)
            start = VARIANTS[name](source, masks, seed)
            folder = None if out is None else Path(out) / f"{name}-s{seed}"
            result = train(recipe, folder, device=device, observer=observer, resume=True, start=start, data=source.data)
            accuracies.append(result.final.test_accuracy)
        results.append(VariantResult(name, chosen, tuple(accuracies)))
    return ReinitResult(
        run=str(opened.path),
        epoch=source.snapshot.epoch,
        density=source.snapshot.density,
        reference_accuracy=reference,
        chance_accuracy=source.chance_accuracy,
        variants=tuple(results),
    )


def _fixed(source: Restored, masks: Mapping[str, Tensor], variant: str, seed: int, epochs: int | None) -> Recipe:
    """Return the run's recipe with a fixed mask, another seed and perhaps another length."""
    recipe = source.recipe
    digest = hashlib.blake2b(digest_size=16)
    for name, mask in sorted(masks.items()):
        digest.update(name.encode() + b"\0" + mask.numpy().tobytes())
    fixed = {
        "name": "static",
        "density": source.snapshot.density,
        "distribution": "uniform",
        "options": {},
        "layer_densities": {},
        "freeze_epoch": None,
        "freeze_when": None,
    }
    origin = OriginSpec(
        variant=variant, run=source.run.name, epoch=source.snapshot.epoch, masks_digest=digest.hexdigest()
    )
    changed = {
        "name": f"{recipe.name}-{variant}",
        "seed": seed,
        "epochs": epochs or recipe.epochs,
        "algorithm": recipe.algorithm.model_copy(update=fixed),
        "origin": origin,
    }
    return Recipe.model_validate(recipe.model_copy(update=changed).to_dict())
