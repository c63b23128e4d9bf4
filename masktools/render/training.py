"""What training ended with, or would do, as documents."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.configuration import parts_table
from masktools.render.document import Column, Document, Table
from masktools.render.few_runs import few_runs_notes
from masktools.render.numbers import count, magnitude, rate, with_interval
from masktools.render.run_names import beginning_of, named, short_names
from masktools.statistics.intervals import mean_interval
from masktools.structure.configuration import flatten

__all__ = ["plan_document", "recipes_document", "training_document"]


def training_document(results: Sequence[Mapping[str, Any]]) -> Document:
    """Return what trainings ended with, a row a run.

    Parameters
    ----------
    results
        `TrainResult.to_dict` of each.
    """
    columns = (
        Column("run", "run"),
        Column("test_accuracy", "accuracy", "rate"),
        Column("active", "active", "count"),
        Column("density", "density", "rate"),
        Column("epochs", "epochs", "count"),
        Column("steps", kind="count", shown=False),
        Column("dense_gradient_steps", "dense steps", "count"),
        Column("frozen_epoch", kind="count", shown=False),
        Column("forward_flops", kind="count", shown=False),
        Column("forward_flops_dense", kind="count", shown=False),
        Column("training_flops", kind="count", shown=False),
        Column("training_flops_dense", kind="count", shown=False),
        Column("seconds", "seconds", "rate"),
    )
    everything = Table.of_records("Trained", columns, results, _reading(results))
    paths = [str(result["run"]) for result in results]
    beginning, names = short_names(paths)
    if len(results) == 1:
        beginning, names = "", tuple(paths)
    shown = named(everything, dict(zip(paths, names, strict=True)))
    shown = dataclasses.replace(shown, title=f"Trained{beginning_of(beginning)}")
    accuracies = [] if len(results) == 1 else [mean_interval([result["test_accuracy"] for result in results])]
    notes = few_runs_notes([], accuracies, "seeds")
    return Document("train", {"runs": list(results)}, (shown,), notes, records=everything)


def _reading(results: Sequence[Mapping[str, Any]]) -> str:
    last = results[-1]
    frozen, taken, dense = last.get("frozen_epoch"), last["training_flops"], last["training_flops_dense"]
    kept = "" if frozen is None else f"The mask is that of epoch {frozen}. "
    each = "" if len(results) == 1 else "in the last run "
    cost = ""
    if dense:
        cost = f"Training took {magnitude(taken, 'FLOPs')}, {rate(taken / dense)} of what dense training takes. "
    return (
        f"{_accuracy(results)} with {count(last['active'])} active weights "
        f"({rate(100 * last['density'])} %); {each}{count(last['dense_gradient_steps'])} of {count(last['steps'])} "
        f"steps used the gradient of inactive weights. {kept}{cost}Look closer with: masktools info {last['run']}"
    )


def _accuracy(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the test accuracy in words; over several trainings, which differ in the seed, the mean."""
    found = mean_interval([result["test_accuracy"] for result in results])
    if len(results) == 1:
        return f"Test accuracy {rate(found.mean)}"
    number = with_interval(found.mean, found.low, found.high)
    return f"Mean test accuracy {number} over {len(results)} seeds (95 % interval, Student t)"


def plan_document(plan: Mapping[str, Any]) -> Document:
    """Return what would be trained: the layer budget and the resolved recipe.

    Parameters
    ----------
    plan
        What `masktools_train.training.plan` returns.
    """
    forward, ratio = plan["forward_flops"], plan["forward_flops_ratio"]
    reading = (
        f"{count(plan['target'])} of {count(plan['size'])} weights will be active in the end; nothing was trained."
    )
    if ratio is not None:
        reading += (
            f" As it starts, a forward pass takes {magnitude(forward, 'FLOPs')} an example, {rate(ratio)} of the dense "
            "network's."
        )
    layers = Table.of_records(
        f"{plan['name']}: {count(plan['epochs'])} epochs, {count(plan['steps'])} steps on {plan['device']}",
        (
            Column("name", "layer"),
            Column("shape", "shape"),
            Column("size", "weights", "count"),
            Column("active", "active", "count"),
            Column("density", "density", "rate"),
            Column("flops", "FLOPs", "count", shown=forward is not None),
        ),
        [{**layer, "shape": "x".join(map(str, layer["shape"]))} for layer in plan["layers"]],
        reading,
    )
    facts = flatten(plan["config"])
    key = next((key for key in facts if "." in key), "KEY")
    reading = f"{len(facts)} keys; each can be set with --set KEY=VALUE, such as {key}={facts.get(key, 'VALUE')}."
    recipe = parts_table("Recipe", facts, reading)
    return Document("train", dict(plan), (layers, recipe))


def recipes_document(recipes: Mapping[str, Mapping[str, Any]]) -> Document:
    """Return the packaged recipes, a row each."""
    parts = ("model", "data", "algorithm")
    rows = tuple(
        (
            name,
            *(raw[part]["name"] for part in ("model", "data", "algorithm")),
            raw["algorithm"]["density"],
            raw["epochs"],
        )
        for name, raw in recipes.items()
    )
    names = tuple(Column(name) for name in ("recipe", *parts))
    columns = (*names, Column("density", kind="rate"), Column("epochs", kind="count"))
    table = Table("Packaged recipes", columns, rows, "Run one with: masktools train RECIPE")
    return Document("train", {"recipes": {name: dict(raw) for name, raw in recipes.items()}}, (table,))
