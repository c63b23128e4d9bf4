"""What to train: a TOML file and options of the command line, resolved into one frozen description."""

import importlib.resources
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from masktools.errors import RecipeError
from masktools_train.recipe_keys import keys_of, meant
from masktools_train.recipe_tables import (
    AlgorithmSpec,
    ComputationSpec,
    DataSpec,
    Frozen,
    ModelSpec,
    OptimizerSpec,
    OriginSpec,
    ScheduleSpec,
    SnapshotSpec,
)

if TYPE_CHECKING:
    from masktools_train.algorithms.base import Algorithm

__all__ = ["Recipe", "load_recipe", "packaged_recipes", "resolve_recipe"]


class Recipe(Frozen):
    """Everything that determines a training run, except the device.

    Parameters
    ----------
    name
        What the run is called.
    seed
        Seed of the weights, of the order of the data, and of all else that is drawn.
    epochs
        Length of training; of every level, where a method trains again and again.
    batch_size
        Examples a step.
    label_smoothing
        Of the loss, 0 to 1.
    model
        Which network.
    data
        Which examples.
    optimizer
        How weights change.
    schedule
        How the learning rate does.
    algorithm
        Which weights are active, and how that changes.
    snapshot
        What is stored of every epoch.
    execution
        How linear layers compute on a CPU: ``masked``, ``sparse`` or ``auto``.
    computation
        How the network is computed: precision, memory format, compilation.
    origin
        Where the first masks came from, when a recorded structure is trained again.
    """

    name: str = "custom"
    seed: int = pydantic.Field(0, ge=0)
    epochs: int = pydantic.Field(ge=1)
    batch_size: int = pydantic.Field(128, ge=1)
    label_smoothing: float = pydantic.Field(0.0, ge=0, lt=1)
    model: ModelSpec
    data: DataSpec
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    algorithm: AlgorithmSpec = AlgorithmSpec()
    snapshot: SnapshotSpec = SnapshotSpec()
    execution: Literal["masked", "sparse", "auto"] = "masked"
    computation: ComputationSpec = ComputationSpec()
    origin: OriginSpec | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the recipe as plain JSON values."""
        return self.model_dump(mode="json")


def packaged_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    folder = importlib.resources.files("masktools_train") / "recipes"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_recipe(source: str) -> dict[str, Any]:
    """Read a recipe as it is written.

    Parameters
    ----------
    source
        A packaged name, or the path of a TOML file.

    Returns
    -------
    dict
        The tables as they are written, and the ``name`` of the recipe.

    Raises
    ------
    RecipeError
        If there is no such recipe or it is not TOML.
    """
    if source in packaged_recipes():
        text = (importlib.resources.files("masktools_train") / "recipes" / f"{source}.toml").read_text("utf-8")
    else:
        path = Path(source)
        if not path.is_file():
            raise RecipeError(
                f"recipe {source!r} is neither a file nor a packaged recipe ({', '.join(packaged_recipes())})"
            )
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: cannot be read: {error}") from error
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {source}: not TOML: {error}") from error
    raw.setdefault("name", Path(source).stem)
    return raw


def resolve_recipe(raw: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Turn a recipe as written into one that says everything.

    Parameters
    ----------
    raw
        What `load_recipe` returned, or the same written in Python. The table ``algorithms.NAME`` holds
        options for the case that algorithm NAME is the one that is run.
    overrides
        Dotted keys and their values, for example ``{"algorithm.density": 0.05}``.

    Returns
    -------
    Recipe
        With the algorithm's options and distribution filled in.

    Raises
    ------
    RecipeError
        If a key is unknown or a value out of range; the message names the key.
    """
    from masktools_train.algorithms import REGISTRY

    tree: dict[str, Any] = json.loads(json.dumps(raw, default=str))
    overrides = dict(overrides or {})
    if "algorithm" in overrides:  # the whole table: what follows looks at it before other keys are set
        tree["algorithm"] = json.loads(json.dumps(overrides.pop("algorithm"), default=str))
    for key in ("model", "data", "algorithm", "algorithms"):
        _table(tree, key)
    by_algorithm = tree.pop("algorithms")
    spec = tree["algorithm"]
    name = str(overrides.get("algorithm.name", spec.get("name", AlgorithmSpec().name)))
    for key in ("model", "data"):
        if overrides.get(f"{key}.name", tree.get(key, {}).get("name")) != tree.get(key, {}).get("name"):
            tree[key] = {}  # the recipe's options were meant for another one
    odd = sorted(set(by_algorithm) - set(REGISTRY))
    if name not in REGISTRY or odd:
        raise RecipeError(f"algorithm {(odd or [name])[0]!r} is unknown; choose from {', '.join(REGISTRY)}")
    algorithm = REGISTRY[name]
    if name == "dense" and (spec.get("name") != "dense" or "density" not in spec):
        spec["density"] = 1.0  # a density that was meant for another algorithm
    options = {**_table(by_algorithm, name, "algorithms."), **_table(spec, "options", "algorithm.")}
    for key in ("density", "distribution", "dense_layers", "layer_densities", "freeze_epoch", "freeze_when"):
        if key in options:
            spec[key] = options.pop(key)
    spec["options"] = options
    for key, value in overrides.items():
        _set(tree, key, value)
    try:
        spec["options"] = algorithm.model_validate(spec["options"]).model_dump(mode="json")
    except pydantic.ValidationError as error:
        raise RecipeError(f"recipe: {_explain(error, algorithm, 'algorithm.options.')}") from None
    spec["name"] = name
    spec["distribution"] = spec.get("distribution") or algorithm.distributions[0]
    try:
        recipe = Recipe.model_validate(tree)
    except pydantic.ValidationError as error:
        raise RecipeError(f"recipe: {_explain(error, algorithm)}") from None
    _check(recipe, algorithm)
    return recipe


