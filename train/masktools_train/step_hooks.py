"""What is done around an optimizer's step, however that is called: plainly, with a closure, by a gradient scaler."""

import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.optim import LBFGS, Optimizer

from masktools.errors import RecipeError
from masktools_train.execution.memory import version

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

__all__ = ["StepHooks", "innermost"]

Action = Callable[[Optimizer], None]


class StepHooks:
    """Hooks on an optimizer that act between the gradients and the step, and after it.

    An optimizer that is given a closure evaluates it first thing in its step, so that what needs gradients has to wait
    for it: the closure is wrapped, and `begin` called when it returns. A fused optimizer under a `GradScaler` is called
    even if the gradients are not finite, and leaves everything as it is: nothing is called then, and the gradients are
    dropped. An optimizer whose step calls that of the class it is made from takes one step, though torch calls its
    hooks for both.

    Parameters
    ----------
    optimizer
        Any that evaluates a closure once in a step, with the weights as they are.
    begin
        Called when the gradients are in place, before the optimizer does anything.
    end
        Called after the step.
    abandon
        Called in place of `end` after an error: it undoes what `begin` did.
    settle
        Called before the optimizer's state is read by others.

    Raises
    ------
    RecipeError
        If the optimizer evaluates the closure several times in a step, or is none of torch's kind.
    """

    def __init__(self, optimizer: Optimizer, begin: Action, end: Action, abandon: Action, settle: Action) -> None:
        name = type(optimizer).__name__
        if isinstance(optimizer, LBFGS):
            raise RecipeError(f"optimizer {name} evaluates the model several times in a step, which cannot be sparse")
        # What is made without the constructor of torch's class never calls a hook.
        if not isinstance(optimizer, Optimizer) or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
            raise RecipeError(f"optimizer {name} is no torch.optim.Optimizer, whose steps can be followed")
        self._begin, self._end, self._abandon = begin, end, abandon
        self._stage: Literal["waiting", "begun", "skipped"] = "waiting"
        self._outermost: FrameType | None = None
        self._handles: list[RemovableHandle] = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
            optimizer.register_state_dict_pre_hook(settle),
        ]

    def remove(self) -> None:
        """Act no more."""
        while self._handles:
            self._handles.pop().remove()

    def _before(
        self, optimizer: Optimizer, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        caller = sys._getframe(1)  # noqa: SLF001
        # After an error in a step its frame is known still, but is on the stack no more.
        if self._outermost is not None and _is_within(self._outermost, caller):
            return None
        self._outermost, self._stage = caller, "waiting"
        # The optimizer itself comes first.
        if len(args) > 1 and callable(args[1]):
            return (args[0], self._wrapped(optimizer, args[1]), *args[2:]), dict(kwargs)
        if callable(kwargs.get("closure")):
            return tuple(args), {**kwargs, "closure": self._wrapped(optimizer, kwargs["closure"])}
        self._start(optimizer)
        return None

    def _wrapped(self, optimizer: Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        versions = _versions(optimizer)

        def evaluated() -> Any:
            if self._stage == "begun":
                self._abandon(optimizer)
                raise RecipeError(
                    f"optimizer {type(optimizer).__name__} evaluates the closure more than once in a step, "
                    "which cannot be sparse"
                )
            if versions != _versions(optimizer):
                raise RecipeError(
                    f"optimizer {type(optimizer).__name__} changes weights before it evaluates the closure, "
                    "which cannot be sparse"
                )
            loss = closure()
            self._start(optimizer)
            return loss

        return evaluated

    def _start(self, optimizer: Optimizer) -> None:
        # Only a fused optimizer under a scaler has this, and the scaler would wait for the device in its place.
        infinite = getattr(optimizer, "found_inf", None)
        if infinite is not None and bool(infinite):
            self._stage = "skipped"
            # The kernel would change nothing, but wants the state of all that has a gradient, as no rule prepared it.
            optimizer.zero_grad(set_to_none=True)
            return
        self._stage = "begun"
        with torch.no_grad():
            self._begin(optimizer)

    def _after(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        del args, kwargs
        if self._outermost is not sys._getframe(1):  # noqa: SLF001
            return
        self._outermost = None
        if self._stage == "waiting":
            raise RecipeError(
                f"optimizer {type(optimizer).__name__} does not evaluate its closure: call backward, then step()"
            )
        if self._stage == "begun":
            with torch.no_grad():
                self._end(optimizer)
        self._stage = "waiting"


def _versions(optimizer: Optimizer) -> list[int]:
    """Return how often each parameter was changed in place."""
    return [version(parameter) for group in optimizer.param_groups for parameter in group["params"]]


def _is_within(outer: FrameType, frame: FrameType | None) -> bool:
    """Whether a frame was called, however indirectly, by another one."""
    while frame is not None and frame is not outer:
        frame = frame.f_back
    return frame is outer


def innermost(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer that takes the steps, inside what others wrap around it (accelerate, Lightning)."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer
