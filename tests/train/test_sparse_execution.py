"""Sparse execution is masked execution to rounding, whatever trains and whoever else touches weights and gradients."""

import copy
import pickle

import pytest
import torch
from torch import nn

from masktools_train.algorithms import REGISTRY
from masktools_train.execution.pattern import Pattern
from masktools_train.execution.sparse_linear import SparseLinear, run_sparse
from masktools_train.sparsifier import Sparsifier

OPTIMIZERS = {
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "plain": (torch.optim.SGD, {"lr": 0.1}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.5}),
    "a subclass": (type("Own", (torch.optim.SGD,), {}), {"lr": 0.1, "momentum": 0.9}),
}
RULES = {
    "static": ("static", {}, None),
    "rigl": ("rigl", {"delta_t": 4}, None),
    "rigl frozen": ("rigl", {"delta_t": 3}, 10),
    "set": ("set", {"interval": "4it"}, None),
    "dnw frozen": ("dnw", {}, 5),
    "snfs": ("snfs", {}, 14),
    "frozen": ("dnw", {}, 0),
    "gmp": ("gmp", {}, None),
}


class Training:
    """A small network in training, step by step."""

    def __init__(self, execution, rule="static", optimizer="momentum", dtype=torch.double, clip=None, accumulate=1):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)).to(
            dtype
        )
        kind, options = OPTIMIZERS[optimizer]
        self.optimizer = kind(self.model.parameters(), **options)
        name, settings, freeze = RULES[rule]
        self.sparsifier = Sparsifier(
            self.model,
            self.optimizer,
            REGISTRY[name].model_validate(settings),
            density=0.2,
            distribution=None if name == "gmp" else "erk",
            total_steps=24,
            steps_per_epoch=6,
            freeze_step=freeze,
            execution=execution,
        )
        self.dtype, self.clip, self.accumulate = dtype, clip, accumulate
        self.random = torch.Generator().manual_seed(1)
        self.losses = []

    def step(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none=set_to_none)
        for _ in range(self.accumulate):
            inputs = torch.randn(8, 12, generator=self.random, dtype=self.dtype)
            loss = nn.functional.cross_entropy(self.model(inputs), torch.arange(8) % 4)
            loss.backward()
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.losses.append(loss.item())

    def state(self):
        return [value for _, entry in sorted(self.optimizer.state_dict()["state"].items()) for value in entry.values()]


def alike(one, other, **tolerance):
    torch.testing.assert_close(torch.tensor(one.losses), torch.tensor(other.losses), **tolerance)
    for a, b in zip(one.sparsifier.layers, other.sparsifier.layers, strict=True):
        assert torch.equal(a.mask, b.mask)
        assert a.count == b.count
        assert not b.parameter[b.mask == 0].any()
    assert one.sparsifier.dense_gradient_steps == other.sparsifier.dense_gradient_steps
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, **tolerance)
    ours, theirs = one.state(), other.state()
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


def both(steps=24, then=None, **options):
    pair = Training("masked", **options), Training("sparse", **options)
    for number in range(steps):
        for training in pair:
            if then is not None:
                then(training, number)
            training.step()
    return pair


def running(training):
    return [part.layer.name for part in training.sparsifier.execution._parts if part.linear.enabled]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_training_equals_masked_training(rule, optimizer):
    if rule == "snfs" and optimizer in ("plain", "rmsprop"):
        pytest.skip("SNFS needs a momentum that it knows")
    masked, sparse = both(rule=rule, optimizer=optimizer)
    assert len(running(sparse)) >= 2
    alike(masked, sparse, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("rule", ["static", "rigl"])
def test_single_precision_too(rule, optimizer):
    alike(*both(steps=20, rule=rule, optimizer=optimizer, dtype=torch.float32), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate": 3, "rule": "rigl"},
        {"clip": 0.05, "rule": "frozen"},
        {"clip": 0.05, "accumulate": 2, "rule": "frozen"},
    ],
)
def test_clipped_and_accumulated_gradients(options):
    """Where masked layers compute the gradient of active weights only, their norm is the same."""
    alike(*both(**options), rtol=1e-8, atol=1e-10)


