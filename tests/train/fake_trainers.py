"""As much of Lightning's trainer as its callbacks see, in the order in which it calls them."""

import importlib
import math
import sys
import types

import torch
from torch import nn


def install(monkeypatch, package, **attributes):
    """Put a module with a bare class in the place of a package, and load our callbacks anew."""
    parts = package.split(".")
    for length in range(1, len(parts) + 1):
        module = types.ModuleType(".".join(parts[:length]))
        module.__path__ = []
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, value in attributes.items():
        setattr(sys.modules[package], name, value)


def load(monkeypatch, name):
    """Import one of our callback modules anew; nobody else shall find what may be made of a fake."""
    module = f"masktools_train.integrations.{name}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    loaded = importlib.import_module(module)
    del sys.modules[module]
    delattr(sys.modules["masktools_train.integrations"], name)
    return loaded


def batches(count=6):
    random = torch.Generator().manual_seed(0)
    return [
        (torch.randn(8, 8, generator=random), torch.randint(3, (8,), generator=random)) for _ in range(count)
    ]  # fmt: skip


class FakeTrainer:
    """Calls hooks as Lightning does: the closure of a step ends with the hook before it, and clipping."""

    def __init__(self, callbacks, max_epochs, *, rank=0, accumulate=1, clip=None, endless=False):
        self.callbacks, self.max_epochs = callbacks, max_epochs
        self.is_global_zero, self.accumulate_grad_batches, self.gradient_clip_val = rank == 0, accumulate, clip
        self.current_epoch = self.global_step = 0
        self.callback_metrics, self.optimizers, self.num_training_batches = {}, [], 0
        self._endless = endless
        self.norms = []

    @property
    def estimated_stepping_batches(self):
        steps = math.ceil(self.num_training_batches / self.accumulate_grad_batches)
        return math.inf if self._endless else self.max_epochs * steps

    def _call(self, hook, *args):
        for callback in self.callbacks:
            if hasattr(callback, hook):
                getattr(callback, hook)(self, *args)

    def fit(self, module, data, optimizer, epoch=0):
        self.optimizers, self.num_training_batches, self.current_epoch = [optimizer], len(data), epoch
        self._call("on_train_start", module)
        while self.current_epoch < self.max_epochs:
            for number, (inputs, targets) in enumerate(data, start=1):
                self._step(module, optimizer, inputs, targets, number)
            self.callback_metrics = {"loss": torch.tensor(1.0), "epoch": torch.tensor(0.0)}
            self._call("on_train_epoch_end", module)
            self.current_epoch += 1
        self._call("on_train_end", module)

    def _step(self, module, optimizer, inputs, targets, number):
        last = number % self.accumulate_grad_batches == 0 or number == self.num_training_batches
        first = number % self.accumulate_grad_batches == 1 % self.accumulate_grad_batches

        def closure():
            if first:
                optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(inputs), targets) / self.accumulate_grad_batches
            loss.backward()
            if last:
                self._call("on_before_optimizer_step", module, optimizer)
                if self.gradient_clip_val:
                    norm = nn.utils.clip_grad_norm_(module.parameters(), self.gradient_clip_val)
                    self.norms.append(float(norm))
            return loss.detach()

        if last:
            optimizer.step(closure=closure)
            self.global_step += 1
        else:
            closure()
