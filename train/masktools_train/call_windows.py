"""Read the geometry of a convolution or a pooling out of the arguments of its call."""

from collections.abc import Mapping, Sequence
from typing import Any

from masktools.topology.graph import Window

__all__ = ["argument", "conv_window", "pool_window"]


def argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, given by position or by name."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = (value[0], value[0]) if len(value) == 1 else value
    return int(first), int(second)


def conv_window(kernel: Sequence[int], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Window | None:
    """Return the window of a call of ``conv2d``, or None where its padding differs from side to side.

    Parameters
    ----------
    kernel
        Height and width of the kernel.
    args, kwargs
        The arguments of the call.
    """
    padding = argument(args, kwargs, 4, "padding", 0)
    dilation = _pair(argument(args, kwargs, 5, "dilation", 1))
    if padding == "valid":
        padding = 0
    elif padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if any(span % 2 for span in spans):
            return None
        padding = tuple(span // 2 for span in spans)
    return Window(
        kernel=(int(kernel[0]), int(kernel[1])),
        stride=_pair(argument(args, kwargs, 3, "stride", 1)),
        padding=_pair(padding),
        dilation=dilation,
        groups=int(argument(args, kwargs, 6, "groups", 1)),
    )


def pool_window(label: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Window:
    """Return the window of a call of ``max_pool2d`` or ``avg_pool2d``.

    Parameters
    ----------
    label
        The name of the function: averaging has no dilation.
    args, kwargs
        The arguments of the call.
    """
    kernel = _pair(argument(args, kwargs, 1, "kernel_size"))
    stride = argument(args, kwargs, 2, "stride")
    dilation = 1 if label == "avg_pool2d" else argument(args, kwargs, 4, "dilation", 1)
    return Window(
        kernel=kernel,
        stride=kernel if stride in (None, (), []) else _pair(stride),
        padding=_pair(argument(args, kwargs, 3, "padding", 0)),
        dilation=_pair(dilation),
    )
