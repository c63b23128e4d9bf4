"""Sparse training written a second time, in NumPy only and from the rules alone: the oracle of the tests beside it.

Nothing here is shared with the package: selection is a stable argsort, the optimizers are their formulas.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = dict[str, Array]


def largest(scores: Array, k: int) -> Array:
    """Return the mask of the k largest scores, equal ones in order of their index."""
    mask = np.zeros(scores.size, dtype=bool)
    mask[np.argsort(-scores.ravel(), kind="stable")[:k]] = True
    return mask.reshape(scores.shape)


class SGD:
    """g' = g + wd w; v = momentum v + g'; w -= lr v, or lr (g' + momentum v) with Nesterov."""

    slots = ("momentum_buffer",)

    def __init__(self, lr: float, momentum: float = 0.0, weight_decay: float = 0.0, nesterov: bool = False) -> None:
        self.lr, self.momentum, self.decay, self.nesterov = lr, momentum, weight_decay, nesterov
        self.state: dict[str, Arrays] = {}

    def step(self, name: str, weight: Array, gradient: Array) -> None:
        gradient = gradient + self.decay * weight
        if self.momentum:
            slots = self.state.setdefault(name, {"momentum_buffer": np.zeros_like(weight)})
            slots["momentum_buffer"] = self.momentum * slots["momentum_buffer"] + gradient
            velocity = slots["momentum_buffer"]
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        weight -= self.lr * gradient


class AdamW:
    """Loshchilov and Hutter's decoupled decay, with the bias corrections of Adam."""

    slots = ("exp_avg", "exp_avg_sq")

    def __init__(
        self, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01
    ) -> None:
        self.lr, self.betas, self.eps, self.decay = lr, betas, eps, weight_decay
        self.state: dict[str, Arrays] = {}
        self.times: dict[str, int] = {}

    def step(self, name: str, weight: Array, gradient: Array) -> None:
        slots = self.state.setdefault(name, {slot: np.zeros_like(weight) for slot in self.slots})
        time = self.times[name] = self.times.get(name, 0) + 1
        first, second = self.betas
        weight *= 1 - self.lr * self.decay
        slots["exp_avg"] = first * slots["exp_avg"] + (1 - first) * gradient
        slots["exp_avg_sq"] = second * slots["exp_avg_sq"] + (1 - second) * gradient**2
        mean = slots["exp_avg"] / (1 - first**time)
        spread = np.sqrt(slots["exp_avg_sq"] / (1 - second**time))
        weight -= self.lr * mean / (spread + self.eps)


class Reference:
    """Static, RigL or DNW, one step at a time.

    Parameters
    ----------
    rule
        ``static``, ``rigl``, ``dnw`` or ``dnw-global``.
    weights
        Prunable weights by name, all of their values.
    others
        Parameters without a mask.
    masks
        The masks to start from (`static`, `rigl`); DNW finds its own.
    counts
        Active weights of each layer; for ``dnw-global`` only those of dense layers are used.
    total
        Active weights over all layers, for ``dnw-global``.
    """

    def __init__(
        self,
        rule: str,
        optimizer: SGD | AdamW,
        weights: Mapping[str, Array],
        others: Mapping[str, Array],
        masks: Mapping[str, Array],
        counts: Mapping[str, int],
        *,
        total: int = 0,
        steps: int = 100,
        alpha: float = 0.3,
        delta_t: int = 5,
        t_end: float = 0.75,
        freeze: int | None = None,
    ) -> None:
        self.rule, self.optimizer, self.counts, self.total = rule, optimizer, counts, total
        self.steps, self.alpha, self.delta_t, self.t_end, self.freeze = steps, alpha, delta_t, t_end, freeze
        self.trained = {name: value.copy() for name, value in weights.items()}
        self.others = {name: value.copy() for name, value in others.items()}
        self.masks = {name: np.array(mask) for name, mask in masks.items()}
        self.done, self.dense_gradients = 0, 0
        if self.straight_through:
            self._select()
        else:
            self._cut()

    @property
    def straight_through(self) -> bool:
        return self.rule.startswith("dnw") and not self.frozen

    @property
    def frozen(self) -> bool:
        return self.freeze is not None and self.done >= self.freeze

    def effective(self) -> Arrays:
        return {name: value * self.masks[name] for name, value in self.trained.items()}

    def step(self, gradients: Mapping[str, Array]) -> bool:
        """Take one step; return whether it was an exchange of weights."""
        number = self.done + 1
        exchange = (
            self.rule == "rigl" and not self.frozen and number % self.delta_t == 0 and number < self.t_end * self.steps
        )
        if exchange:
            self.dense_gradients += 1
            for name, mask in self.masks.items():
                if self.counts[name] < mask.size:
                    self._exchange(name, gradients[name], number)
        else:
            dense = self.straight_through
            self.dense_gradients += dense
            for name, value in self.trained.items():
                self.optimizer.step(name, value, gradients[name] if dense else gradients[name] * self.masks[name])
            for name, value in self.others.items():
                self.optimizer.step(name, value, gradients[name])
            if dense:
                self._select()
        self.done += 1
        if not self.straight_through:
            self._cut()
        return exchange

    def _select(self) -> None:
        if self.rule == "dnw":
            for name, value in self.trained.items():
                self.masks[name] = largest(abs(value), self.counts[name])
            return
        free = [name for name in self.trained if name not in self.counts]
        budget = self.total - sum(self.counts.values())
        together = largest(np.concatenate([abs(self.trained[name]).ravel() for name in free]), budget)
        for name in self.counts:
            self.masks[name] = np.ones(self.trained[name].shape, dtype=bool)
        for name in free:
            size = self.trained[name].size
            self.masks[name], together = together[:size].reshape(self.trained[name].shape), together[size:]

    def _exchange(self, name: str, gradient: Array, number: int) -> None:
        mask, weight = self.masks[name], self.trained[name]
        share = self.alpha / 2 * (1 + math.cos(math.pi * number / (self.t_end * self.steps)))
        k = int(self.counts[name] * share)
        active = np.flatnonzero(mask)
        order = active[np.argsort(-abs(weight.ravel()[active]), kind="stable")]
        kept = np.zeros(mask.size, dtype=bool)
        kept[order[: self.counts[name] - k]] = True
        free = np.flatnonzero(~kept)
        grown = free[np.argsort(-abs(gradient.ravel()[free]), kind="stable")[:k]]
        kept[grown] = True
        new = kept.reshape(mask.shape)
        # What was active stays as it was, regrown or not; the rest starts at nothing.
        for values in (weight, *self.optimizer.state.get(name, {}).values()):
            values[~(mask & new)] = 0
        self.masks[name] = new

    def _cut(self) -> None:
        for name, mask in self.masks.items():
            for values in (self.trained[name], *self.optimizer.state.get(name, {}).values()):
                values[~mask] = 0


def two_layers(parameters: Mapping[str, Array], inputs: Array, targets: Array) -> tuple[float, Arrays]:
    """Return the mean squared error of a two-layer ReLU network and its gradients, by hand.

    The parameters are ``0.weight``, ``0.bias``, ``2.weight`` and ``2.bias``, as in a torch Sequential.
    """
    before = inputs @ parameters["0.weight"].T + parameters["0.bias"]
    hidden = np.maximum(before, 0)
    error = hidden @ parameters["2.weight"].T + parameters["2.bias"] - targets
    out = 2 * error / error.size
    back = (out @ parameters["2.weight"]) * (before > 0)
    gradients = {
        "2.weight": out.T @ hidden,
        "2.bias": out.sum(axis=0),
        "0.weight": back.T @ inputs,
        "0.bias": back.sum(axis=0),
    }
    return float((error**2).mean()), gradients
