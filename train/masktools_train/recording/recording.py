"""What is known while a model runs: the nodes so far, and the tensors that were made from the input."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from masktools.topology.graph import Node, View
from masktools_train.recording.arrangement import Arrangement, merged_view, natural_axes
from masktools_train.recording.errors import TraceError, UnfollowedError
from masktools_train.recording.picks import picked, shadow_of_picks
from masktools_train.recording.shadows import Counts, Layout, layout_of

__all__ = ["Opaque", "Parameter", "Product", "Recording", "Traced"]


@dataclasses.dataclass(frozen=True, eq=False)
class Product:
    """A product of queries and keys, row by column, that awaits its softmax and its values.

    Parameters
    ----------
    queries, keys
        Of shapes (..., rows, features) and (..., columns, features).
    shape
        Shape of the product, (..., rows, columns), which its shadow counts through.
    causal
        Whether columns later than the row are blocked.
    softmax
        Whether softmax was applied.
    """

    queries: "Traced"
    keys: "Traced"
    shape: tuple[int, ...]
    causal: bool = False
    softmax: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Opaque:
    """Something made from the input that nothing may use, and what it is."""

    what: str


Source: TypeAlias = int | Product | Opaque


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """A tensor made from the input: the number of its node (or what else made it), and its shadow there."""

    source: Source
    shadow: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter, or something made of it.

    Parameters
    ----------
    name
        The name of the parameter.
    shape
        The shape of the parameter.
    shadow
        The element of the parameter that each element is; None where it was calculated otherwise.
    """

    name: str
    shape: tuple[int, ...]
    shadow: Tensor | None


