"""Runs of a page: of several algorithms and seeds, with logs, and what was made of them again beside them."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from synthetic import Masks, mlp_topology, random_masks

CHANCE = 0.125
"""Accuracy of guessing that the runs record."""


def write_study(
    write_run: Callable[..., Path],
    seeds: Iterable[int] = (0, 1),
    names: Sequence[str] = ("dnw", "a<b>"),
    epochs: int = 4,
    again: bool = True,
    chance: float | None = CHANCE,
) -> list[Path]:
    """Write runs whose masks move by a weight a layer and epoch, trained again, pruned and frozen where asked for."""
    made = []
    for name in names:
        for seed in seeds:
            run = f"{name}-s{seed}"
            rng = np.random.default_rng(seed + len(name))
            masks, moments = random_masks(seed + 100 * len(name)), []
            for _ in range(epochs):
                moments.append({layer: mask.copy() for layer, mask in masks.items()})
                for mask in masks.values():
                    flat = mask.reshape(-1)
                    leave, come = rng.choice(np.flatnonzero(flat)), rng.choice(np.flatnonzero(~flat))
                    flat[leave], flat[come] = False, True
            algorithm = {"name": name, "freeze_epoch": None}
            config = {"seed": seed, "epochs": epochs - 1, "algorithm": algorithm, "data": {"name": "x"}}
            path = write_run(run, moments, config, _log(epochs, 0.6 + seed / 100, 1000, 40), mlp_topology())
            made.append(path)
            if chance is not None:
                told = json.loads((path / "run.json").read_text("utf-8"))
                (path / "run.json").write_text(json.dumps({**told, "chance_accuracy": chance}), "utf-8")
            if again:
                _again(write_run, run, config, moments[-1], epochs)
                for epoch in (1, 2):
                    frozen = {**config, "algorithm": {**algorithm, "freeze_epoch": epoch}}
                    log = _log(epochs, 0.5 + epoch / 100 + seed / 100, 250 * epoch, 10 * epoch)
                    write_run(
                        f"{run}-frozen/e{epoch}", moments[:epoch] + [moments[epoch]] * (epochs - epoch), frozen, log
                    )
    return made


def _log(epochs: int, accuracy: float, flops: int, dense: int) -> list[dict[str, Any]]:
    last = epochs - 1
    return [
        {
            "epoch": epoch,
            "step": 40 * epoch,
            "lr": 0.1,
            "test_accuracy": accuracy - 0.1 * (last - epoch) / epochs,
            "density": 0.25,
            "training_flops": flops * epoch,
            "dense_gradient_steps": dense * epoch,
        }
        for epoch in range(epochs)
    ]


def _again(write_run: Callable[..., Path], run: str, config: dict[str, Any], masks: Masks, epochs: int) -> None:
    origin = {"run": run, "epoch": epochs - 1}
    for variant, accuracy in (("new", 0.8), ("original", 0.9)):
        for seed in (5, 6):
            told = {**config, "seed": seed, "origin": {**origin, "variant": variant, "options": {}}}
            log = [{"epoch": 0, "test_accuracy": 0.1}, {"epoch": epochs - 1, "test_accuracy": accuracy + seed / 1000}]
            write_run(f"{run}-reinit/{variant}-s{seed}", [masks], told, log)
    for share in (1.0, 0.5):
        options = {"share": share, "finetune_epochs": 0}
        told = {**config, "origin": {**origin, "variant": "prune-magnitude-global", "options": options}}
        left = {layer: thinned(mask, share) for layer, mask in masks.items()}
        active = sum(int(mask.sum()) for mask in left.values())
        size = sum(mask.size for mask in left.values())
        log = [{"epoch": 0, "test_accuracy": 0.6 * share, "density": active / size, "active": active}]
        write_run(f"{run}-pruned/magnitude-global-{share:g}", [left], told, log, mlp_topology())


def thinned(mask: Any, share: float) -> Any:
    """Return a mask with the first active weights of each layer alone."""
    left = np.zeros_like(mask)
    left.flat[np.flatnonzero(mask)[: round(share * mask.sum())]] = True
    return left
