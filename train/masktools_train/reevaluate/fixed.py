"""Recipes that train given masks: a run's own recipe with the mask fixed from the first step."""

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from masktools.errors import RecipeError
from masktools_train.recipe import Recipe, resolve_recipe
from masktools_train.recipe_tables import OriginSpec
from masktools_train.reevaluate.restored import Restored

__all__ = ["OVERRIDABLE", "fixed_recipe", "masks_digest"]

OVERRIDABLE = (
    "epochs",
    "batch_size",
    "label_smoothing",
    "optimizer",
    "schedule",
    "snapshot",
    "execution",
    "computation",
    "data.augment",
    "data.shift",
)
"""Keys and tables of a recipe that a re-evaluation may change: how a network is trained, not which."""


_FREEZING = ("algorithm.freeze_epoch", "algorithm.freeze_when")
"""Keys that say nothing of a mask that is fixed anyway, and might not fit an overridden length."""


def masks_digest(masks: Mapping[str, Tensor]) -> str:
    """Return a digest of names and masks, whatever order the layers are in.

    Parameters
    ----------
    masks
        Boolean, by layer, on the CPU.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, mask in sorted(masks.items()):
        digest.update(name.encode() + b"\0" + mask.numpy().tobytes())
    return digest.hexdigest()


def fixed_recipe(
    source: Restored,
    masks: Mapping[str, Tensor],
    *,
    variant: str,
    seed: int,
    overrides: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Recipe:
    """Return the recipe of a source with fixed masks, another seed, and what is overridden.

    Parameters
    ----------
    source
        Whose recipe and epoch.
    masks
        The masks, by layer; they need not be those of the source.
    variant
        What is done with them, for the record.
    seed
        Seed of the data order and of all that is drawn.
    overrides
        Dotted keys among `OVERRIDABLE` and their values.
    options
        What else the variant depends on, for the record.

    Raises
    ------
    RecipeError
        If another key is overridden, or a value is out of range.
    """
    for key in overrides or {}:
        if not any(key == allowed or key.startswith(f"{allowed}.") for allowed in OVERRIDABLE):
            raise RecipeError(f"{key}: cannot be set for a re-evaluation; what can be is {', '.join(OVERRIDABLE)}")
    recipe = resolve_recipe(source.recipe.to_dict(), {**(overrides or {}), **dict.fromkeys(_FREEZING)})
    size = sum(mask.numel() for mask in masks.values())
    active = sum(int(mask.sum()) for mask in masks.values())
    fixed = {
        "name": "static",
        # A share of a network that has no weights left is none that a recipe may hold.
        "density": max(active, 1) / size,
        "distribution": "uniform",
        "options": {},
        "layer_densities": {},
        "freeze_epoch": None,
        "freeze_when": None,
    }
    origin = OriginSpec(
        variant=variant,
        run=source.run.name,
        epoch=source.snapshot.epoch,
        masks_digest=masks_digest(masks),
        options=dict(options or {}),
    )
    changed = {
        "name": f"{source.recipe.name}-{variant}",
        "seed": seed,
        "algorithm": recipe.algorithm.model_copy(update=fixed),
        "origin": origin,
    }
    return Recipe.model_validate(recipe.model_copy(update=changed).to_dict())
