"""What to train: a TOML file and options of the command line, resolved into one frozen description."""

import importlib.resources
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from masktools.errors import RecipeError

if TYPE_CHECKING:
    from masktools_train.algorithms.base import Algorithm

__all__ = [
    "AlgorithmSpec",
    "ComputationSpec",
    "DataSpec",
    "ModelSpec",
    "OptimizerSpec",
    "OriginSpec",
    "Recipe",
    "ScheduleSpec",
    "SnapshotSpec",
    "load_recipe",
    "packaged_recipes",
    "resolve_recipe",
]


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Share = Annotated[float, pydantic.Field(gt=0, le=1)]
_Decay = Annotated[float, pydantic.Field(ge=0, lt=1)]


class ModelSpec(_Frozen):
    """Which network: a built-in name or ``package.module:function``, and its keyword arguments."""

    name: str
    options: dict[str, Any] = {}


class DataSpec(_Frozen):
    """Which data: a built-in name or ``package.module:function``, its arguments, and augmentation."""

    name: str
    options: dict[str, Any] = {}
    augment: tuple[Literal["crop", "flip", "shift"], ...] = ()
    shift: int = pydantic.Field(4, ge=1)


class OptimizerSpec(_Frozen):
    """SGD or AdamW."""

    name: Literal["sgd", "adamw"] = "sgd"
    lr: float = pydantic.Field(0.1, gt=0)
    momentum: float = pydantic.Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = pydantic.Field(0.0, ge=0)
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    eps: float = pydantic.Field(1e-8, gt=0)

    @pydantic.model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "OptimizerSpec":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class ScheduleSpec(_Frozen):
    """How the learning rate changes; epochs may be fractions."""

    name: Literal["cosine", "step", "constant"] = "cosine"
    warmup_epochs: float = pydantic.Field(0.0, ge=0)
    milestones: tuple[float, ...] = ()
    gamma: float = pydantic.Field(0.1, gt=0)

    @pydantic.model_validator(mode="after")
    def _step_needs_milestones(self) -> "ScheduleSpec":
        if (self.name == "step") != bool(self.milestones):
            raise ValueError("milestones (epochs) go with the schedule 'step', and it needs them")
        return self


class AlgorithmSpec(_Frozen):
    """Which sparse training algorithm, how sparse, and its options."""

    name: str = "dnw"
    density: float = pydantic.Field(0.1, gt=0, le=1)
    distribution: str | None = None
    dense_layers: tuple[str, ...] = ()
    layer_densities: dict[str, _Share] = {}
    freeze_epoch: int | None = pydantic.Field(None, ge=0)
    freeze_when: str | None = None
    options: dict[str, Any] = {}


class SnapshotSpec(_Frozen):
    """What each snapshot stores of the weights."""

    weights: Literal["active", "dense", "none"] = "active"
    dtype: Literal["float16", "float32"] = "float32"


class ComputationSpec(_Frozen):
    """How the network is computed; every choice trains the same network, to rounding."""

    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False
    compile: Literal["no", "default", "reduce-overhead", "max-autotune"] = "no"
    fused: bool | None = None
    """One kernel for the whole optimizer step; None does so on CUDA."""
    deterministic: bool = False


class OriginSpec(_Frozen):
    """Where the first masks came from, when a recorded structure is trained again."""

    variant: str
    run: str
    epoch: int
    masks_digest: str
    """Digest of all masks: what is trained again does not depend on where its run lies today."""
    options: dict[str, Any] = {}
    """What else the variant depends on."""


class Recipe(_Frozen):
    """Everything that determines a training run, except the device."""

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
        raise RecipeError(f"recipe: {_explain(error, 'algorithm.options.')}") from None
    spec["name"] = name
    spec["distribution"] = spec.get("distribution") or algorithm.distributions[0]
    try:
        recipe = Recipe.model_validate(tree)
    except pydantic.ValidationError as error:
        raise RecipeError(f"recipe: {_explain(error)}") from None
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


def _explain(error: pydantic.ValidationError, prefix: str = "") -> str:
    """Say in one line which key is wrong and why."""

    def parts() -> Iterator[str]:
        for item in error.errors(include_url=False):
            key = prefix + ".".join(str(part) for part in item["loc"])
            reason = "unknown key" if item["type"] == "extra_forbidden" else item["msg"]
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
