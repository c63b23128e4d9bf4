"""What an imported run says of itself: where it is from, and by which recipe it can be put to further use."""

import datetime
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from masktools.importers.result import ImportedEpoch
from masktools_train.recipe import Recipe, load_recipe, resolve_recipe

__all__ = ["describe_import", "import_recipe"]

_PACKAGES = ("masktools", "numpy", "h5py")


def import_recipe(
    source: str, density: float, model: str | None = None, options: Mapping[str, Any] | None = None
) -> Recipe:
    """Return the recipe of an imported run: data and optimizer of another one, its own model, and its masks fixed.

    Parameters
    ----------
    source
        Name or file of a recipe.
    density
        Share of active weights of the run.
    model, options
        The model; None takes that of the recipe.

    Raises
    ------
    RecipeError
        If there is no such recipe, or it cannot be resolved.
    """
    raw = load_recipe(source)
    # How the weights came to be sparse is not known here; from now on the masks are what they are.
    raw.pop("algorithms", None)
    raw["algorithm"] = {"name": "static", "density": density, "distribution": "uniform"}
    overrides: dict[str, Any] = {}
    if model is not None:
        overrides["model.name"] = model
    if options or (model is not None and model != raw.get("model", {}).get("name")):
        overrides["model.options"] = dict(options or {})
    return resolve_recipe(raw, overrides)


def describe_import(
    name: str, epochs: Sequence[ImportedEpoch], digests: Sequence[str], recipe: Recipe | None
) -> dict[str, Any]:
    """Return the content of ``run.json``.

    Parameters
    ----------
    name
        What the run is called.
    epochs
        What was imported.
    digests
        Of the files of each, in the same order.
    recipe
        How it can be trained again, or None.
    """
    last = epochs[-1]
    return {
        "name": name,
        **({} if recipe is None else {"seed": recipe.seed}),
        "config": {} if recipe is None else recipe.to_dict(),
        "imported": {
            "format": last.format,
            "sources": [epoch.source for epoch in epochs],
            "digests": list(digests),
            "key": last.key,
            "stripped": list(last.stripped),
        },
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{key: metadata.version(key) for key in _PACKAGES}},
    }