def test_clipping_takes_effect_and_its_norm_is_that_of_the_active_weights():
    training, free = Training("sparse", clip=0.05), Training("sparse")
    for _ in range(3):
        training.step()
        free.step()
    norm = torch.stack([p.grad.norm() for p in training.model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.05, rel=1e-4)
    assert training.losses[1:] != free.losses[1:]


def test_gradients_that_are_kept_and_set_to_zero():
    pair = Training("masked"), Training("sparse")
    for training in pair:
        for _ in range(12):
            training.step(set_to_none=False)
    alike(*pair, rtol=1e-8, atol=1e-10)


def test_the_state_is_compact_while_training_and_dense_for_others():
    training = Training("sparse", rule="rigl")
    for _ in range(3):
        training.step()
    layer = training.sparsifier.layers[0]
    assert training.optimizer.state[layer.parameter]["momentum_buffer"].shape == (layer.count,)
    buffer = training.optimizer.state_dict()["state"][0]["momentum_buffer"]
    assert buffer.shape == layer.mask.shape
    assert not buffer[layer.mask == 0].any()
    training.step()  # an update, which clears the state of new weights
    training.step()
    training.sparsifier.detach()
    assert training.optimizer.state[layer.parameter]["momentum_buffer"].shape == layer.mask.shape
    assert training.optimizer.param_groups[0]["params"] == list(training.model.parameters())
    assert running(training) == []


def test_what_others_change_is_noticed():
    def meddle(training, number):
        layers = training.sparsifier.layers
        if number == 5:
            with torch.no_grad():
                layers[0].parameter.mul_(0.5)
        if number == 8:
            training.model.load_state_dict({k: v * 0.9 for k, v in training.model.state_dict().items()})
        if number == 11:
            state = training.optimizer.state_dict()
            for entry in state["state"].values():
                entry["momentum_buffer"] = entry["momentum_buffer"] * -0.5
            training.optimizer.load_state_dict(state)
        if number == 14:
            layer = layers[1]
            training.sparsifier.set_mask(layer, layer.mask.bool().roll(1, 0), layer.count)

    alike(*both(then=meddle), rtol=1e-8, atol=1e-10)


def test_a_gradient_that_is_held_does_not_change_and_noise_in_one_does_not_stay():
    training = Training("sparse")
    training.step()
    parameter = training.sparsifier.layers[0].parameter
    held, before = parameter.grad, parameter.grad.clone()
    training.step()
    assert parameter.grad is not held
    assert torch.equal(held, before)
    parameter.grad.add_(1.0)
    training.step()
    outside = training.sparsifier.layers[0].mask == 0
    assert not parameter.grad[outside].any()
    memory = parameter.grad.data_ptr()
    del held
    training.step()
    assert parameter.grad.data_ptr() == memory  # nothing of the weight's size is allocated


def test_copies_and_pickles_are_independent():
    training = Training("sparse")
    training.step()
    inputs = torch.ones(2, 12, dtype=torch.double)
    expected = training.model(inputs).detach()
    for twin in (copy.deepcopy(training.model), pickle.loads(pickle.dumps(training.model))):
        assert torch.equal(twin(inputs), expected)
        for _ in range(9):  # as many versions as the original's weight has had, and more
            with torch.no_grad():
                twin[0].weight.mul_(0.5)
            assert not torch.equal(twin(inputs), expected)
    assert torch.equal(training.model(inputs), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.3, 1.0])
def test_products_of_a_pattern(density, dtype):
    torch.manual_seed(0)
    mask = torch.rand(13, 9) < density
    weight, right, left = torch.randn(13, 9, dtype=dtype) * mask, torch.randn(9, 5, dtype=dtype), torch.randn(13, 5)
    left = left.to(dtype)
    pattern = Pattern(mask)
    values = pattern.gather(weight)
    assert torch.equal(values, weight[mask])
    torch.testing.assert_close(pattern.times(values, right), weight @ right)
    torch.testing.assert_close(pattern.transposed_times(values, left), weight.t() @ left)
    torch.testing.assert_close(pattern.sampled(left, right.t()), (left @ right.t())[mask])
    into = torch.full((13, 9), 7.0, dtype=dtype)
    pattern.scatter(values, into)
    assert torch.equal(into, torch.where(mask, weight, 7.0))


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 7), (7,)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_one_layer_against_autograd(shape, bias, dense):
    torch.manual_seed(0)
    usual = nn.Linear(7, 5, bias=bias).double()
    mask = (torch.rand(5, 7) < 0.3).double()
    with torch.no_grad():
        usual.weight.mul_(mask)
    sparse = copy.deepcopy(usual)
    layer = SparseLinear(sparse.weight, mask)
    layer.dense_gradient = dense
    run_sparse(sparse, layer)
    results = []
    for module in (usual, sparse):
        inputs = torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.double, requires_grad=True)
        outputs = module(inputs)
        (outputs**3).sum().backward()
        results.append([outputs, inputs.grad, *(p.grad for p in module.parameters())])
    if not dense:
        results[0][2] = results[0][2] * mask
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_no_product_over_the_whole_weight_is_made():
    training = Training("sparse", dtype=torch.float32)
    training.step()
    assert len(running(training)) == 3
    with torch.profiler.profile() as profile:
        training.step()
    names = {event.name for event in profile.events()}
    assert "aten::sparse_sampled_addmm" in names
    assert not names & {"aten::mm", "aten::addmm", "aten::matmul"}
