"""The training loop: levels of epochs of steps, every step issued without waiting for the device."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from masktools.errors import RecipeError, RunError, TrainingError
from masktools_train.assembly import assemble
from masktools_train.computation import deterministic, training_mode
from masktools_train.data import Data
from masktools_train.distributed import Agreement, Processes
from masktools_train.evaluation import evaluate
from masktools_train.flop_account import FlopAccount
from masktools_train.initialization import Start
from masktools_train.optimizers import build_optimizer
from masktools_train.own_code import telling_own_failures
from masktools_train.progress import EpochRecord, Observer
from masktools_train.recipe import Recipe
from masktools_train.schedules import learning_rate
from masktools_train.seeding import derive, reseed
from masktools_train.settling import Settling
from masktools_train.stepping import EpochSums, Stepper

__all__ = ["Trainer"]

_REPORT_STEPS = 20


class Trainer:
    """Trains the network of a recipe.

    Parameters
    ----------
    recipe
        What to train.
    device
        Where.
    observer
        Who watches.
    start
        Where to start, for re-evaluations: given, or made when it is needed.
    data
        The recipe's data, on the device, where it is at hand already; None loads it.
    processes
        Who trains together, each on its share of every batch.

    Attributes
    ----------
    topology
        The operator graph, or None if the model cannot be traced.
    flops
        What a forward pass takes, and training so far.

    Raises
    ------
    RecipeError
        If data, model and options do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        observer: Observer,
        start: Start | Callable[[], Start] | None = None,
        data: Data | None = None,
        processes: Processes | None = None,
    ) -> None:
        processes = processes or Processes()
        start = (start() if callable(start) else start) or Start()
        self.recipe, self.device, self._observer = recipe, device, observer
        # Scores of first masks too are calculated in the way that training is.
        with telling_own_failures(recipe.model.name, recipe.data.name), deterministic(recipe.computation.deterministic):
            parts = assemble(recipe, device, observer, start, data, processes)
        self.data, self._batches = parts.data, parts.batches
        self.steps_per_epoch = self._batches.steps_per_epoch
        self.total_steps = recipe.epochs * self.steps_per_epoch
        self.model, self.topology = parts.model, parts.topology
        self._computation, self._optimizer = parts.computation, parts.optimizer
        self.sparsifier, self._levels = parts.sparsifier, parts.levels
        self._stepper = Stepper(self._computation, recipe.label_smoothing, processes, device)
        self._processes, self._agreement = processes, Agreement(processes, self.sparsifier)
        self.flops = FlopAccount(parts.cost, self.sparsifier)
        self._settling = Settling(recipe.algorithm.freeze_when, self.sparsifier)
        self._first_step, self._first_level = start.epoch * self.steps_per_epoch, start.level
        self.epoch, self.steps = 0, 0
        self.records: list[EpochRecord] = []

    # -- levels and epochs --------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """Number of finished prunings of an iterated method, else 0."""
        return self._levels.number

    @property
    def planned_steps(self) -> int:
        """Number of steps over all levels."""
        return self._levels.steps(self._first_step)

    @property
    def planned_epochs(self) -> int:
        """Number of epochs over all levels; one that is entered in its middle counts."""
        return self._levels.epochs(self._first_step)

    def run(self, each_epoch: Callable[["Trainer"], None]) -> None:
        """Train from where things stand to the end.

        Parameters
        ----------
        each_epoch
            Called after every epoch, and at the start of a run for epoch 0, with the record appended.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        RecipeError
            If code of the user's fails.
        """
        recipe = self.recipe
        with (
            telling_own_failures(recipe.model.name, recipe.data.name),
            training_mode(self._computation, self.device),
            deterministic(recipe.computation.deterministic),
        ):
            self._observer.started(f"{recipe.name} seed {recipe.seed}", self.planned_steps, self.planned_epochs)
            self._observer.stepped(self.steps)
            if not self.records:
                self._finish_epoch(each_epoch, time.perf_counter(), None)
            self._levels.remember(self.model, self.sparsifier.step)
            while True:
                while self.sparsifier.step < self.total_steps:
                    begun = time.perf_counter()
                    sums = self._train_epoch()
                    self.epoch += 1
                    self._finish_epoch(each_epoch, begun, sums)
                if self._levels.last:
                    return
                self._next_level()

    def _next_level(self) -> None:
        """Prune, and rewind weights, schedule, data order and optimizer."""
        self._levels.begin_next(self.model, self.sparsifier)
        self._optimizer = build_optimizer(self.recipe.optimizer, self.model, self.recipe.computation.fused)
        self.sparsifier.attach(self._optimizer, self._levels.rewind_step)

    def _train_epoch(self) -> EpochSums:
        """Train to the end of the current epoch."""
        number, offset = divmod(self.sparsifier.step, self.steps_per_epoch)
        # For random numbers that a model draws itself (dropout): a stream for each epoch, as for all others. Processes
        # draw their own, since they see other examples.
        level = self._first_level + self.level
        reseed(derive(self.recipe.seed, "model", level, number, *self._processes.stream), [self.device])
        unreported = 0
        self.flops.begin()

        def after() -> None:
            nonlocal unreported
            self._levels.remember(self.model, self.sparsifier.step)
            self._agreement.follow()
            self.flops.step(self._batches.whole((self.sparsifier.step - 1) % self.steps_per_epoch))
            self.steps += 1
            unreported += 1
            if unreported == _REPORT_STEPS:
                self._observer.stepped(unreported)
                unreported = 0

        try:
            sums = self._stepper.run(
                self._optimizer,
                self._batches.epoch(number, offset),
                lambda index: self._batches.whole(offset + index),
                self._set_learning_rate,
                after,
            )
        except ValueError as error:
            if "more than 1 value per channel" in str(error):
                raise RecipeError(
                    f"batch_size {self.recipe.batch_size} leaves a last batch of one example, which batch norm cannot "
                    "take; choose another batch size"
                ) from error
            raise
        self._observer.stepped(unreported)
        return sums

    def _set_learning_rate(self) -> None:
        lr = learning_rate(self.recipe, self.sparsifier.step, self.steps_per_epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = lr

    def _finish_epoch(self, each_epoch: Callable[["Trainer"], None], begun: float, sums: EpochSums | None) -> None:
        train_loss = train_accuracy = lr = None
        self._settling.look(self.epoch)
        self._processes.take_first(self.model.buffers())
        score = evaluate(self._computation, self.data, processes=self._processes)
        self._agreement.require()
        if sums is not None:
            train_loss, train_accuracy = sums.means()
            lr = self._optimizer.param_groups[0]["lr"]
        # The last step of an epoch shows in the test loss only.
        if not math.isfinite(score.loss) or (train_loss is not None and not math.isfinite(train_loss)):
            how = "" if lr is None else f": training diverged (base learning rate {self.recipe.optimizer.lr:g})"
            raise TrainingError(f"loss is not finite in epoch {self.epoch}{how}")
        record = EpochRecord(
            epoch=self.epoch,
            step=self.steps,
            level=self.level,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            test_loss=score.loss,
            test_accuracy=score.accuracy,
            active=self.sparsifier.active,
            density=self.sparsifier.active / self.sparsifier.size,
            lr=lr,
            dense_gradient_steps=self.sparsifier.dense_gradient_steps,
            seconds=round(time.perf_counter() - begun, 4),
            settled_kappa=self._settling.kappa,
            frozen_epoch=self._settling.frozen_epoch,
            **self.flops.figures(),
        )
        self.records.append(record)
        news = self.sparsifier.execution.news()
        if news is not None:
            self._observer.noted(news)
        each_epoch(self)
        self._observer.epoch_done(record)

    # -- stopping and going on ----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that changes, for `load_state_dict`; random numbers depend on the seed alone."""
        return {
            "level": self.level,
            "epoch": self.epoch,
            "steps": self.steps,
            "records": [record.to_dict() for record in self.records],
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "sparsifier": self.sparsifier.state_dict(),
            "flops": self.flops.state_dict(),
            "rewind": self._levels.rewind_point,
            "early": self._settling.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any], source: str = "the saved state") -> None:
        """Take up what `state_dict` returned for the same recipe.

        Parameters
        ----------
        state
            As it was saved.
        source
            What the error calls it.

        Raises
        ------
        RunError
            If it does not fit, for example because the code of the model has changed since.
        """
        try:
            self._take_up(state)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise RunError(
                f"{source}: does not fit what is trained now, perhaps because code has changed: "
                f"{type(error).__name__}: {reason}"
            ) from error

    def _take_up(self, state: Mapping[str, Any]) -> None:
        self.epoch, self.steps = state["epoch"], state["steps"]
        self.records = [EpochRecord(**record) for record in state["records"]]
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.sparsifier.load_state_dict(state["sparsifier"])
        self.flops.load_state_dict(state.get("flops"))
        self._settling.load_state_dict(state.get("early"), self.records[-1].frozen_epoch, self.device)
        self._levels.go_on(state["level"], state["rewind"], self.device)
