"""Precision, memory format, compilation, fused optimizers, determinism: the same network, to rounding."""

import math
import shutil

import pytest
import torch
from small_runs import recipe

from masktools.errors import RecipeError
from masktools_train.computation import Computation, deterministic
from masktools_train.optimizers import build_optimizer
from masktools_train.progress import SilentObserver
from masktools_train.recipe_tables import ComputationSpec
from masktools_train.trainer import Trainer

CPU = torch.device("cpu")
IMAGES = {
    "data__name": "small_runs:pictures",
    "model__name": "resnet20",
    "model__options": {},
    "epochs": 1,  # batch norm of small batches soon makes much of a rounding error
    "batch_size": 20,
    "optimizer__lr": 0.02,
}


def trained(algorithm="rigl", **changes):
    trainer = Trainer(recipe(algorithm, **changes), CPU, SilentObserver())
    trainer.run(lambda _: None)
    return trainer


def distance(one, other):
    """Largest difference of what is trained, as a share of the largest weight.

    What trains behind a mask counts, and not whether it is just above the threshold or just below.
    """
    pairs = [
        (a.dense_values, b.dense_values) for a, b in zip(one.sparsifier.layers, other.sparsifier.layers, strict=True)
    ]
    pruned = {id(layer.parameter) for layer in one.sparsifier.layers}
    parameters = zip(one.model.parameters(), other.model.parameters(), strict=True)
    pairs += [(p.detach(), q.detach()) for p, q in parameters if id(p) not in pruned]
    return max(float((p - q).abs().max()) for p, q in pairs) / max(float(p.abs().max()) for p, _ in pairs)


# DNW makes one step: after it, rounding decides which of two nearly equal weights the next one uses.
@pytest.mark.parametrize(("algorithm", "batch_size"), [("rigl", 20), ("dnw", 40)])
def test_channels_last_trains_the_same_network(algorithm, batch_size):
    changes = IMAGES | {"batch_size": batch_size}
    plain, last = (trained(algorithm, **changes, computation__channels_last=wanted) for wanted in (False, True))
    convolutions = [p for p in last.model.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
    assert convolutions
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)
    assert distance(plain, last) < 1e-3
    masks = last.sparsifier.masks()
    same = sum(int((mask == masks[name]).sum()) for name, mask in plain.sparsifier.masks().items())
    assert same / plain.sparsifier.size > 0.999
    assert sum(int(mask.sum()) for mask in masks.values()) == last.sparsifier.target


@pytest.mark.parametrize("algorithm", ["rigl", "dnw", "static"])
def test_bfloat16_computes_in_it_and_keeps_everything_else_in_float32(algorithm):
    plain, half = (trained(algorithm, computation__precision=precision) for precision in ("float32", "bfloat16"))
    assert all(p.dtype == torch.float32 for p in half.model.parameters())
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in half.model.parameters())
    assert half.sparsifier.active == half.sparsifier.target
    assert plain.records[-1].test_loss != half.records[-1].test_loss
    assert half.records[-1].test_loss == pytest.approx(plain.records[-1].test_loss, rel=0.1)


def test_outputs_are_rounded_to_bfloat16_and_returned_in_float32():
    model = torch.nn.Linear(8, 4)
    inputs = torch.randn(5, 8)
    outputs = Computation(model, ComputationSpec(precision="bfloat16"), CPU)(inputs)
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, outputs.bfloat16().float())
    torch.testing.assert_close(outputs, model(inputs), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("optimizer", [{}, {"optimizer__name": "adamw", "optimizer__lr": 0.01}], ids=["sgd", "adamw"])
@pytest.mark.parametrize("algorithm", ["rigl", "dnw"])
def test_a_fused_optimizer_trains_the_same_network(algorithm, optimizer):
    plain, fused = (trained(algorithm, computation__fused=wanted, **optimizer) for wanted in (False, True))
    assert fused._optimizer.defaults["fused"]
    assert distance(plain, fused) < 1e-4
    for name, mask in plain.sparsifier.masks().items():
        assert torch.equal(mask, fused.sparsifier.masks()[name])


def test_fused_is_the_default_on_cuda_alone():
    made = recipe("dnw")
    model = torch.nn.Linear(3, 2)
    assert not build_optimizer(made.optimizer, model).defaults["fused"]


def by(backend, monkeypatch):
    """Compile by another backend than the recipe's mode would."""
    compiled = torch.compile
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    monkeypatch.setattr(torch, "compile", lambda network, mode: compiled(network, backend=backend))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("algorithm", "changes", "graphs"),
    # One graph for training and one for evaluation, another of each for the last batch of evaluation, and all of them
    # once more where freezing puts in other layers. There are 24 steps.
    [("rigl", {}, 4), ("dnw", {}, 4), ("dnw", {"algorithm__freeze_epoch": 2}, 10)],
)
def test_updates_of_the_structure_compile_nothing_again(algorithm, changes, graphs, monkeypatch):
    plain = trained(algorithm, **changes)
    by("aot_eager", monkeypatch)
    compiled = trained(algorithm, computation__compile="default", **changes)
    assert distance(plain, compiled) < 1e-3
    for name, mask in plain.sparsifier.masks().items():
        assert torch.equal(mask, compiled.sparsifier.masks()[name])
    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= graphs


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_network_trains_the_same():
    torch._dynamo.reset()
    plain, compiled = (trained("rigl", epochs=2, computation__compile=mode) for mode in ("no", "default"))
    assert distance(plain, compiled) < 1e-3


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_cannot_be_compiled_is_one_clear_error(monkeypatch):
    def fails(graph, inputs):
        raise ValueError("no compiler")

    by(fails, monkeypatch)
    with pytest.raises(RecipeError, match=r"computation.compile 'default' does not work here: .*no compiler"):
        trained("rigl", computation__compile="default")


def test_deterministic_algorithms_are_used_while_training_alone(monkeypatch):
    seen = []
    forward = Computation.forward

    def watched(self, inputs):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return forward(self, inputs)

    monkeypatch.setattr(Computation, "forward", watched)
    runs = [trained("dnw", computation__deterministic=True) for _ in range(2)]
    assert seen
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()
    assert distance(*runs) == 0
    with pytest.raises(ValueError, match="x"), deterministic(True):
        raise ValueError("x")
    assert not torch.are_deterministic_algorithms_enabled()


def test_subnormal_numbers_are_flushed_while_training_alone():
    tiny = torch.tensor(1e-40)
    assert float(tiny * 1) != 0
    trained("static", epochs=1)
    assert float(tiny * 1) != 0
    assert math.isfinite(float(tiny))
