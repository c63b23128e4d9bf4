"""``masktools train``: train a sparse network and record a snapshot every epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

import typer

from masktools.cli.command import Command
from masktools.cli.options import DeviceOption, QuietOption
from masktools.cli.output import FormatOption, OutputOption, emit
from masktools.cli.settings import SetOption, overrides_of, parse_seeds
from masktools.errors import MasktoolsError, RunError

if TYPE_CHECKING:
    from masktools_train.recipe import Recipe

__all__ = ["COMMAND", "MODELS", "AlgorithmName", "DistributionName", "ExecutionName", "train"]

AlgorithmName: TypeAlias = Literal[
    "dense", "static", "set", "snfs", "rigl", "dnw", "ltr", "gmp", "snip", "grasp", "synflow", "edge-popup"
]
"""Names of the algorithms; a test holds them equal to the registry of the training package."""

DistributionName: TypeAlias = Literal["uniform", "erk", "global"]
"""Names of the layer budgets; a test holds them equal to what the algorithms take."""

ExecutionName: TypeAlias = Literal["masked", "sparse", "auto"]
"""How layers compute; a test holds them equal to what the training package takes."""

MODELS = (
    "mlp lenet-300-100 lenet-5 conv-2 conv-4 conv-6 resnet20 resnet32 resnet56 wrn-22-2 vgg-16 resnet18 resnet50 "
    "mobilenet-v2 vit-tiny"
).split()
"""Names of the built-in models; a test holds them equal to the registry of the training package."""


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A packaged recipe (--list shows them) or a TOML file.")
    ] = "digits",
    algorithm: Annotated[
        AlgorithmName | None,
        typer.Option(
            "--algorithm",
            metavar="NAME",  # the names themselves make a line of more than 80 columns
            help=f"Sparse training algorithm: {', '.join(get_args(AlgorithmName))}.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help=f"{', '.join(MODELS)}, or package.module:function.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="digits, fashion-mnist, idx, cifar10, cifar100, image-folder, imagenet, or package.module:function.",
            show_default=False,
        ),
    ] = None,
    data_path: Annotated[
        Path | None,
        typer.Option("--data-path", metavar="DIR", help="Folder of the data files.", show_default=False),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            "--density", metavar="D", help="Share of weights to keep, above 0 and at most 1.", show_default=False
        ),
    ] = None,
    distribution: Annotated[
        DistributionName | None,
        typer.Option("--distribution", help="How the density is spread over the layers.", show_default=False),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", metavar="N", help="Epochs (of each level).", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", help="Examples a step.", show_default=False)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", metavar="LR", help="Base learning rate.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Seed.", show_default=False)] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="LIST", help="Several seeds, a run each: 0-4 or 0,2,7.", show_default=False),
    ] = None,
    freeze_epoch: Annotated[
        int | None,
        typer.Option(
            "--freeze-epoch",
            metavar="N",
            help="Keep the mask of epoch N from then on, with no further dense gradients.",
            show_default=False,
        ),
    ] = None,
    freeze_when: Annotated[
        str | None,
        typer.Option(
            "--freeze-when",
            metavar="RULE",
            help="Do so by itself once the mask has settled: 'kappa>0.9 over 5' (epochs).",
            show_default=False,
        ),
    ] = None,
    execution: Annotated[
        ExecutionName | None,
        typer.Option(
            "--execution",
            help="How linear layers compute on a CPU: dense under a mask, truly sparse, or whichever is faster.",
            show_default=False,
        ),
    ] = None,
    settings: SetOption = None,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Run directory; with several seeds, -sSEED is added. Default: runs/RECIPE-ALGORITHM-sSEED.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after the last finished epoch of the run that is there.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete the run that is there first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained; train nothing.")] = False,
    list_recipes: Annotated[bool, typer.Option("--list", help="List the packaged recipes and exit.")] = False,
    quiet: QuietOption = False,
    format: FormatOption = None,  # noqa: A002
    output: OutputOption = None,
) -> None:
    """Train; parameters as on the command line.

    Raises
    ------
    MasktoolsError
        If the recipe, an option or the run directory cannot be used.
    """
    from masktools.render.training import plan_document, recipes_document, training_document
    from masktools_train.recipe import load_recipe, packaged_recipes, resolve_recipe

    if list_recipes:
        emit(recipes_document({name: load_recipe(name) for name in packaged_recipes()}), format, output)
        return
    if seed is not None and seeds is not None:
        raise MasktoolsError("--seed and --seeds cannot be given together")
    if resume and overwrite:
        raise MasktoolsError("--resume and --overwrite cannot be given together")
    overrides = overrides_of(
        {
            "algorithm.name": algorithm,
            "model.name": model,
            "data.name": data,
            "data.options.path": None if data_path is None else str(data_path),
            "algorithm.density": density,
            "algorithm.distribution": distribution,
            "algorithm.freeze_epoch": freeze_epoch,
            "algorithm.freeze_when": freeze_when,
            "execution": execution,
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer.lr": learning_rate,
        },
        settings,
    )
    raw = load_recipe(recipe)
    numbers = [seed] if seeds is None else parse_seeds(seeds)
    recipes = [
        resolve_recipe(raw, overrides if number is None else {**overrides, "seed": number}) for number in numbers
    ]
    if dry_run:
        from masktools_train.training import plan

        emit(plan_document(plan(recipes[0], device)), format, output)
        return
    results = _train_all(recipes, _folders(recipes, out), device, resume, overwrite, quiet)
    if results is not None:
        emit(training_document(results), format, output)


def _train_all(
    recipes: "list[Recipe]", folders: list[Path], device: str, resume: bool, overwrite: bool, quiet: bool
) -> list[dict[str, Any]] | None:
    """Train one recipe after the other; return the results, or None in a process that is not the first of several."""
    from masktools.cli.progress import TrainingProgress
    from masktools.cli.signals import ending_on_sigterm
    from masktools_train.distributed import launched, leads
    from masktools_train.training import train as train_recipe

    if not (resume or overwrite or launched()):  # of several processes the first one looks, and tells the others
        _require_room(folders)
    results = []
    with TrainingProgress(quiet or not leads()) as progress:
        for recipe, folder in zip(recipes, folders, strict=True):
            before = _begun(folder)
            progress.say(f"training {recipe.name} with {recipe.algorithm.name}, seed {recipe.seed}, into {folder}")
            try:
                with ending_on_sigterm():
                    result = train_recipe(
                        recipe, folder, device=device, observer=progress, resume=resume, overwrite=overwrite
                    )
            except (KeyboardInterrupt, SystemExit):
                if leads():
                    progress.warned(f"stopped; {_how_to_go_on(folder, resume or _begun(folder) != before)}")
                raise
            results.append(result.to_dict())
    return results if leads() else None


def _require_room(folders: list[Path]) -> None:
    """Raise before anything is trained where a run would not be written."""
    from masktools.run_writer import RunWriter

    for folder in folders:
        if RunWriter(folder).occupied:
            raise RunError(
                f"{folder}: holds a run already; resume it (--resume), overwrite it (--overwrite), or choose another "
                "directory (--out)"
            )


def _begun(folder: Path) -> int | None:
    """Return when the run in a folder was begun, or None where there is none."""
    from masktools.run_files import RUN_JSON

    try:
        return (folder / RUN_JSON).stat().st_mtime_ns
    except OSError:
        return None


def _how_to_go_on(folder: Path, begun: bool) -> str:
    """Say what there is to do after a training was stopped."""
    from masktools.cli.typed import resuming
    from masktools_train.distributed import launched

    if not begun or _begun(folder) is None:
        return f"nothing of this training was written into {folder}"
    if launched():
        return f"the same command with --resume goes on with {folder}"
    return f"this goes on with {folder}: {resuming()}"


def _folders(recipes: "list[Recipe]", out: Path | None) -> list[Path]:
    from masktools_train.training import run_name

    if out is None:
        return [Path("runs") / run_name(recipe) for recipe in recipes]
    if len(recipes) == 1:
        return [out]
    return [out.with_name(f"{out.name}-s{recipe.seed}") for recipe in recipes]


COMMAND = Command(
    name="train",
    run=train,
    summary="Train a sparse network; a snapshot of mask and weights is recorded every epoch.",
    examples=(
        "masktools train",
        "masktools train digits --algorithm rigl --seeds 0-4",
        "masktools train fashion-mnist --density 0.05 --out runs/fashion",
        "masktools train digits --freeze-epoch 5 --set optimizer.weight_decay=0",
        "masktools train digits --freeze-when 'kappa>0.9 over 5'",
        "masktools train fashion-mnist --algorithm rigl --density 0.02 --execution auto",
        "masktools train my.toml --model mypackage.models:net --resume",
    ),
)
