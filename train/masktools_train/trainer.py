"""The training loop: levels of epochs of steps, every step issued without waiting for the device."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from masktools.errors import RecipeError, TrainingError
from masktools.topology.graph import Topology
from masktools_train.algorithms import REGISTRY
from masktools_train.computation import Computation, deterministic
from masktools_train.data import Data, load_data
from masktools_train.data.source import TrainingBatches, first_inputs
from masktools_train.distributed import Agreement, Processes
from masktools_train.early_structure import EarlyStructure
from masktools_train.evaluation import evaluate
from masktools_train.flop_account import FlopAccount
from masktools_train.flops import forward_cost_where_known
from masktools_train.initialization import Start, initial_model, load_into
from masktools_train.optimizers import build_optimizer
from masktools_train.progress import EpochRecord, Observer
from masktools_train.recipe import Recipe
from masktools_train.schedules import learning_rate_factor
from masktools_train.seeding import derive
from masktools_train.sparsifier import Sparsifier
from masktools_train.stepping import EpochSums, Stepper
from masktools_train.tracing import TraceError, trace

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
        if processes.world > 1 and recipe.execution != "masked":
            raise RecipeError(f"execution {recipe.execution!r} is for one process; several compute masked")
        self.data = load_data(recipe.data.name, recipe.data.options).to(device) if data is None else data
        self._batches = self._training_batches(processes)
        self.steps_per_epoch = self._batches.steps_per_epoch
        self.total_steps = recipe.epochs * self.steps_per_epoch
        self.model = initial_model(recipe, self.data.input_shape, self.data.classes)
        if start.state is not None:
            load_into(self.model, start.state)
        self.model.to(device)
        example = first_inputs(self.data, 1).expand(2, *self.data.input_shape)
        self.topology = self._trace(example)
        cost = forward_cost_where_known(self.model, example, observer.warned)
        self._computation = Computation(self.model, recipe.computation, device, processes)
        self._stepper = Stepper(self._computation, recipe.label_smoothing, processes, device)
        self._optimizer = self._new_optimizer()
        spec = recipe.algorithm
        self._algorithm = REGISTRY[spec.name].model_validate(spec.options)
        self.sparsifier = Sparsifier(
            self.model,
            self._optimizer,
            self._algorithm,
            density=spec.density,
            total_steps=self.total_steps,
            distribution=spec.distribution,
            seed=recipe.seed,
            dense_layers=spec.dense_layers,
            layer_densities=spec.layer_densities,
            freeze_step=None if spec.freeze_epoch is None else spec.freeze_epoch * self.steps_per_epoch,
            masks=start.masks,
            steps_per_epoch=self.steps_per_epoch,
            # Whole batches: what an algorithm sees first must not depend on the number of processes.
            batches=self._training_batches(Processes()).epoch(0),
            execution=recipe.execution,
        )
        self._processes, self._agreement = processes, Agreement(processes, self.sparsifier)
        self.flops = FlopAccount(cost, self.sparsifier)
        self._early = None if spec.freeze_when is None else EarlyStructure(spec.freeze_when)
        self._frozen_epoch: int | None = None
        # Layers that stay dense are no part of what is pruned by a share.
        dense = sum(layer.size for layer in self.sparsifier.layers if not layer.prunable)
        free = self._algorithm.level_counts(self.sparsifier.size - dense, self.sparsifier.target - dense)
        self._counts = [dense + count for count in free]
        self._rewind_step = self._algorithm.rewind_step(self.steps_per_epoch)
        if self._rewind_step >= self.total_steps:
            raise RecipeError(
                f"rewind to step {self._rewind_step} is not before the end of training, {self.total_steps}"
            )
        if start.epoch >= recipe.epochs:
            raise RecipeError(f"start after epoch {start.epoch} is not before the end of training, {recipe.epochs}")
        self._first_step, self._first_level = start.epoch * self.steps_per_epoch, start.level
        if start.epoch:
            self.sparsifier.attach(self._optimizer, self._first_step)
        self._rewind_state: dict[str, Tensor] | None = None
        self.level, self.epoch, self.steps = 0, 0, 0
        self.records: list[EpochRecord] = []

    def _training_batches(self, processes: Processes) -> TrainingBatches:
        recipe = self.recipe
        return self.data.training(
            recipe.batch_size, recipe.seed, recipe.data.augment, recipe.data.shift, processes=processes
        )

    def _new_optimizer(self) -> Optimizer:
        return build_optimizer(self.recipe.optimizer, self.model, self.recipe.computation.fused)

    def _trace(self, example: Tensor) -> Topology | None:
        """Record the operator graph; a model that cannot be traced is trained all the same, and said so."""
        try:
            return trace(self.model, example)
        except TraceError as error:
            self._observer.warned(f"operator graph not recorded, connectivity will not be known: {error}")
            return None

    # -- levels and epochs --------------------------------------------------------------------------------

    @property
    def planned_steps(self) -> int:
        """Number of steps over all levels."""
        again = (len(self._counts) - 1) * (self.total_steps - self._rewind_step)
        return self.total_steps - self._first_step + again

    @property
    def planned_epochs(self) -> int:
        """Number of epochs over all levels; one that is entered in its middle counts."""
        first, later = (
            self.recipe.epochs - step // self.steps_per_epoch for step in (self._first_step, self._rewind_step)
        )
        return first + (len(self._counts) - 1) * later

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
        """
        with _training_mode(self._computation, self.device), deterministic(self.recipe.computation.deterministic):
            self._observer.started(
                f"{self.recipe.name} seed {self.recipe.seed}", self.planned_steps, self.planned_epochs
            )
            self._observer.stepped(self.steps)
            if not self.records:
                self._finish_epoch(each_epoch, time.perf_counter(), None)
            self._remember_rewind_point()
            while True:
                while self.sparsifier.step < self.total_steps:
                    begun = time.perf_counter()
                    sums = self._train_epoch()
                    self.epoch += 1
                    self._finish_epoch(each_epoch, begun, sums)
                if self.level + 1 == len(self._counts):
                    return
                self._next_level()

    def _next_level(self) -> None:
        """Prune, and rewind weights, schedule, data order and optimizer."""
        self.level += 1
        self.sparsifier.keep_largest_globally(self._counts[self.level])
        assert self._rewind_state is not None  # noqa: S101  (set before the first level could end)
        self.model.load_state_dict(self._rewind_state)
        self._optimizer = self._new_optimizer()
        self.sparsifier.attach(self._optimizer, self._rewind_step)

    def _remember_rewind_point(self) -> None:
        due = self.level == 0 and len(self._counts) > 1 and self.sparsifier.step == self._rewind_step
        if due and self._rewind_state is None:
            self._rewind_state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _train_epoch(self) -> EpochSums:
        """Train to the end of the current epoch."""
        number, offset = divmod(self.sparsifier.step, self.steps_per_epoch)
        # For random numbers that a model draws itself (dropout): a stream for each epoch, as for all others. Processes
        # draw their own, since they see other examples.
        level = self._first_level + self.level
        torch.manual_seed(derive(self.recipe.seed, "model", level, number, *self._processes.stream))
        unreported = 0
        self.flops.begin()

        def after() -> None:
            nonlocal unreported
            self._remember_rewind_point()
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
        schedule, per_epoch = self.recipe.schedule, self.steps_per_epoch
        factor = learning_rate_factor(
            schedule.name,
            self.sparsifier.step,
            self.total_steps,
            round(schedule.warmup_epochs * per_epoch),
            [round(milestone * per_epoch) for milestone in schedule.milestones],
            schedule.gamma,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.optimizer.lr * factor

    def _finish_epoch(self, each_epoch: Callable[["Trainer"], None], begun: float, sums: EpochSums | None) -> None:
        train_loss = train_accuracy = lr = None
        settled = self._look_for_structure()
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
            settled_kappa=settled,
            frozen_epoch=self._frozen_epoch,
            **self.flops.figures(),
        )
        self.records.append(record)
        news = self.sparsifier.execution.news()
        if news is not None:
            self._observer.noted(news)
        each_epoch(self)
        self._observer.epoch_done(record)

    def _look_for_structure(self) -> float | None:
        """Freeze the mask where it has settled, or should be by now; return the kappa that is looked at."""
        if self._frozen_epoch is not None:
            return None
        kappa = None
        if self._early is not None and self.epoch > 0:
            if self._early.settled(self.sparsifier.masks()):
                self.sparsifier.freeze()
            kappa = self._early.kappa
        if self.sparsifier.freeze_step is not None and self.sparsifier.frozen:
            self._frozen_epoch = self.epoch
        return kappa

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
            "rewind": self._rewind_state,
            "early": None if self._early is None else self._early.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` returned for the same recipe."""
        self.level, self.epoch, self.steps = state["level"], state["epoch"], state["steps"]
        self.records = [EpochRecord(**record) for record in state["records"]]
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.sparsifier.load_state_dict(state["sparsifier"])
        self.flops.load_state_dict(state.get("flops"))
        self._frozen_epoch = self.records[-1].frozen_epoch
        if self._early is not None:
            self._early.load_state_dict(state["early"], self.device)
        rewind = state["rewind"]
        self._rewind_state = None if rewind is None else {k: v.to(self.device) for k, v in rewind.items()}


@contextlib.contextmanager
def _training_mode(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the model into training mode, flush subnormal numbers, and leave the caller's random state alone."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        # Decayed weights drift into subnormal numbers, which slow a CPU down by up to 40 %.
        torch.set_flush_denormal(True)
        model.train()
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
