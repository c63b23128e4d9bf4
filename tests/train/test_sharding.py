"""Weights and states of which each process holds a part are refused, not trained under wrong masks."""

import pytest
import torch
from torch import nn

from masktools.errors import RecipeError
from masktools_train import Recorder, Sparsifier
from masktools_train.algorithms import RigL
from masktools_train.sharding import refuse_sharded_model


@pytest.fixture
def alone(tmp_path):
    """Meet nobody: one process of gloo is enough to wrap a model."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def sparse(model, build=torch.optim.SGD):
    optimizer = build(model.parameters(), lr=0.1)
    return Sparsifier(model, optimizer, RigL(), density=0.5, total_steps=10)


def sharded(kind):
    """Return the model as older and newer FSDP wrap it, as a whole or in a part."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel

    model = net()
    if kind.startswith("wrapped"):
        return FullyShardedDataParallel(
            model, use_orig_params=kind == "wrapped, own parameters", device_id=torch.device("cpu")
        )
    mesh = init_device_mesh("cpu", (1,))
    if kind == "tensors":
        from torch.distributed.tensor import distribute_tensor

        model[2].weight = nn.Parameter(distribute_tensor(model[2].weight.detach(), mesh))
        return model
    composable = pytest.importorskip("torch.distributed.fsdp")
    if not hasattr(composable, "fully_shard"):
        pytest.skip("this torch has no fully_shard")
    composable.fully_shard(model[0] if kind == "a part" else model, mesh=mesh)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("wrapped", "the model is under FSDP, .*; use DistributedDataParallel"),
        ("wrapped, own parameters", "the model is under FSDP"),
        ("composed", "the model is under FSDP"),
        ("a part", "module '0' is under FSDP"),
        ("tensors", "weight '2.weight' is a distributed tensor"),
    ],
)
def test_weights_in_parts(kind, words, alone, tmp_path):
    model = sharded(kind)
    with pytest.raises(RecipeError, match=words):
        sparse(model)
    with pytest.raises(RecipeError, match=words):
        Recorder(tmp_path / "run", model)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore")
def test_states_in_parts(alone):
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = net()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    words = "optimizer ZeroRedundancyOptimizer keeps the state of a weight in one of the processes"
    with pytest.raises(RecipeError, match=words):
        sparse(model, lambda parameters, lr: ZeroRedundancyOptimizer(parameters, torch.optim.SGD, lr=lr))
    assert all(torch.equal(value, then) for value, then in zip(model.parameters(), before, strict=True))
    held = sparse(model)
    with pytest.raises(RecipeError, match=words):
        held.attach(ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.1))


@pytest.mark.filterwarnings("ignore")
def test_copies_of_whole_weights_are_welcome(alone):
    refuse_sharded_model(nn.parallel.DistributedDataParallel(net()))
    assert sparse(nn.parallel.DistributedDataParallel(net())).active > 0