def _table(tree: dict[str, Any], key: str, prefix: str = "") -> dict[str, Any]:
    """Return the table under a key, made when missing."""
    found = tree.setdefault(key, {})
    if not isinstance(found, dict):
        raise RecipeError(f"recipe: {prefix}{key} must be a table, got {found!r}")
    return found


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise RecipeError(f"recipe: {key} cannot be set, {parent} is not a table")
    tree[last] = value


def _explain(error: pydantic.ValidationError, algorithm: "type[Algorithm]", prefix: str = "") -> str:
    """Say in one line which key is wrong and why."""
    known = [*keys_of(Recipe), *keys_of(algorithm, "algorithm.options.")]

    def parts() -> Iterator[str]:
        for item in error.errors(include_url=False):
            key = prefix + ".".join(str(part) for part in item["loc"])
            reason = f"unknown key ({meant(key, known)})" if item["type"] == "extra_forbidden" else item["msg"]
            given = "" if item["type"] in ("missing", "extra_forbidden") else f" (got {item['input']!r})"
            yield f"{key}: {reason}{given}"

    return "; ".join(parts())


def _check(recipe: Recipe, algorithm: "type[Algorithm]") -> None:
    """Check what depends on more than one key."""
    from masktools_train.early_structure import EarlyStructure

    spec = recipe.algorithm
    if spec.distribution not in algorithm.distributions:
        raise RecipeError(
            f"distribution {spec.distribution!r} does not go with {spec.name}; use {', '.join(algorithm.distributions)}"
        )
    if spec.name == "dense" and spec.density != 1:
        raise RecipeError(f"density: algorithm 'dense' keeps all weights, density {spec.density} does not go with it")
    if spec.name == "dense" and spec.layer_densities:
        raise RecipeError("layer_densities: algorithm 'dense' keeps all weights")
    if spec.layer_densities and spec.distribution == "global":
        raise RecipeError("layer_densities: layers compete under the distribution 'global'; use another one")
    reason = algorithm.why_not_frozen()
    for key in ("freeze_epoch", "freeze_when"):
        if getattr(spec, key) is not None and reason is not None:
            raise RecipeError(f"{key}: {reason}")
    if spec.freeze_when is not None:
        if spec.freeze_epoch is not None:
            raise RecipeError("freeze_epoch and freeze_when cannot be given together")
        EarlyStructure(spec.freeze_when)
    if spec.freeze_epoch is not None and spec.freeze_epoch > recipe.epochs:
        raise RecipeError(f"freeze_epoch {spec.freeze_epoch} is after the last epoch, {recipe.epochs}")
    if recipe.schedule.warmup_epochs > recipe.epochs:
        raise RecipeError(f"schedule.warmup_epochs {recipe.schedule.warmup_epochs} is longer than training")
