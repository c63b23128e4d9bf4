"""Record the operator graph of a model by running it once."""

import torch
from torch import Tensor, nn

from masktools.errors import StructureError
from masktools.topology.graph import Topology
from masktools.topology.shapes import check_shapes
from masktools_train.evaluation import evaluating
from masktools_train.masked_layers import prunable_weights
from masktools_train.operators import CompiledCodeGuard, OperatorRecorder, TraceError

__all__ = ["TraceError", "trace"]


def trace(model: nn.Module, example: Tensor) -> Topology:
    """Run `model` on an example and return its operator graph.

    The model runs once as it is (eagerly, in evaluation mode, without gradients), so Python that depends on
    data is no obstacle; parameters are recognised by identity. An operation that is not known raises: it is
    never taken for one that acts on every unit by itself.

    Parameters
    ----------
    model
        The network; the mode of each module is restored afterwards.
    example
        A batch of at least two inputs, so that the batch axis cannot be mistaken.

    Raises
    ------
    TraceError
        If an operation is not known; the message names it.
    """
    weights = prunable_weights(model)
    # Under the names that sparse training knows them by, should a module share one under another name.
    recorder = OperatorRecorder([*weights.items(), *model.named_parameters(remove_duplicate=False)], example)
    with evaluating(model), torch.no_grad(), recorder, CompiledCodeGuard(recorder):
        result = model(example)
    if recorder.unseen is not None:
        raise TraceError(f"operation {recorder.unseen} is called by compiled code, which cannot be followed")
    if not isinstance(result, Tensor) or recorder.node_of(result) is None:
        raise TraceError(f"the model returned {type(result).__name__}, not a tensor made from its input")
    recorder.check_unchanged("output", [result])
    recorder.add("output", [result], result)
    try:
        topology = Topology(tuple(recorder.nodes))
        for name in topology.layers:
            if name not in weights:
                raise TraceError(f"{name!r} is used as a weight, but belongs to no linear or convolutional module")
        check_shapes(topology, {name: tuple(weights[name].shape) for name in topology.layers})
    except StructureError as error:
        raise error if isinstance(error, TraceError) else TraceError(str(error)) from error
    return topology
