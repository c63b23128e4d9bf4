"""Pruning done by hand: the masks of a curve, sorted in Python, and the accuracy under them."""

import numpy as np
import torch
from small_runs import CLASSES, recipe

from masktools_train import prune
from masktools_train.data import load_data
from masktools_train.initialization import initial_model
from masktools_train.reevaluate import pruning


def kept_masks(monkeypatch, run, **options):
    """Return the masks of every point of the curve, draw by draw, beside the result."""
    seen = []
    scope = options.get("scope", "global")
    original = pruning.SCOPES[scope]

    def noted(scores, share, active):
        masks = original(scores, share, active)
        seen.append((share, {name: mask.numpy().copy() for name, mask in masks.items()}))
        return masks

    with monkeypatch.context() as patched:
        patched.setattr(pruning, "SCOPES", {**pruning.SCOPES, scope: noted})
        return prune(run, device="cpu", **options), seen


def accuracy_by_hand(run, masks):
    """Evaluate the network of the last snapshot under other masks."""
    config = run.config
    data = load_data(config["data"]["name"], config["data"]["options"])
    made = recipe("dnw", model__name=config["model"]["name"])
    model = initial_model(made, data.input_shape, CLASSES)
    if config["model"]["name"] == "mlp":
        model = initial_model(recipe("dnw", data__name="small_runs:pictures"), data.input_shape, CLASSES)
    state = {name: torch.from_numpy(np.array(value)) for name, value in run.final.tensors().items()}
    state |= {name: torch.from_numpy(run.final.weight(name) * mask) for name, mask in masks.items()}
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        predicted = model(data.normalized(data.test_inputs)).argmax(1)
    return float((predicted == data.test_targets).double().mean())


def brute_force(run, share, scope, scores=None):
    """Sort the active weights by falling score (magnitude unless told), equal ones by place, and keep the first."""
    rows = []
    for number, name in enumerate(run.final.layers):
        score = np.abs(run.final.weight(name)) if scores is None else scores[name]
        score, mask = score.ravel(), run.final.mask(name).ravel()
        rows += [(-score[i], number, i) for i in np.flatnonzero(mask)]
    names = list(run.final.layers)
    kept = {name: np.zeros(run.final.layers[name].size, dtype=bool) for name in names}
    groups = [rows] if scope == "global" else [[row for row in rows if row[1] == n] for n in range(len(names))]
    for group in groups:
        for _, number, index in sorted(group)[: round(share * len(group))]:
            kept[names[number]][index] = True
    return {name: mask.reshape(run.final.layers[name].shape) for name, mask in kept.items()}
