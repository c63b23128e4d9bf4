"""Scores of SNIP, GraSP and SynFlow for a two-layer ReLU network, in NumPy only and without automatic derivatives."""

import math

import numpy as np
from numpy_training import largest

NAMES = ("0.weight", "2.weight")


def cross_entropy(parameters, inputs, targets, temperature=1.0):
    """Return the mean cross-entropy and its gradients by the weights, by hand."""
    before = inputs @ parameters["0.weight"].T + parameters["0.bias"]
    hidden = np.maximum(before, 0)
    logits = (hidden @ parameters["2.weight"].T + parameters["2.bias"]) / temperature
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = shifted / shifted.sum(axis=1, keepdims=True)
    rows = np.arange(len(targets))
    out = probability.copy()
    out[rows, targets] -= 1
    out /= len(targets) * temperature
    back = (out @ parameters["2.weight"]) * (before > 0)
    loss = -np.log(probability[rows, targets]).mean()
    return loss, {"0.weight": back.T @ inputs, "2.weight": out.T @ hidden}


def snip(parameters, inputs, targets):
    _, gradients = cross_entropy(parameters, inputs, targets)
    return {name: abs(parameters[name] * gradients[name]) for name in NAMES}


def hessian(parameters, inputs, targets, temperature, step=1e-5):
    """Return the Hessian by the weights, column by column from central differences of the gradients by hand."""
    sizes = [parameters[name].size for name in NAMES]

    def gradient(flat):
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        weights = {n: part.reshape(parameters[n].shape) for n, part in zip(NAMES, parts, strict=True)}
        _, found = cross_entropy(parameters | weights, inputs, targets, temperature)
        return np.concatenate([found[name].ravel() for name in NAMES])

    at = np.concatenate([parameters[name].ravel() for name in NAMES])
    columns = [(gradient(at + step * unit) - gradient(at - step * unit)) / (2 * step) for unit in np.eye(len(at))]
    return np.stack(columns, axis=1), gradient(at)


def grasp_removal(parameters, inputs, targets, temperature):
    """Return -w (H g): the largest are removed."""
    matrix, gradient = hessian(parameters, inputs, targets, temperature)
    at = np.concatenate([parameters[name].ravel() for name in NAMES])
    flat, found = -at * (matrix @ gradient), {}
    for name in NAMES:
        size = parameters[name].size
        found[name], flat = flat[:size].reshape(parameters[name].shape), flat[size:]
    return found


def synflow(parameters, masks):
    """Return |w dR/dw| of the network of magnitudes that sees ones: all its paths are positive, so ReLU is nothing."""
    first, second = (abs(parameters[name]) * masks[name] for name in NAMES)
    hidden = first.sum(axis=1) + abs(parameters["0.bias"])
    return {"0.weight": first * second.sum(axis=0)[:, None], "2.weight": second * hidden[None, :]}


def together(scores, count):
    """Return the masks of the `count` highest scores over both layers."""
    kept = largest(np.concatenate([scores[name].ravel() for name in NAMES]), count)
    size = scores[NAMES[0]].size
    parts = (kept[:size], kept[size:])
    return {name: part.reshape(scores[name].shape) for name, part in zip(NAMES, parts, strict=True)}


def synflow_masks(parameters, count, iterations):
    masks = {name: np.ones(parameters[name].shape, dtype=bool) for name in NAMES}
    size = sum(mask.size for mask in masks.values())
    for number in range(iterations):
        share = (count / size) ** ((number + 1) / iterations)
        left = count if number == iterations - 1 else max(count, math.ceil(size * share))
        scores = synflow(parameters, masks)
        masks = together({name: np.where(masks[name], scores[name], -1.0) for name in NAMES}, left)
    return masks
