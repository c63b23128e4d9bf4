"""The modes that see every function while a model runs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from masktools_train.recording.calls import Call, flat, full_name, label_of
from masktools_train.recording.errors import TraceError, UnfollowedError
from masktools_train.recording.movement import moved_parameter
from masktools_train.recording.recording import Product, Recording, Traced
from masktools_train.recording.registry import CONSTANTS, FUNCTIONS, SCORES, Made

__all__ = ["CompiledCodeGuard", "OperatorRecorder"]

_ANSWERS = (bool, int, float, str, tuple, torch.dtype, torch.device, torch.layout)
"""What functions return that ask about a tensor: its shape, its type; no other value can carry on its values."""

_CARRIERS = frozenset("item float int index complex local_scalar_dense".split())
"""Functions that return a number of a tensor: it could be put into another one, unseen."""


class OperatorRecorder(TorchFunctionMode):
    """Sees every torch function that is called and notes what it does to tensors made from the input.

    Parameters
    ----------
    recording
        What is known so far.

    Attributes
    ----------
    busy
        Whether a function is running already: what it calls in turn is part of it.
    unseen
        An operation that reached such a tensor in another way, if one did.
    """

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.busy = False
        self.unseen: str | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.busy:
            return func(*args, **kwargs)
        given = flat((args, kwargs))
        tracked = [value for value in given if self.recording.traced(value) is not None]
        parameters = [value for value in given if self.recording.parameter(value) is not None] if not tracked else []
        if not tracked and not parameters:
            return func(*args, **kwargs)
        self.busy = True
        try:
            if not tracked:
                result = func(*args, **kwargs)
                self._follow_parameter(Call(func, label_of(func) or "", args, kwargs, result), parameters[0])
                return result
            return self._call(func, tracked, given, args, kwargs)
        except UnfollowedError as refusal:
            shapes = [tuple(value.shape) for value in tracked]
            raise TraceError(f"operation {full_name(func)} on {shapes}: {refusal}") from refusal
        finally:
            self.busy = False

    def _call(
        self,
        func: Callable[..., Any],
        tracked: Sequence[Tensor],
        given: Sequence[Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        self.recording.check_unchanged(tracked)
        label = label_of(func)
        result = func(*args, **kwargs)
        if label == "iter":
            result = list(result)
        made = [value for value in flat(result) if isinstance(value, Tensor)]
        if not made:
            is_answer = isinstance(result, _ANSWERS) and label not in _CARRIERS
            if not is_answer and (result is not None or getattr(func, "__name__", "") != "__get__"):
                raise UnfollowedError("where the values that it takes end up is not known")
            return result
        if kwargs.get("out") is not None or any(self._is_foreign(value, given) for value in made):
            raise UnfollowedError("writes into a tensor that is not made from the input")
        if label in CONSTANTS and len(tracked) == 1 and tracked[0] is given[0] and tracked[0] is not result:
            return result
        known = [self.recording.traced(value) for value in tracked]
        scores = [traced for traced in known if traced is not None and isinstance(traced.source, Product)]
        table = SCORES if scores else FUNCTIONS
        if label is None or label not in table:
            if scores:
                self.recording.source(scores[0])
            raise UnfollowedError(
                "its effect on connectivity is not known; to teach it to masktools, add a function for it to "
                "masktools_train/recording and its name to registry.py there"
            )
        self._note(result, self._followed(table[label], Call(func, label, args, kwargs, result)))
        return iter(result) if label == "iter" else result

    def _followed(self, follow: Callable[[Recording, Call], Made], call: Call) -> Made:
        try:
            return follow(self.recording, call)
        except UnfollowedError:
            raise
        except Exception as error:  # arguments that nobody thought of must not end a training
            raise UnfollowedError(f"is called in a way that is not known ({type(error).__name__}: {error})") from error

    def _note(self, result: Any, made: Made) -> None:
        """Note what a function made; tensors of which nothing is said are no function of the input."""
        results = [result] if isinstance(result, Tensor) else list(result)
        for tensor, traced in zip(results, [made] if made is None or isinstance(made, Traced) else made, strict=True):
            if isinstance(tensor, Tensor) and traced is not None:
                self.recording.note(tensor, traced)

    def _follow_parameter(self, call: Call, source: Tensor) -> None:
        """Remember what is made of parameters: constants go by their names."""
        results = list(call.result) if isinstance(call.result, tuple | list) else [call.result]
        if all(isinstance(result, Tensor) for result in results):
            made = moved_parameter(self.recording, call, source)
            for result, parameter in zip(results, made, strict=True):
                self.recording.note_parameter(result, parameter)

    def _is_foreign(self, result: Tensor, given: Sequence[object]) -> bool:
        """Whether a function returned a tensor that it was given and that is not made from the input."""
        return self.recording.traced(result) is None and any(value is result for value in given)


class CompiledCodeGuard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees what is computed beneath torch's functions: compiled code must not pass unrecorded.

    It only takes note, in `OperatorRecorder.unseen`: an error would not survive the way through compiled code.
    """

    def __init__(self, recorder: OperatorRecorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        recorder = self._recorder
        if recorder.busy:
            return func(*args, **kwargs)
        if any(recorder.recording.traced(value) is not None for value in flat((args, kwargs))):
            recorder.unseen = recorder.unseen or str(func)
        recorder.busy = True
        try:
            return func(*args, **kwargs)
        finally:
            recorder.busy = False
