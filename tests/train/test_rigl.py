"""RigL by hand: how many, which, what becomes of them, and when."""

import math

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given
from torch import nn

from masktools_train.algorithms import RigL
from masktools_train.algorithms.rigl import exchange
from masktools_train.sparsifier import Sparsifier


def test_how_many_are_exchanged():
    rule = RigL(alpha=0.3, delta_t=100, t_end=0.75)
    # T_end is step 750 of 1000: the full share at the start, half of it half way, nothing at the end.
    assert rule.exchanged(1001, 0, 1000) == 300  # int(300.3)
    assert rule.exchanged(1001, 250, 1000) == 225  # cos(pi / 3) = 1/2: int(150.15 * 1.5)
    assert rule.exchanged(1001, 375, 1000) == 150  # cos(pi / 2) = 0
    assert rule.exchanged(1001, 500, 1000) == 75  # int(150.15 * .5)
    assert rule.exchanged(1001, 750, 1000) == 0
    assert rule.exchanged(3, 0, 1000) == 0  # int(.9): truncated, not rounded
    assert rule.exchanged(4, 0, 1000) == 1


@given(
    st.integers(0, 10**6),
    st.floats(0.01, 1),
    st.floats(0.05, 1),
    st.integers(1, 5000),
    st.floats(0, 1, exclude_max=True),
)
def test_the_count_follows_the_formula(active, alpha, t_end, total, progress):
    step = int(progress * t_end * total)
    k = RigL(alpha=alpha, t_end=t_end).exchanged(active, step, total)
    # cos^2(x / 2) = (1 + cos x) / 2; truncated, give or take the rounding of the cosine.
    exact = active * alpha * math.cos(math.pi * step / (t_end * total) / 2) ** 2
    assert exact - 1 - 1e-9 * active <= k <= exact + 1e-9 * active
    assert 0 <= k <= active


def test_when_the_masks_are_updated():
    rule = RigL(delta_t=10, t_end=0.5)
    assert [step for step in range(1, 101) if rule.reads_dense_gradient(step, 100)] == [10, 20, 30, 40]
    late = RigL(delta_t=25, t_end=1.0)
    assert [step for step in range(1, 101) if late.reads_dense_gradient(step, 100)] == [25, 50, 75]


def test_the_smallest_are_dropped_and_the_largest_gradients_grown():
    mask = torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0])
    weight = torch.tensor([0.5, -0.1, 2.0, 0.2, 9, 9, 9, 9])  # what is masked plays no part, whatever it holds
    gradient = torch.tensor([8.0, 0.0, 9.0, 0.0, 0.1, -3.0, 2.0, 0.0])
    assert exchange(mask, weight, gradient, 4, 2).int().tolist() == [1, 0, 1, 0, 0, 1, 1, 0]
    assert exchange(mask, weight, gradient, 4, 1).int().tolist() == [1, 0, 1, 1, 0, 1, 0, 0]
    assert exchange(mask, weight, gradient, 4, 0).int().tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    # A weight that was just dropped is free again, and its gradient may be the largest of all.
    gradient[1] = 5.0
    assert exchange(mask, weight, gradient, 4, 2).int().tolist() == [1, 1, 1, 0, 0, 1, 0, 0]


def test_active_weights_of_zero_count_and_are_not_taken_for_inactive():
    mask = torch.tensor([0.0, 1, 1, 1])
    weight = torch.zeros(4)
    # All three active weights tie at 0: the highest indices go, and the inactive one cannot be "kept".
    assert exchange(mask, weight, torch.tensor([7.0, 0, 0, 0]), 3, 1).int().tolist() == [1, 1, 1, 0]
    # All gradients tie: the lowest free index grows.
    assert exchange(mask, weight, torch.zeros(4), 3, 1).int().tolist() == [1, 1, 1, 0]
    assert exchange(mask, weight, torch.zeros(4), 3, 2).int().tolist() == [1, 1, 1, 0]


@given(st.integers(2, 40), st.data())
def test_an_exchange_keeps_the_count_and_drops_no_larger_weight_than_it_keeps(size, data):
    count = data.draw(st.integers(1, size - 1))
    k = data.draw(st.integers(0, min(count, size - count)))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    mask = np.zeros(size)
    mask[random.choice(size, count, replace=False)] = 1
    weight, gradient = random.integers(-3, 4, size) * mask, random.integers(-3, 4, size) * 1.0
    new = exchange(*(torch.from_numpy(a) for a in (mask, weight, gradient)), count, k).numpy()
    assert new.sum() == count
    dropped, stayed = (mask == 1) & ~new, (mask == 1) & new
    assert dropped.sum() <= k
    if dropped.any():
        # Regrown weights aside, what goes is no larger than what stays.
        assert np.sort(abs(weight[stayed]))[::-1][: count - k].min(initial=9) >= abs(weight[dropped]).max()
    grown, free = new & (mask == 0), ~new
    if grown.any() and (free & (mask == 0)).any():
        assert abs(gradient[grown]).min() >= abs(gradient[free & (mask == 0)]).max()


