"""Record the operator graph of a model by running it once."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

from masktools.errors import StructureError
from masktools.topology.graph import Node, Topology, Window

__all__ = ["TraceError", "trace"]


class TraceError(StructureError):
    """An operation whose effect on connectivity is not known."""


_UNIT_TO_UNIT = frozenset(
    "relu relu_ relu6 leaky_relu leaky_relu_ elu selu celu gelu silu mish sigmoid tanh hardtanh hardswish "
    "hardsigmoid softplus dropout dropout_ feature_dropout alpha_dropout dropout2d batch_norm contiguous clone "
    "detach to float double half type identity neg abs clamp clamp_min".split()
)
"""Functions that act on every unit by itself."""

_QUESTIONS = frozenset("__get__ size dim numel is_floating_point stride is_contiguous shape ndimension __len__".split())
"""Functions that ask about a tensor and compute nothing from its values."""


def trace(model: nn.Module, example: Tensor) -> Topology:
    """Run `model` on an example and return its operator graph.

    The model runs once as it is (eagerly, in evaluation mode, without gradients), so Python that depends on
    data is no obstacle; parameters are recognised by identity. An operation that is not known raises: it is
    never taken for one that acts on every unit by itself.

    Parameters
    ----------
    model
        The network; its mode is restored afterwards.
    example
        A batch of at least two inputs, so that the batch axis cannot be mistaken.

    Raises
    ------
    TraceError
        If an operation is not known; the message names it.
    """
    recorder = _Recorder(dict(model.named_parameters(remove_duplicate=False)), example)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), recorder:
            result = model(example)
    finally:
        model.train(training)
    if not isinstance(result, Tensor) or recorder.node_of(result) is None:
        raise TraceError(f"the model returned {type(result).__name__}, not a tensor made from its input")
    recorder.add("output", [result], result)
    return Topology(tuple(recorder.nodes))


class _Recorder(TorchFunctionMode):
    """Sees every torch function that is called and notes what it does to tensors made from the input."""

    def __init__(self, parameters: Mapping[str, Tensor], example: Tensor) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self._names: dict[int, str] = {}
        for name, parameter in parameters.items():
            self._names.setdefault(id(parameter), name)
        # Tensors are kept alive: an id is only theirs as long as they live.
        self._known: dict[int, tuple[Tensor, int]] = {}
        self._batch = example.shape[0]
        self.add("input", [], example)

    def node_of(self, value: object) -> int | None:
        """Return the number of the node that made a tensor, or None for anything else."""
        known = self._known.get(id(value))
        return None if known is None else known[1]

    def add(self, op: str, sources: Sequence[Tensor], result: Tensor, **fields: Any) -> Tensor:
        """Append a node for `result` and return `result`."""
        if result.ndim < 2 or result.shape[0] != self._batch or result.ndim not in (2, 4):
            raise TraceError(f"{op}: a result of shape {tuple(result.shape)} is not (batch, features) or an image")
        inputs = tuple(self._known[id(source)][1] for source in sources)
        self.nodes.append(Node(op, inputs, tuple(result.shape[1:]), **fields))
        self._known[id(result)] = (result, len(self.nodes) - 1)
        return result

    def name(self, parameter: object) -> str | None:
        """Return the name of a parameter, or None for anything else."""
        return self._names.get(id(parameter))

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        label = getattr(func, "__name__", str(func))
        tracked = [value for value in _flat((args, kwargs)) if self.node_of(value) is not None]
        # In-place functions return the tensor they were given: remember what it was before.
        before = [self._known[id(value)][1] for value in tracked]
        result = func(*args, **kwargs)
        if not tracked or not any(isinstance(value, Tensor) for value in _flat(result)):
            return result
        if label in _QUESTIONS:
            return result
        if not isinstance(result, Tensor):
            raise TraceError(f"operation {_full_name(func)} returns several tensors; masktools does not know it")
        for value, node in zip(tracked, before, strict=True):
            self._known[id(value)] = (value, node)
        self._record(func, label.strip("_"), tracked, result, args, kwargs)
        return result

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
            weight, bias = _argument(args, kwargs, 1, "weight"), _argument(args, kwargs, 2, "bias")
            name = self.name(weight)
            if name is None or len(tracked) != 1:
                raise TraceError(f"operation {label} uses a weight that is no parameter of the model")
            window = None
            if label == "conv2d":
                window = _window(weight.shape[2:], args, kwargs)
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
            offset = self.name(_argument(args, kwargs, 4, "bias")) if label == "batch_norm" else None
            self.add("identity", [source], result, bias=offset, label=label)
        elif label in ("max_pool2d", "boolean_dispatch", "_max_pool2d", "avg_pool2d") and result.ndim == 4:
            self.add("pool2d", [source], result, window=_pool(label, args, kwargs), label=label)
        elif label in ("adaptive_avg_pool2d", "adaptive_max_pool2d"):
            self.add("adaptive_pool2d", [source], result, label=label)
        elif label == "mean" and source.ndim == 4:
            self._spatial_mean(source, result, args, kwargs)
        elif label in ("flatten", "view", "reshape", "squeeze") and _is_flattening(source, result):
            self.add("flatten" if source.ndim == 4 else "identity", [source], result, label=label)
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
        axes = _argument(args, kwargs, 1, "dim")
        if {axis % 4 for axis in ([axes] if isinstance(axes, int) else axes or ())} != {2, 3}:
            raise TraceError(f"operation mean over axes {axes}: its effect on connectivity is not known")
        pooled = result.view(self._batch, -1, 1, 1)
        self.add("adaptive_pool2d", [source], pooled, label="mean")
        if result.ndim == 2:
            self.add("flatten", [pooled], result, label="mean")
        else:
            self._known[id(result)] = (result, len(self.nodes) - 1)


def _flat(value: Any) -> list[Any]:
    """Return the leaves of nested tuples, lists and dicts."""
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _flat(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _flat(item)]
    return [value]


def _full_name(func: Callable[..., Any]) -> str:
    return str(resolve_name(func) or getattr(func, "__name__", func))


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = (value[0], value[0]) if len(value) == 1 else value
    return int(first), int(second)


def _window(kernel: Sequence[int], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Window:
    padding = _argument(args, kwargs, 4, "padding", 0)
    dilation = _pair(_argument(args, kwargs, 5, "dilation", 1))
    if padding == "valid":
        padding = 0
    elif padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(span % 2 for span in spans):
            raise TraceError(f"operation conv2d: padding 'same' of an even kernel {tuple(kernel)} is not symmetric")
        padding = tuple(span // 2 for span in spans)
    return Window(
        kernel=(int(kernel[0]), int(kernel[1])),
        stride=_pair(_argument(args, kwargs, 3, "stride", 1)),
        padding=_pair(padding),
        dilation=dilation,
        groups=int(_argument(args, kwargs, 6, "groups", 1)),
    )


def _pool(label: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Window:
    kernel = _pair(_argument(args, kwargs, 1, "kernel_size"))
    stride = _argument(args, kwargs, 2, "stride")
    dilation = 1 if label == "avg_pool2d" else _argument(args, kwargs, 4, "dilation", 1)
    return Window(
        kernel=kernel,
        stride=kernel if stride in (None, (), []) else _pair(stride),
        padding=_pair(_argument(args, kwargs, 3, "padding", 0)),
        dilation=_pair(dilation),
    )


def _is_flattening(source: Tensor, result: Tensor) -> bool:
    """Whether `result` is `source` with everything but the batch in one axis, or `source` itself."""
    features = math.prod(source.shape[1:])
    return result.shape == source.shape or tuple(result.shape) == (source.shape[0], features)
