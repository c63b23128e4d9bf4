"""Buffers are what they were after somebody looked at the network, however they were changed."""

import pytest
import torch
from torch import nn

from masktools_train.algorithms import SNIP
from masktools_train.kept_buffers import kept_buffers
from masktools_train.probe import Probe
from masktools_train.reevaluate.recalibration import recalibrated
from masktools_train.sparsifier import Sparsifier


class Counting(nn.Module):
    """Writes into one buffer, replaces another, makes a third, and adds a fourth."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.register_buffer("written", torch.zeros(2))
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("made", None)

    def forward(self, inputs):
        self.written += 1
        self.replaced = self.replaced + 1
        self.made = torch.ones(3)
        self.register_buffer("added", torch.ones(1), persistent=False)
        return self.norm(self.fc(inputs))


def state_of(model):
    return {name: (id(value), value.clone()) for name, value in model.named_buffers()}


def assert_same(model, before):
    after = state_of(model)
    assert list(after) == list(before)
    for name, (identity, value) in before.items():
        assert after[name][0] == identity, name
        assert torch.equal(after[name][1], value), name
    assert model.made is None


def by_probe(model):
    with Probe(model, None, None, 0).looking() as lent:
        lent(torch.randn(6, 4))
        assert int(lent.replaced[0]) == 1


def by_recalibration(model):
    with recalibrated(model, [torch.randn(6, 4), torch.randn(6, 4)]):
        assert int(model.replaced[0]) == int(model.norm.num_batches_tracked) == 2


def by_sparsifier(model):
    batches = [(torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]))]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    Sparsifier(model, optimizer, SNIP(), density=0.5, total_steps=3, batches=batches)


@pytest.mark.parametrize("look", [by_probe, by_recalibration, by_sparsifier])
def test_all_buffers_are_put_back(look):
    model = Counting()
    before = state_of(model)
    look(model)
    assert_same(model, before)


def test_all_buffers_are_put_back_after_an_error():
    model = Counting()
    before = state_of(model)

    def fail():
        with kept_buffers(model):
            model(torch.randn(6, 4))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert_same(model, before)


def test_a_model_may_have_a_buffer_that_nobody_can_write_into():
    model = Counting()
    model.register_buffer("expanded", torch.ones(1).expand(3))
    before = state_of(model)
    with kept_buffers(model):
        model(torch.randn(6, 4))
    assert_same(model, before)
