"""Which layers run sparse, how that is decided and said, and runs that are recorded, stopped and resumed."""

import re
from typing import get_args

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import Listener, recipe
from torch import nn

from masktools.cli import train as train_command
from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools_train import train
from masktools_train.algorithms import DNW, RigL, Static
from masktools_train.execution import execution as execution_module
from masktools_train.execution.execution import ExecutionMode
from masktools_train.execution.measuring import measured_ratio
from masktools_train.execution.sparse_linear import SparseLinear
from masktools_train.models.mlp import MLP
from masktools_train.recipe import Recipe
from masktools_train.sparsifier import Sparsifier


def sparsified(model, execution, algorithm=None, density=0.3, **options):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    algorithm = algorithm or Static()
    options = {"distribution": "uniform", "total_steps": 20, **options}
    return optimizer, Sparsifier(model, optimizer, algorithm, density=density, execution=execution, **options)


def step(model, optimizer, inputs):
    optimizer.zero_grad()
    model(inputs).sum().backward()
    optimizer.step()


def ratios(monkeypatch, **by_shape):
    """Put ratios in the place of measured ones, by number of inputs of a layer; return what was measured."""
    calls = []

    def measured(linear, inputs, input_gradient):
        calls.append((tuple(linear.weight.shape), inputs, input_gradient))
        return by_shape[f"_{linear.weight.shape[1]}"]

    monkeypatch.setattr(execution_module, "measured_ratio", measured)
    return calls


def test_auto_takes_what_is_measured_to_be_faster_and_says_so_once(monkeypatch):
    calls = ratios(monkeypatch, _6=0.5, _8=1.25)
    model = MLP([6, 8, 4])
    optimizer, sparsifier = sparsified(model, "auto")
    assert sparsifier.execution.news() is None
    with torch.no_grad():
        model(torch.ones(3, 6))  # an evaluation tells nothing of the batches of training
    assert calls == []
    for _ in range(3):
        step(model, optimizer, torch.ones(16, 6))
    assert calls == [((8, 6), 16, False), ((4, 8), 16, True)]
    names = [layer.name for layer in sparsifier.layers]
    assert sparsifier.execution.news() == (
        f"execution auto: 1 of 2 layers run sparse; time as a ratio to masked: {names[0]} 0.50, {names[1]} 1.25"
    )
    assert sparsifier.execution.news() is None


def test_a_layer_that_lost_half_of_its_weights_is_measured_anew(monkeypatch):
    calls = ratios(monkeypatch, _6=1.5, _8=1.5)
    model = MLP([6, 8, 4])
    optimizer, sparsifier = sparsified(model, "auto", density=0.5)
    step(model, optimizer, torch.ones(16, 6))
    layer = sparsifier.layers[0]
    mask = torch.zeros(layer.size, dtype=torch.bool)
    mask[: layer.count // 2] = True
    sparsifier.set_mask(layer, mask.view(layer.mask.shape), layer.count // 2)
    for _ in range(3):
        step(model, optimizer, torch.ones(16, 6))
    assert [shape for shape, *_ in calls] == [(8, 6), (4, 8), (8, 6)]


def test_what_was_measured_is_kept_for_resuming(monkeypatch):
    calls = ratios(monkeypatch, _6=0.5, _8=1.25)
    model = MLP([6, 8, 4])
    optimizer, sparsifier = sparsified(model, "auto")
    step(model, optimizer, torch.ones(16, 6))
    optimizer, twin = sparsified(model, "auto")
    twin.load_state_dict(sparsifier.state_dict())
    step(model, optimizer, torch.ones(16, 6))
    assert len(calls) == 2
    assert twin.execution.news() == sparsifier.execution.news()


def test_the_measurement_changes_nothing_and_is_a_ratio():
    torch.manual_seed(0)
    weight, mask = nn.Parameter(torch.randn(64, 48)), (torch.rand(64, 48) < 0.1).float()
    with torch.no_grad():
        weight.mul_(mask)
    before, random = weight.detach().clone(), torch.get_rng_state()
    assert 0.01 < measured_ratio(SparseLinear(weight, mask), 32, True) < 100
    assert torch.equal(weight, before)
    assert torch.equal(torch.get_rng_state(), random)
    assert weight.grad is None


@pytest.mark.parametrize("execution", ["sparse", "auto"])
@pytest.mark.parametrize("model", [nn.Conv2d(2, 4, 3), MLP([6, 8, 4]).bfloat16()])
def test_where_nothing_can_run_sparse_it_is_said(model, execution):
    _, sparsifier = sparsified(model, execution)
    said = sparsifier.execution.news()
    assert re.search("0 of . layers run sparse, which is for linear layers on a CPU .*; all run masked", said)


def test_dnw_runs_masked_until_it_is_frozen():
    model = MLP([6, 8, 4])
    optimizer, sparsifier = sparsified(model, "sparse", DNW(), freeze_step=2)
    said = []
    for _ in range(4):
        said.append(sparsifier.execution.news())
        step(model, optimizer, torch.ones(16, 6))
    assert [line and line[:22] for line in said] == ["execution sparse: 0 of", None, "execution sparse: 2 of", None]


def test_full_and_empty_layers_run_masked():
    model = MLP([6, 8, 4])
    masks = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in model.named_parameters() if p.dim() == 2}
    next(iter(masks.values())).fill_(True)
    optimizer, sparsifier = sparsified(model, "sparse", RigL(), masks=masks)
    assert sparsifier.execution.news() == "execution sparse: 0 of 2 layers run sparse"
    step(model, optimizer, torch.ones(16, 6))


def test_unknown_modes_are_refused_and_names_agree():
    with pytest.raises(RecipeError, match="execution 'fast' is unknown; choose from masked, sparse, auto"):
        sparsified(MLP([6, 8, 4]), "fast")
    assert get_args(ExecutionMode) == get_args(train_command.ExecutionName)
    assert get_args(Recipe.model_fields["execution"].annotation) == get_args(ExecutionMode)


class Notes(Listener):
    def __init__(self, stop=None):
        super().__init__()
        self.notes, self.stop = [], stop

    def noted(self, message):
        self.notes.append(message)

    def epoch_done(self, record):
        super().epoch_done(record)
        if record.epoch == self.stop:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["static", "rigl", "rigl-frozen", "dnw-frozen", "ltr"])
def test_recorded_runs_are_those_of_masked_layers_and_resume_to_the_bit(name, tmp_path):
    masked = open_run(train(recipe(name), tmp_path / "masked", device="cpu").run)
    notes = Notes()
    sparse = open_run(train(recipe(name, execution="sparse"), tmp_path / "sparse", device="cpu", observer=notes).run)
    assert notes.notes[-1] == "execution sparse: 3 of 3 layers run sparse"
    for a, b in zip(masked, sparse, strict=True):
        assert a.active == b.active
        for layer in a.layers:
            np.testing.assert_array_equal(a.mask(layer), b.mask(layer))
            np.testing.assert_allclose(a.weight(layer), b.weight(layer), rtol=1e-3, atol=1e-5)
    for a, b in zip(masked.metrics, sparse.metrics, strict=True):
        assert a.keys() == b.keys()
        assert a["test_loss"] == pytest.approx(b["test_loss"], rel=1e-3)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train(recipe(name, execution="sparse"), stopped, device="cpu", observer=Notes(stop=2))
    train(recipe(name, execution="sparse"), stopped, device="cpu", resume=True)
    assert differences(sparse, open_run(stopped)) == []
