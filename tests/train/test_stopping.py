"""Another optimizer, saved states, freezing and going back: the sparsifier over more than one stretch."""

import copy

import pytest
import torch
from torch import nn
from user_loop import net, sparse, step

from masktools_train.algorithms import DNW, RigL, Static


def test_detached_hooks_do_nothing_and_attached_ones_work_once():
    model = net()
    built, sparsifier = sparse(model, Static())
    step(model, built, 0)
    other = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier.attach(other, step=40)
    step(model, other, 1)
    assert sparsifier.step == 41
    step(model, built, 2)  # no longer ours
    assert sparsifier.step == 41
    assert any(layer.parameter.detach()[~sparsifier.masks()[layer.name]].any() for layer in sparsifier.layers)
    sparsifier.attach(other, step=0)
    assert not any(layer.parameter.detach()[~sparsifier.masks()[layer.name]].any() for layer in sparsifier.layers)
    sparsifier.detach()
    step(model, other, 3)
    assert sparsifier.step == 0


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (Static(), {}),
        (RigL(delta_t=3, alpha=0.8), {}),
        (RigL(delta_t=3, alpha=0.8), {"freeze_step": 4}),
        (DNW(), {}),
        (DNW(), {"distribution": "global"}),
        (DNW(), {"freeze_step": 10}),
        (DNW(), {"freeze_step": 4}),
    ],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_saved_state_goes_on_to_the_same_bits(algorithm, options, optimizer, tmp_path):
    def go_on(model, built, first, last):
        for number in range(first, last):
            step(model, built, number)

    model = net()
    built, sparsifier = sparse(model, algorithm, optimizer=optimizer, **options)
    go_on(model, built, 0, 7)
    parts = {"model": model.state_dict(), "optimizer": built.state_dict(), "sparsifier": sparsifier.state_dict()}
    torch.save(parts, tmp_path / "state.pt")
    go_on(model, built, 7, 20)

    copy = net(seed=99)
    other, second = sparse(copy, algorithm, optimizer=optimizer, **options)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    copy.load_state_dict(saved["model"])
    other.load_state_dict(saved["optimizer"])
    second.load_state_dict(saved["sparsifier"])
    go_on(copy, other, 7, 20)
    for a, b in zip(model.state_dict().values(), copy.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert (second.step, second.dense_gradient_steps) == (sparsifier.step, sparsifier.dense_gradient_steps)
    for one, two in zip(sparsifier.layers, second.layers, strict=True):
        assert torch.equal(one.mask, two.mask)
        assert one.count == two.count
        assert (one.dense is None) == (two.dense is None)
        assert one.dense is None or torch.equal(one.dense, two.dense)


@pytest.mark.parametrize("algorithm", [RigL(delta_t=3, alpha=0.8), DNW()], ids=lambda a: a.name)
def test_a_state_from_before_freezing_thaws(algorithm):
    """Going back to an earlier state of the same objects goes back to everything, dense gradients included."""
    model = net()
    built, sparsifier = sparse(model, algorithm, freeze_step=8)
    for number in range(4):
        step(model, built, number)
    early = copy.deepcopy([model.state_dict(), built.state_dict(), sparsifier.state_dict()])
    for number in range(4, 12):
        step(model, built, number)
    late = [value.clone() for value in model.state_dict().values()]
    for part, state in zip((model, built, sparsifier), early, strict=True):
        part.load_state_dict(state)
    assert not sparsifier.frozen
    for number in range(4, 12):
        step(model, built, number)
    assert all(torch.equal(a, b) for a, b in zip(late, model.state_dict().values(), strict=True))
    assert sparsifier.frozen


@pytest.mark.parametrize("algorithm", [RigL(delta_t=3), DNW()], ids=lambda a: a.name)
def test_a_frozen_network_trains_under_autocast(algorithm):
    model = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    built, sparsifier = sparse(model, algorithm, freeze_step=2)
    masks = None
    for number in range(6):
        built.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(torch.randn(8, 12, generator=torch.Generator().manual_seed(number))).square().mean()
        loss.backward()
        built.step()
        if number >= 2:
            assert all(torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
        masks = sparsifier.masks()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@pytest.mark.parametrize("algorithm", [RigL(delta_t=2, alpha=0.9), DNW()], ids=lambda a: a.name)
def test_starting_over_with_another_optimizer_thaws_too(algorithm):
    model = net()
    built, sparsifier = sparse(model, algorithm, freeze_step=3)
    for number in range(5):
        step(model, built, number)
    masks, spent = sparsifier.masks(), sparsifier.dense_gradient_steps
    other = torch.optim.SGD(model.parameters(), 0.3)
    sparsifier.attach(other, step=0)
    assert all(torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
    for number in range(4):
        step(model, other, number)
        if number == 0 and algorithm.name == "dnw":
            # All weights train again, the former inactive ones from 0.
            hidden = [layer.dense[~masks[layer.name]] for layer in sparsifier.layers]
            assert all(int(values.count_nonzero()) > 0.1 * len(values) for values in hidden)
    assert sparsifier.dense_gradient_steps == spent + (3 if algorithm.name == "dnw" else 1)
    if algorithm.name == "rigl":
        assert any(not torch.equal(mask, masks[name]) for name, mask in sparsifier.masks().items())
    assert [layer.dense for layer in sparsifier.layers] == [None] * 3
