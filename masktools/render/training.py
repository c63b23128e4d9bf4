"""What training ended with, or would do, as documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.render.document import Column, Document, Table
from masktools.render.numbers import count, magnitude, rate
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
    last = results[-1]
    frozen, taken, dense = last.get("frozen_epoch"), last["training_flops"], last["training_flops_dense"]
    cost = ""
    if dense:
        cost = f"Training took {magnitude(taken, 'FLOPs')}, {rate(taken / dense)} of what dense training takes. "
    reading = (
        f"Test accuracy {rate(last['test_accuracy'])} with {count(last['active'])} active weights "
        f"({rate(100 * last['density'])} %); {count(last['dense_gradient_steps'])} of {count(last['steps'])} steps "
        f"used the gradient of inactive weights. {'' if frozen is None else f'The mask is that of epoch {frozen}. '}"
        f"{cost}"
        f"Look closer with: masktools info {last['run']}"
    )
    return Document("train", {"runs": list(results)}, (Table.of_records("Trained", columns, results, reading),))


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
    recipe = Table(
        "Recipe",
        (Column("key"), Column("value")),
        tuple((key, str(value)) for key, value in facts.items()),
        f"{len(facts)} keys; each can be set with --set KEY=VALUE.",
    )
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
