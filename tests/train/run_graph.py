"""Calculate what a network returns from its operator graph: an independent reading of every node."""

import torch
from torch import nn

functional = nn.functional


def run_graph(topology, parameters, *examples):
    """Return the outputs, (batch, units, *positions), with activations and norms as identities and no bias."""
    values, outputs, fed = [], [], iter(examples)
    for node in topology.nodes:
        sources = [values[source] for source in node.inputs]
        weight = None if node.weight is None else parameters[node.weight].detach()
        value = next(fed) if node.op == "input" else value_of(node, sources, weight, len(examples[0]))
        assert tuple(value.shape[1:]) == node.shape, node
        values.append(value)
        if node.op == "output":
            outputs.append(value)
    return outputs


def value_of(node, sources, weight, batch):
    op = node.op
    if op == "constant":
        return torch.zeros(batch, *node.shape)
    if op == "linear":
        return torch.einsum("oi,bi...->bo...", weight, sources[0])
    if op.startswith("conv") and node.window:
        window = node.window
        conv = getattr(functional, op)
        return conv(sources[0], weight, None, window.stride, window.padding, window.dilation, window.groups)
    if op in ("identity", "output"):
        return sources[0]
    if op == "add":
        return sum(sources)
    if op == "mul":
        return torch.stack(sources).prod(0)
    if op == "flatten":
        return sources[0].reshape(batch, -1)
    if op == "concat":
        return torch.cat(sources, node.axes[0] + 1)
    if op.startswith("adaptive"):
        return getattr(functional, op.replace("pool", "avg_pool"))(sources[0], node.shape[1:])
    if op.startswith("pool"):
        window = node.window
        return getattr(functional, op.replace("pool", "avg_pool"))(
            sources[0], window.kernel, window.stride, window.padding, ceil_mode=True
        )
    if op == "view":
        flat = sources[0].reshape(batch, -1)
        index = torch.tensor(node.view.offset)
        for size, stride in zip(node.view.sizes, node.view.strides, strict=True):
            index = index[..., None] + torch.arange(size) * stride
        return flat[:, index.flatten()].reshape(batch, *node.shape)
    if op == "resample":
        value = sources[0]
        for axis, lists in enumerate(node.reads, 2):
            rows = torch.zeros(len(lists), value.shape[axis])
            for row, read in zip(rows, lists, strict=True):
                row[list(read)] = 1 / max(len(read), 1)
            value = torch.tensordot(value, rows, ([axis], [1])).movedim(-1, axis)
        return value
    if op == "attention":
        query, key, tokens = (source.unflatten(1, (node.heads.count, -1)).movedim(2, -1) for source in sources)
        scores = 1 + query @ key.transpose(-1, -2)
        mixed = (scores.tril() if node.heads.causal else scores) @ tokens
        return mixed.movedim(-1, 2).flatten(1, 2)
    raise AssertionError(f"no rule for {op}")
