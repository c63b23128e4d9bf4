"""What each torch function does to connectivity, seen while a model runs."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from masktools.errors import StructureError
from masktools.topology.graph import Node
from masktools_train.call_windows import argument, conv_window, pool_window

__all__ = ["CompiledCodeGuard", "OperatorRecorder", "TraceError"]


class TraceError(StructureError):
    """An operation whose effect on connectivity is not known."""


_UNIT_TO_UNIT = frozenset(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu selu celu gelu silu mish sigmoid tanh hardtanh hardswish "
    "hardsigmoid softplus dropout dropout_ feature_dropout alpha_dropout dropout2d batch_norm contiguous clone "
    "detach to float double half type identity neg abs clamp clamp_min".split()
)
"""Functions that act on every unit by itself."""

_ANSWERS = (bool, int, float, str, tuple, torch.dtype, torch.device, torch.layout)
"""What functions return that ask about a tensor: its shape, its type; no other value can carry on its values."""


class OperatorRecorder(TorchFunctionMode):
    """Sees every torch function that is called and notes what it does to tensors made from the input.

    Parameters
    ----------
    parameters
        The parameters of the model by name; of several names the first counts.
    example
        The input.

    Attributes
    ----------
    nodes
        The operators so far.
    busy
        Whether a function is running already: what it calls in turn is part of it.
    unseen
        An operation that reached such a tensor in another way, if one did.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], example: Tensor) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.busy = False
        self.unseen: str | None = None
        self._names: dict[int, str] = {}
        for name, parameter in parameters:
            self._names.setdefault(id(parameter), name)
        # Tensors are kept alive: an id is only theirs as long as they live. With the node that made them, and their
        # version then: a tensor changed since, through a view that shares its memory, is no longer what that node made.
        self._known: dict[int, tuple[Tensor, int, int]] = {}
        self._batch = example.shape[0]
        self.add("input", [], example)

    def node_of(self, value: object) -> int | None:
        """Return the number of the node that made a tensor, or None for anything else."""
        known = self._known.get(id(value))
        return None if known is None else known[1]

    def check_unchanged(self, label: str, values: Iterable[Tensor]) -> None:
        """Refuse tensors that were changed since they were made.

        Raises
        ------
        TraceError
            If there is one; the message names what was about to use it.
        """
        for value in values:
            if self._known[id(value)][2] != _version(value):
                raise TraceError(f"operation {label} uses a tensor that was changed in place through a view of it")

    def add(self, op: str, sources: Sequence[Tensor], result: Tensor, **fields: Any) -> Tensor:
        """Append a node for `result` and return `result`."""
        if result.ndim < 2 or result.shape[0] != self._batch or result.ndim not in (2, 4):
            raise TraceError(f"{op}: a result of shape {tuple(result.shape)} is not (batch, features) or an image")
        inputs = tuple(self._known[id(source)][1] for source in sources)
        self.nodes.append(Node(op, inputs, tuple(result.shape[1:]), **fields))
        self._note(result)
        return result

    def _note(self, result: Tensor) -> None:
        self._known[id(result)] = (result, len(self.nodes) - 1, _version(result))

    def name(self, parameter: object) -> str | None:
        """Return the name of a parameter, or None for anything else."""
        return self._names.get(id(parameter))

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = _flat((args, kwargs))
        tracked = [value for value in given if self.node_of(value) is not None]
        if self.busy or not tracked:
            return func(*args, **kwargs)
        label = getattr(func, "__name__", str(func))
        self.check_unchanged(label, tracked)
        self.busy = True
        try:
            result = func(*args, **kwargs)
            if isinstance(result, Tensor):
                if kwargs.get("out") is not None or self._is_foreign(result, given):
                    raise TraceError(
                        f"operation {_full_name(func)} writes into a tensor that is not made from the input"
                    )
                self._record(func, label.strip("_"), tracked, result, args, kwargs)
            elif any(isinstance(value, Tensor) for value in _flat(result)):
                raise TraceError(f"operation {_full_name(func)} returns several tensors; masktools does not know it")
            elif not isinstance(result, _ANSWERS) and (result is not None or label != "__get__"):
                raise TraceError(f"operation {_full_name(func)}: where the values that it takes end up is not known")
        finally:
            self.busy = False
        return result

    def _is_foreign(self, result: Tensor, given: Sequence[object]) -> bool:
        """Whether a function returned a tensor that it was given and that no node made."""
        return self.node_of(result) is None and any(value is result for value in given)

    def _record(
        self,
        func: Callable[..., Any],
        label: str,
        tracked: Sequence[Tensor],
        result: Tensor,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        source = tracked[0]
        if label in ("linear", "conv2d"):
            weight, bias = argument(args, kwargs, 1, "weight"), argument(args, kwargs, 2, "bias")
            name = self.name(weight)
            if name is None or len(tracked) != 1:
                raise TraceError(f"operation {label} uses a weight that is no parameter of the model")
            if label == "linear" and source.ndim != 2:
                raise TraceError(f"operation linear on {tuple(source.shape)} acts on the last axis of maps")
            window = None
            if label == "conv2d":
                window = conv_window(weight.shape[2:], args, kwargs)
                if window is None:
                    raise TraceError(f"operation conv2d: its padding of {tuple(weight.shape[2:])} is not symmetric")
            self.add(label, [source], result, weight=name, bias=self.name(bias), window=window, label=label)
        elif label in ("add", "iadd", "radd", "sub", "isub"):
            if len(tracked) == 2:
                self._check_same_shape(label, tracked, result)
                self.add("add", tracked, result, label=label)
            else:
                self._unit_to_unit(label, source, result)
        elif label in ("mul", "imul", "rmul", "div", "truediv", "itruediv") and len(tracked) == 1:
            self._unit_to_unit(label, source, result)
        elif label in _UNIT_TO_UNIT and len(tracked) == 1:
            offset = self.name(argument(args, kwargs, 4, "bias")) if label == "batch_norm" else None
            self.add("identity", [source], result, bias=offset, label=label)
        elif label in ("max_pool2d", "boolean_dispatch", "_max_pool2d", "avg_pool2d") and result.ndim == 4:
            self.add("pool2d", [source], result, window=pool_window(label, args, kwargs), label=label)
        elif label in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            self.add("adaptive_pool2d", [source], result, label=label)
        elif label == "mean" and source.ndim == 4:
            self._spatial_mean(source, result, args, kwargs)
        elif label in ("flatten", "view", "reshape", "squeeze") and _is_flattening(source, result):
            self.add("identity" if result.shape == source.shape else "flatten", [source], result, label=label)
        else:
            shapes = [tuple(value.shape) for value in tracked]
            raise TraceError(f"operation {_full_name(func)} on {shapes}: its effect on connectivity is not known")

    def _unit_to_unit(self, label: str, source: Tensor, result: Tensor) -> None:
        if result.shape != source.shape:
            raise TraceError(f"operation {label} broadcasts {tuple(source.shape)} to {tuple(result.shape)}")
        self.add("identity", [source], result, label=label)

    def _check_same_shape(self, label: str, tracked: Sequence[Tensor], result: Tensor) -> None:
        if any(value.shape != result.shape for value in tracked):
            raise TraceError(f"operation {label} broadcasts {[tuple(value.shape) for value in tracked]}")

    def _spatial_mean(self, source: Tensor, result: Tensor, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        axes = argument(args, kwargs, 1, "dim")
        if {axis % 4 for axis in ([axes] if isinstance(axes, int) else axes or ())} != {2, 3}:
            raise TraceError(f"operation mean over axes {axes}: its effect on connectivity is not known")
        pooled = result.view(self._batch, -1, 1, 1)
        self.add("adaptive_pool2d", [source], pooled, label="mean")
        if result.ndim == 2:
            self.add("flatten", [pooled], result, label="mean")
        else:
            self._note(result)


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
        if any(recorder.node_of(value) is not None for value in _flat((args, kwargs))):
            recorder.unseen = recorder.unseen or str(func)
        recorder.busy = True
        try:
            return func(*args, **kwargs)
        finally:
            recorder.busy = False


def _version(value: Tensor) -> int:
    """Count the changes in place; inference tensors, which do not count, are taken for unchanged."""
    return 0 if value.is_inference() else value._version  # noqa: SLF001  (there is no public name)


def _flat(value: Any) -> list[Any]:
    """Return the leaves of nested tuples, lists and dicts."""
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _flat(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flat(item)]
    return [value]


def _full_name(func: Callable[..., Any]) -> str:
    return str(resolve_name(func) or getattr(func, "__name__", func))


def _is_flattening(source: Tensor, result: Tensor) -> bool:
    """Whether `result` is `source` with everything but the batch in one axis, or `source` itself."""
    features = math.prod(source.shape[1:])
    return result.shape == source.shape or tuple(result.shape) == (source.shape[0], features)