class Recording:
    """The nodes so far, and what is known of tensors.

    Parameters
    ----------
    parameters
        The parameters of the model by name; of several names the first counts.
    batch
        Number of examples that the model is fed.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], batch: int) -> None:
        self.nodes: list[Node] = []
        self.counts = Counts()
        self.batch = batch
        self._names: dict[int, str] = {}
        self._parameters: dict[int, tuple[Tensor, Parameter]] = {}
        for name, parameter in parameters:
            self._names.setdefault(id(parameter), name)
        # Tensors are kept alive: an id is only theirs as long as they live. With their version: a tensor changed since,
        # through a view that shares its memory, is no longer what was noted.
        self._known: dict[int, tuple[Tensor, Traced, int]] = {}
        self._views: dict[tuple[int, View, tuple[int, ...]], int] = {}

    # -- tensors ------------------------------------------------------------------------------------------

    def traced(self, value: object) -> Traced | None:
        """Return what is known of a tensor made from the input, or None for anything else."""
        known = self._known.get(id(value))
        return None if known is None else known[1]

    def note(self, tensor: Tensor, traced: Traced) -> None:
        """Remember how a tensor was made."""
        if traced.shadow.shape != tensor.shape:
            raise TraceError(f"a tensor of shape {tuple(tensor.shape)} was taken for {tuple(traced.shadow.shape)}")
        self._known[id(tensor)] = (tensor, traced, _version(tensor))

    def check_unchanged(self, values: Iterable[Tensor]) -> None:
        """Refuse tensors that were changed since they were noted."""
        if any(self._known[id(value)][2] != _version(value) for value in values):
            raise UnfollowedError("uses a tensor that was changed in place through a view of it")

    def parameter(self, value: object) -> Parameter | None:
        """Return which parameter a tensor is, or is made of; None for anything else."""
        name = self._names.get(id(value))
        if name is not None and isinstance(value, Tensor):
            return Parameter(name, tuple(value.shape), self.counts.contiguous(value.shape))
        known = self._parameters.get(id(value))
        return None if known is None else known[1]

    def note_parameter(self, tensor: Tensor, made_of: Parameter) -> None:
        """Remember that a tensor, no function of the input, is made of a parameter."""
        if id(tensor) not in self._names:
            self._parameters[id(tensor)] = (tensor, made_of)

    def name(self, value: object) -> str | None:
        """Return the name of a parameter (or of a view of all of it), or None for anything else."""
        if id(value) in self._names or not isinstance(value, Tensor):
            return self._names.get(id(value))
        found = self.parameter(value)
        if found is None or found.shadow is None or tuple(value.shape) != found.shape:
            return None
        return found.name if self.counts.same(found.shadow, self.counts.contiguous(found.shape)) else None

    # -- nodes --------------------------------------------------------------------------------------------

    def add(self, op: str, inputs: Sequence[int], shape: Sequence[int], **fields: Any) -> int:
        """Append a node and return its number."""
        self.nodes.append(Node(op, tuple(inputs), tuple(shape), **fields))
        return len(self.nodes) - 1

    def new_input(self, tensor: Tensor) -> None:
        """Note a tensor that the network is fed."""
        node = self.add("input", (), tensor.shape[1:])
        self.note(tensor, Traced(node, self.counts.contiguous(tensor.shape)))

    def pointwise(self, traced: Traced, **fields: Any) -> Traced:
        """Append an identity of the node that a tensor comes from: what acts on elements commutes with moving them."""
        source = self.source(traced)
        return Traced(self.add("identity", (source,), self.nodes[source].shape, **fields), traced.shadow)

    def arranged(
        self, traced: Traced, units: Sequence[int], positions: Sequence[int] | None = None
    ) -> tuple[int, Arrangement]:
        """Return a node whose units and positions are given axes of a tensor; a view of its node if it has to be."""
        traced, layout = self.regular(traced)
        arrangement = Arrangement.of(layout, units, positions, self.batch)
        source, shape = self.source(traced), arrangement.shape
        view = merged_view(layout, (*arrangement.units, *arrangement.positions))
        before = self.nodes[source].shape
        elements = math.prod(before)
        if view.offset == 0 and view.strides in ((1,), ()) and math.prod(view.sizes) == elements:
            if shape == before:
                return source, arrangement
            if shape == (elements,):
                return self._viewed(source, view, shape, "flatten"), arrangement
        return self._viewed(source, view, shape, "view"), arrangement

    def natural(self, traced: Traced) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the axes of a tensor that are units of its node, and those that are positions."""
        traced, layout = self.regular(traced)
        return natural_axes(layout, self.nodes[self.source(traced)].shape)

    def along_units(self, traced: Traced, axis: int) -> bool:
        """Whether an axis of a tensor runs through all units of its node, in order, and no other axis does."""
        traced, layout = self.regular(traced)
        shape = self.nodes[self.source(traced)].shape
        stride = math.prod(shape[1:])
        factors = [(factor.size, factor.stride) for factor in layout.content(axis)]
        whole = [(shape[0], stride)] if shape[0] > 1 else []
        return natural_axes(layout, shape)[0] == (axis,) and factors == whole and layout.offset < stride

    def is_regular(self, traced: Traced) -> bool:
        """Whether the elements of a tensor follow regular steps along all of its axes."""
        return self._layout(traced) is not None

    def regular(self, traced: Traced) -> tuple[Traced, Layout]:
        """Return a tensor and its layout: on a `resample` of its node where it picks positions in no regular steps."""
        layout = self._layout(traced)
        if layout is None:
            traced = self._resampled(traced)
            layout = self._layout(traced)
        if layout is None:
            raise UnfollowedError("moves elements in a way that cannot be followed")
        return traced, layout

    def _layout(self, traced: Traced) -> Layout | None:
        elements = math.prod(self.nodes[self.source(traced)].shape)
        return layout_of(traced.shadow, self.counts, elements, self.batch)

    def source(self, traced: Traced) -> int:
        """Return the node of a tensor."""
        if isinstance(traced.source, Opaque):
            raise UnfollowedError(f"uses {traced.source.what}, which cannot be followed")
        if isinstance(traced.source, Product):
            raise UnfollowedError(
                "uses the product of two tensors made from the input; what can be followed is attention: "
                "softmax over the last axis of the product, then a product with values"
            )
        return traced.source

    def _viewed(self, source: int, view: View, shape: tuple[int, ...], op: str) -> int:
        key = (source, view, shape)
        if key not in self._views:
            self._views[key] = self.add(op, (source,), shape, label=op, view=view if op == "view" else None)
        return self._views[key]

    def _resampled(self, traced: Traced) -> Traced:
        """Follow axes that pick elements along axes of the node, in any order, by a resampling of the node."""
        source = self.source(traced)
        shape = self.nodes[source].shape
        picks = picked(traced.shadow, shape)
        if any(pick.place == 0 for pick in picks):  # units cannot be resampled: let them be positions of a single unit
            picks = [dataclasses.replace(pick, place=pick.place + 1) for pick in picks]
            shape = (1, *shape)
            source = self._viewed(source, View((math.prod(shape),), (1,)), shape, "view")
        reads = [tuple((index,) for index in range(extent)) for extent in shape]
        for pick in picks:
            reads[pick.place] = tuple((index,) for index in pick.reads)
        after = tuple(map(len, reads))
        node = self.add("resample", (source,), after, reads=tuple(reads[1:]), label="select")
        return Traced(node, shadow_of_picks(traced.shadow, shape, picks))


def _version(value: Tensor) -> int:
    """Count the changes in place; inference tensors, which do not count, are taken for unchanged."""
    return 0 if value.is_inference() else value._version  # noqa: SLF001  (there is no public name)
