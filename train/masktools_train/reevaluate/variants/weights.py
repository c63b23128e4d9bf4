"""The same mask with other weights."""

import functools
from typing import Any, Literal

import torch
from torch import Tensor

from masktools.errors import RecipeError, SnapshotError
from masktools.snapshot.read import Snapshot
from masktools.structure.values.trained import has_dense_weights, has_weights
from masktools_train.algorithms import REGISTRY
from masktools_train.algorithms.base import Algorithm
from masktools_train.initialization import Start
from masktools_train.reevaluate.variants.variant import Asked, Variant

__all__ = ["VARIANTS"]


def _original(asked: Asked) -> Start:
    """Start with the weights that the run was initialised with."""
    return Start(state=asked.initial_state(), masks=asked.source.masks())


def _new(asked: Asked) -> Start:
    """Start with a new initialisation."""
    return Start(masks=asked.source.masks())


def _rewind_epoch(asked: Asked) -> int:
    """Return the epoch to go back to: what was asked for, else where the run itself rewound to."""
    if asked.rewind_epoch is not None:
        return asked.rewind_epoch
    recipe, data = asked.source.recipe, asked.source.data
    kind = REGISTRY[recipe.algorithm.name]
    if kind.rewind_step is Algorithm.rewind_step:
        raise RecipeError(f"variant 'rewound': a run of {kind.name} rewinds to no epoch; name one (--rewind-epoch N)")
    batches = data.training(recipe.batch_size, recipe.seed, recipe.data.augment, recipe.data.shift)
    step = kind.model_validate(recipe.algorithm.options).rewind_step(batches.steps_per_epoch)
    epoch, beyond = divmod(step, batches.steps_per_epoch)
    if beyond:
        raise RecipeError(
            f"variant 'rewound': the run rewound to step {step}, within epoch {epoch + 1}, of which there is no "
            "snapshot; name an epoch (--rewind-epoch N)"
        )
    return epoch


def _rewind_point(asked: Asked) -> Snapshot:
    """Return the snapshot to go back to, which holds all that is needed of it."""
    epoch, source = _rewind_epoch(asked), asked.source
    last = source.recipe.epochs if asked.epochs is None else asked.epochs
    if not 0 <= epoch < last:
        raise RecipeError(f"variant 'rewound': epoch {epoch} is not before the end of training, epoch {last}")
    snapshot = source.run.at(epoch)
    if snapshot.extra.get("level", 0):
        raise RecipeError(
            f"variant 'rewound': epoch {epoch} is of level {snapshot.extra['level']}, whose weights were rewound and "
            "pruned already; name one of the first level"
        )
    if not has_weights(snapshot):
        raise SnapshotError(f"{snapshot.path}: was written without weights")
    # Where inactive weights train behind the mask, they are not the 0 that a snapshot of active ones reads as.
    if REGISTRY[source.recipe.algorithm.name].trains_dense and not has_dense_weights(snapshot):
        masks = source.masks()
        hidden = sum(int((mask & ~torch.from_numpy(snapshot.mask(name))).sum()) for name, mask in masks.items())
        if hidden:
            raise RecipeError(
                f"variant 'rewound': {hidden} weights of the mask were not active in epoch {epoch}, and "
                f"{snapshot.path} holds active ones only; record the run with snapshot.weights = 'dense'"
            )
    return snapshot


def _rewound(asked: Asked) -> Start:
    """Start with the weights, the schedule and the data order of an early epoch."""
    point, source = _rewind_point(asked), asked.source
    # The level counts where a model draws random numbers of its own.
    level = int(source.snapshot.extra.get("level", 0))
    return Start(state=source.state_of(point), masks=source.masks(), epoch=point.epoch, level=level)


def _rewound_options(asked: Asked) -> dict[str, Any]:
    return {"rewind_epoch": _rewind_epoch(asked)}


def _signed(asked: Asked, signs: Literal["initial", "final"], magnitude: Literal["constant", "new"]) -> Start:
    """Start with signs of the run, and magnitudes that know nothing of it but its scale."""
    initial, state, masks = asked.initial_state(), asked.new_state(), asked.source.masks()
    final = asked.source.state_of(asked.source.snapshot) if signs == "final" else initial
    for name in masks:
        size: Tensor = initial[name].std(correction=0) if magnitude == "constant" else state[name].abs()
        state[name] = final[name].sign() * size
    return Start(state=state, masks=masks)


def _signs_known(asked: Asked, signs: Literal["initial", "final"]) -> None:
    """Raise where the weights are missing that signs and scale are taken from."""
    asked.initial()
    if signs == "final" and not has_weights(asked.source.snapshot):
        raise SnapshotError(f"{asked.source.snapshot.path}: was written without weights")


VARIANTS = (
    Variant(
        "original",
        "the weights that the run was initialised with",
        _original,
        draws_weights=False,
        check=Asked.initial,
    ),
    Variant(
        "rewound",
        "weights, schedule and data order of an early epoch",
        _rewound,
        draws_weights=False,
        options=_rewound_options,
        check=_rewind_point,
    ),
    Variant("new", "a new initialisation", _new),
    Variant(
        "sign-constant",
        "signs of the initial weights, one magnitude a layer: their standard deviation",
        functools.partial(_signed, signs="initial", magnitude="constant"),
        check=functools.partial(_signs_known, signs="initial"),
    ),
    Variant(
        "sign-new",
        "signs of the initial weights, magnitudes of a new initialisation",
        functools.partial(_signed, signs="initial", magnitude="new"),
        check=functools.partial(_signs_known, signs="initial"),
    ),
    Variant(
        "final-sign-constant",
        "signs of the trained weights, one magnitude a layer: the initial standard deviation",
        functools.partial(_signed, signs="final", magnitude="constant"),
        check=functools.partial(_signs_known, signs="final"),
    ),
    Variant(
        "final-sign-new",
        "signs of the trained weights, magnitudes of a new initialisation",
        functools.partial(_signed, signs="final", magnitude="new"),
        check=functools.partial(_signs_known, signs="final"),
    ),
)
"""Zhou et al. (arXiv 1905.01067) keep the signs of the initial weights; all other parameters are new."""
