"""``masktools import``: checkpoints of other programs become a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import typer

from masktools.cli.command import Command
from masktools.cli.options import QuietOption
from masktools.cli.output import FormatName, LongOutputOption, emit
from masktools.cli.settings import parse_seeds, setting_of, value_of
from masktools.errors import MasktoolsError

__all__ = ["COMMAND", "DistributionName", "GraphName", "WeightsName", "import_checkpoints"]

DistributionName: TypeAlias = Literal["uniform", "erk", "global"]
"""How a density is spread; a test holds it equal to what the import knows."""

GraphName: TypeAlias = Literal["sequential"]
"""Graphs that can be made of shapes alone."""

WeightsName: TypeAlias = Literal["active", "dense", "none"]
"""Which values are kept."""


def import_checkpoints(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE",
            help="Checkpoints, an epoch each: .pt, .pth, .safetensors (or its .index.json), .npz, a Hugging Face "
            "folder, a replicate of open_lth.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="The run directory.", show_default=False)],
    format: Annotated[  # noqa: A002
        list[str] | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="What wrote the SOURCE; by default that is recognised (auto). Also how to write the result: table, "
            "json or csv. May be given for both.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option("--key", help="Where in the file the network is, where there are several.", show_default=False),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(
            "--masks", metavar="FILE", help="A file with the masks, by the names of the weights.", show_default=False
        ),
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            "--density",
            metavar="X",
            help="Keep the largest weights (or scores), this share of them, where the file has no masks.",
            show_default=False,
        ),
    ] = None,
    distribution: Annotated[
        DistributionName,
        typer.Option("--distribution", help="Spread the density evenly, by layer sizes, or let all layers compete."),
    ] = "uniform",
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            metavar="PATTERN",
            help="Names of layers, such as 'features.*.weight'; repeatable. Default: what has a mask, else arrays of "
            "two axes or more called weight, but no embeddings, positions and norms.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="PATTERN", help="Names of what is no layer; repeatable.", show_default=False),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            "--epochs",
            metavar="LIST",
            help="Epoch of each SOURCE: 0-4 or 0,10,20. Default: the numbers in the names, else their order.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="The model, for the operator graph: a built-in one, or package.module:function.",
            show_default=False,
        ),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option(
            "--model-option", metavar="KEY=VALUE", help="An option of the model; repeatable.", show_default=False
        ),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", metavar="LIST", help="Shape of one input: 3,32,32.", show_default=False),
    ] = None,
    classes: Annotated[
        int | None, typer.Option("--classes", metavar="N", min=1, help="Outputs of the model.", show_default=False)
    ] = None,
    graph: Annotated[
        GraphName | None,
        typer.Option("--graph", help="Chain the layers in their order instead of a model.", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="Data and optimizer, so that the run can be pruned and trained again.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        WeightsName, typer.Option("--weights", help="Which values are kept; dense ones are larger than the checkpoint.")
    ] = "active",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete the run that is there, once the new one is whole.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be imported, and write nothing.")] = False,
    quiet: QuietOption = False,
    output: LongOutputOption = None,
) -> None:
    """Import checkpoints; parameters as on the command line."""
    from masktools.cli.import_progress import ImportProgress
    from masktools.render.imported import import_document
    from masktools_train.importing.importing import import_run

    reading, writing = _formats(format or [])
    with ImportProgress(quiet) as progress:
        result = import_run(
            sources,
            out,
            format=reading,
            key=key,
            masks=masks,
            density=density,
            distribution=distribution,
            include=include or (),
            exclude=exclude or (),
            epochs=None if epochs is None else parse_seeds(epochs, "--epochs"),
            model=model,
            model_options={name: value_of(text) for name, text in map(_option, model_option or ())},
            input_shape=None if input_shape is None else _shape(input_shape),
            classes=classes,
            graph=graph,
            recipe=recipe,
            weights=weights,
            overwrite=overwrite,
            dry_run=dry_run,
            observer=progress,
        )
        for warning in result.warnings:
            progress.warned(warning)
    emit(import_document(result), writing, output)


def _formats(given: Sequence[str]) -> tuple[str, FormatName | None]:
    """Tell apart how to read and how to write; a name that is neither is refused where the files are read."""
    known: tuple[FormatName, ...] = get_args(FormatName)
    writing = [name for name in known if name in given]
    reading = [name for name in given if name not in known]
    if len(reading) > 1 or len(writing) > 1:
        raise MasktoolsError(f"--format: {', '.join(reading if len(reading) > 1 else writing)} exclude each other")
    return (reading[0] if reading else "auto"), (writing[0] if writing else None)


def _option(text: str) -> tuple[str, str]:
    return setting_of(text, "--model-option")


def _shape(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise MasktoolsError(f"--input-shape: {text!r} is no shape; write 3,32,32")
    return [int(part) for part in parts]


COMMAND = Command(
    name="import",
    run=import_checkpoints,
    summary="Checkpoints of other programs become a run: torch, safetensors, NumPy, and what sparse training saves.",
    examples=(
        "masktools import pruned.pt -o runs/pruned",
        "masktools import checkpoints/epoch_0.pth checkpoints/epoch_10.pth -o runs/rigl --dry-run",
        "masktools import dnw.pth -o runs/dnw --density 0.1 --distribution erk",
        "masktools import model.safetensors -o runs/llm --exclude lm_head.weight",
        "masktools import net.pt -o runs/net --model resnet20 --input-shape 3,32,32 --classes 10",
        "masktools import net.pt -o runs/net --model mypackage.nets:small --recipe digits",
        "masktools import mlp.npz -o runs/mlp --graph sequential --format json",
    ),
    details="Nothing in a file is run: one that needs more than tensors is refused. Large files are read piece by "
    "piece. --format NAME is one of open-lth, masks, rigl-torch, rigl-reproducibility, torch-prune, parametrizations, "
    "hidden-networks, str, shrinkbench, safetensors, npz, dense, zeros; docs/import.md says what each reads.",
)