class Layer:
    """One linear layer of 2 x 4 weights, all of them chosen, RigL at its second step."""

    def __init__(self, optimizer=torch.optim.SGD, **options):
        self.model = nn.Linear(4, 2).double()
        with torch.no_grad():
            self.model.weight.copy_(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]))
            self.model.bias.copy_(torch.tensor([1.0, 2.0]))
        self.optimizer = optimizer(self.model.parameters(), **options)
        mask = torch.tensor([[True, True, True, True], [False] * 4])
        rule = RigL(alpha=1.0, delta_t=2, t_end=1.0)
        self.sparsifier = Sparsifier(
            self.model, self.optimizer, rule, density=0.5, distribution="uniform", total_steps=6, masks={"weight": mask}
        )

    def step(self, weight, bias=(0.0, 0.0)):
        self.model.weight.grad = torch.tensor(weight, dtype=torch.float64)
        self.model.bias.grad = torch.tensor(bias, dtype=torch.float64)
        self.optimizer.step()

    def slot(self, name, parameter="weight"):
        self.optimizer.state_dict()  # clears what it has of inactive weights
        return self.optimizer.state[getattr(self.model, parameter)][name].clone()


ONES = [[1.0] * 4, [1.0] * 4]


def test_an_update_takes_the_place_of_the_step():
    layer = Layer(lr=0.125, momentum=0.5, weight_decay=0.25)
    layer.step(ONES, (1.0, 1.0))
    weight, bias = layer.model.weight.detach().clone(), layer.model.bias.detach().clone()
    momentum, of_bias = layer.slot("momentum_buffer"), layer.slot("momentum_buffer", "bias")
    # k = int(4 * .5 * (1 + cos(pi 2 / 6))) = 3: one weight stays. 0.4 is the largest; dropped, 0.1 grows back.
    layer.step([[9.0, 0.0, 0.0, 5.0], [0.0, 8.0, 0.0, 7.0]], (9.0, 9.0))
    mask = layer.sparsifier.masks()["weight"]
    assert mask.int().tolist() == [[1, 0, 0, 1], [0, 1, 0, 1]]
    # No decay, no gradient, no momentum: bias and the two old weights are what they were, and so is their momentum.
    assert torch.equal(layer.model.bias.detach(), bias)
    assert torch.equal(layer.slot("momentum_buffer", "bias"), of_bias)
    survivors = torch.tensor([[1.0, 0, 0, 1], [0, 0, 0, 0]], dtype=torch.float64)
    assert torch.equal(layer.model.weight.detach(), weight * survivors)
    assert torch.equal(layer.slot("momentum_buffer"), momentum * survivors)
    assert (layer.slot("momentum_buffer")[survivors.bool()] != 0).all()
    assert layer.sparsifier.step == 2
    assert layer.sparsifier.dense_gradient_steps == 1
    # The next step trains the new weights from 0.
    layer.step(ONES)
    assert layer.model.weight[1].tolist() == [0.0, -0.125, 0.0, -0.125]


def test_an_update_leaves_no_gradient_behind():
    layer = Layer(lr=0.125)
    layer.step(ONES)
    layer.step(ONES)
    assert all(parameter.grad is None for parameter in layer.model.parameters())


def test_adam_counts_no_step_and_clears_the_slots_of_new_weights():
    layer = Layer(torch.optim.AdamW, lr=0.125, amsgrad=True)
    layer.step(ONES)
    assert layer.slot("step") == 1
    layer.step([[0.0] * 4, [3.0, 2.0, 1.0, 0.0]])
    assert layer.slot("step") == 1
    mask = layer.sparsifier.masks()["weight"]
    assert mask.int().tolist() == [[0, 0, 0, 1], [1, 1, 1, 0]]
    for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        slot = layer.slot(name)
        assert slot[0, 3] != 0
        slot[0, 3] = 0
        assert not slot.any(), name
    layer.step(ONES)
    for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq"):
        assert not layer.slot(name)[~mask].any()
        assert (layer.slot(name)[mask] != 0).all()


def test_updates_stop_before_t_end():
    model = nn.Linear(20, 20)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    sparsifier = Sparsifier(model, optimizer, RigL(delta_t=1, t_end=0.5, alpha=1.0), density=0.2, total_steps=20)
    changed = []
    for number in range(1, 21):
        before = sparsifier.masks()["weight"]
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
        optimizer.step()
        if not torch.equal(before, sparsifier.masks()["weight"]):
            changed.append(number)
    assert changed == list(range(1, 10))
    assert sparsifier.dense_gradient_steps == 9


def test_layers_without_a_gradient_and_dense_layers_keep_their_mask():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(
        model, optimizer, RigL(delta_t=1, alpha=1.0), density=0.4, total_steps=50, dense_layers=["2.weight"]
    )
    before = sparsifier.masks()
    model[0].weight.grad = torch.arange(36.0).view(6, 6)
    model[2].weight.grad = torch.arange(36.0).view(6, 6)
    optimizer.step()
    after = sparsifier.masks()
    assert not torch.equal(before["0.weight"], after["0.weight"])
    assert torch.equal(before["1.weight"], after["1.weight"])
    assert bool(after["2.weight"].all())
