"""Read the geometry of a convolution or a pooling out of its call."""

from collections.abc import Sequence
from typing import Any

from masktools.topology.graph import Window
from masktools_train.recording.calls import Call

__all__ = ["conv_window", "pool_window"]


def _numbers(value: Any, axes: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * axes
    numbers = tuple(int(number) for number in value)
    return numbers * axes if len(numbers) == 1 else numbers


def conv_window(call: Call, kernel: Sequence[int]) -> tuple[Window, tuple[int, ...]]:
    """Return the window of a convolution.

    Parameters
    ----------
    call
        The call; of ``aten.convolution`` too, which has further arguments before the number of groups.
    kernel
        The size of the kernel along each axis.

    Returns
    -------
    window
        Kernel, stride, padding on both sides, dilation and groups.
    further
        Along each axis, how many positions of padding follow on the far side alone.
    """
    axes = len(kernel)
    padding = call.argument(4, "padding", 0)
    dilation = _numbers(call.argument(5, "dilation", 1), axes)
    further = (0,) * axes
    if padding == "valid":
        padding = 0
    elif padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding, further = tuple(span // 2 for span in spans), tuple(span % 2 for span in spans)
    window = Window(
        kernel=tuple(int(size) for size in kernel),
        stride=_numbers(call.argument(3, "stride", 1), axes),
        padding=_numbers(padding, axes),
        dilation=dilation,
        groups=int(call.argument(8 if call.label == "convolution" else 6, "groups", 1)),
    )
    return window, further


def pool_window(call: Call, axes: int) -> Window:
    """Return the window of a call of maximum or average pooling.

    Parameters
    ----------
    call
        The call; averaging has no dilation.
    axes
        Over how many axes of positions the window slides.
    """
    kernel = _numbers(call.argument(1, "kernel_size"), axes)
    stride = call.argument(2, "stride")
    dilation = call.argument(4, "dilation", 1) if "max" in call.label else 1
    return Window(
        kernel=kernel,
        stride=kernel if stride in (None, (), []) else _numbers(stride, axes),
        padding=_numbers(call.argument(3, "padding", 0), axes),
        dilation=_numbers(dilation, axes),
    )
