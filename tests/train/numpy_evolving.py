"""SET, SNFS, gradual pruning and edge-popup written a second time, in NumPy only and from the rules alone."""

import math
from fractions import Fraction

import numpy as np
from numpy_training import largest


class Evolving:
    """Training under masks that change, one step at a time.

    Parameters
    ----------
    optimizer
        Of `numpy_training`.
    weights, others
        Parameters with and without a mask.
    masks
        The masks to start from.
    """

    def __init__(self, optimizer, weights, others, masks, steps, per_epoch):
        self.optimizer, self.steps, self.per_epoch = optimizer, steps, per_epoch
        self.weights = {name: value.copy() for name, value in weights.items()}
        self.others = {name: value.copy() for name, value in others.items()}
        self.masks = {name: mask.copy() for name, mask in masks.items()}
        self.done, self.dense_gradients = 0, 0
        self.begin()

    def begin(self):
        self.cut()

    @property
    def slots(self):
        return self.optimizer.state

    def effective(self):
        return self.weights

    def step(self, gradients):
        self.done += 1
        for name, value in self.weights.items():
            self.optimizer.step(name, value, self.seen(name, gradients[name]))
        for name, value in self.others.items():
            self.optimizer.step(name, value, gradients[name])
        self.change()
        self.cut()

    def seen(self, name, gradient):
        return gradient * self.masks[name]

    def cut(self):
        for name, mask in self.masks.items():
            for values in (self.weights[name], *self.slots.get(name, {}).values()):
                values[~mask] = 0

    def kept(self, name, drop):
        """Return the mask after dropping the smallest active weights."""
        mask = self.masks[name].ravel()
        active = np.flatnonzero(mask)
        order = active[np.argsort(-abs(self.weights[name].ravel()[active]), kind="stable")]
        kept = np.zeros(mask.size, dtype=bool)
        kept[order[: len(active) - drop]] = True
        return kept

    def grown(self, kept, scores, count):
        free = np.flatnonzero(~kept)
        kept[free[np.argsort(-scores.ravel()[free], kind="stable")[:count]]] = True
        return kept


class NumpySET(Evolving):
    """`lots(step, index)` gives the random numbers of a layer: the lots of whatever is compared with."""

    def __init__(self, *args, zeta, every, lots):
        self.zeta, self.every, self.lots = zeta, every, lots
        super().__init__(*args)

    def change(self):
        if self.done % self.every or self.done == self.steps:
            return
        for index, (name, mask) in enumerate(self.masks.items()):
            if mask.all():
                continue
            k = int(self.zeta * mask.sum())
            new = self.grown(self.kept(name, k), self.lots(self.done, index), k).reshape(mask.shape)
            for values in (self.weights[name], *self.slots.get(name, {}).values()):
                values[~(mask & new)] = 0
            self.masks[name] = new


class NumpySNFS(Evolving):
    """The state of inactive weights is kept up; only weights are cut."""

    def __init__(self, *args, rate=0.5, end=0.005, share=True):
        self.rate, self.end, self.share = rate, end, share
        super().__init__(*args)

    def seen(self, name, gradient):
        self.dense_gradients += name == next(iter(self.weights))
        return gradient

    def cut(self):
        for name, mask in self.masks.items():
            self.weights[name][~mask] = 0

    def momentum(self, name):
        slots = self.slots[name]
        if "momentum_buffer" in slots:
            return slots["momentum_buffer"]
        return slots["exp_avg"] / (np.sqrt(slots["exp_avg_sq"]) + 1e-8)

    def change(self):
        if self.done % self.per_epoch or self.done == self.steps:
            return
        rate = self.end + (self.rate - self.end) * (1 + math.cos(math.pi * self.done / self.steps)) / 2
        names = [name for name, mask in self.masks.items() if not mask.all()]
        drops = {name: math.ceil(rate * self.masks[name].sum()) for name in names}
        grows = dict(drops)
        if self.share:
            worth = {name: abs(self.momentum(name))[self.masks[name]].mean() for name in names}
            free = {name: self.masks[name].size - self.masks[name].sum() + drops[name] for name in names}
            grows = shared(sum(drops.values()), worth, free)
        for name in names:
            mask = self.masks[name]
            new = self.grown(self.kept(name, drops[name]), abs(self.momentum(name)), grows[name]).reshape(mask.shape)
            self.weights[name][~(mask & new)] = 0
            self.masks[name] = new


def shared(total, worth, free):
    """Share new weights out: in proportion, at most .99 of the free places, what is beyond evenly over all layers."""
    names = list(worth)
    cap = np.array([0.99 * free[name] for name in names])
    value = np.array([worth[name] for name in names], dtype=np.float64)
    share = total * value / value.sum()
    while (share - cap).clip(0).sum() > 1e-9:
        share = np.minimum(share, cap) + (share - cap).clip(0).sum() / len(names)
    share = np.minimum(share, cap)
    count = np.floor(share + 1e-9).astype(int)
    for place in np.argsort(-(share - count), kind="stable"):
        if count.sum() < total and count[place] + 1 <= cap[place]:
            count[place] += 1
    return dict(zip(names, count.tolist(), strict=True))


class NumpyGMP(Evolving):
    """Every `delta_t` steps and at the end of pruning; `counts` per layer, or one `total` for all of `free`."""

    def __init__(self, *args, delta_t, counts, start=0.0, end=0.75, total=None):
        self.delta_t, self.counts, self.total = delta_t, counts, total
        steps = args[4]
        self.first = int(start * steps)
        self.last = max(self.first + 1, int(end * steps))
        self.pruned = False
        super().__init__(*args)

    def left(self, size, target):
        progress = Fraction(self.done - self.first, self.last - self.first)
        return size - math.floor((size - target) * (1 - (1 - progress) ** 3))

    def change(self):
        self.dense_gradients += not self.pruned
        if not self.first < self.done <= self.last or (self.done % self.delta_t and self.done != self.last):
            return
        self.pruned = True
        if self.total is None:
            for name, mask in self.masks.items():
                drop = mask.sum() - self.left(mask.size, self.counts[name])
                self.masks[name] = self.kept(name, drop).reshape(mask.shape)
            return
        free = [name for name in self.masks if name not in self.counts]
        scores = np.concatenate([np.where(self.masks[n], abs(self.weights[n]), -1.0).ravel() for n in free])
        size = sum(self.masks[name].size for name in free)
        together = largest(scores, self.left(size, self.total - sum(self.counts.values())))
        for name in free:
            part, together = together[: self.masks[name].size], together[self.masks[name].size :]
            self.masks[name] = part.reshape(self.masks[name].shape)


class NumpyEdgePopup(Evolving):
    """Weights stay; scores train with g w sign(s)."""

    def __init__(self, *args, scores, counts):
        self.scores, self.counts = {name: value.copy() for name, value in scores.items()}, counts
        super().__init__(*args)

    def begin(self):
        self.change()

    def effective(self):
        return {name: value * self.masks[name] for name, value in self.weights.items()}

    def step(self, gradients):
        self.done += 1
        self.dense_gradients += 1
        for name, score in self.scores.items():
            self.optimizer.step(name, score, gradients[name] * self.weights[name] * np.sign(score))
        self.change()

    def change(self):
        for name, score in self.scores.items():
            self.masks[name] = largest(abs(score), self.counts[name])
