"""DNW by hand: what is selected, and that all weights train behind it."""

import pytest
import torch
from torch import nn

from masktools_train.algorithms import DNW
from masktools_train.sparsifier import Sparsifier


def one_layer(weight, **options):
    model = nn.Linear(len(weight[0]), len(weight), bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor(weight))
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.5, **options})
    return model, optimizer, Sparsifier(model, optimizer, DNW(), density=0.5, total_steps=10)


def test_inactive_weights_get_the_gradient_of_the_effective_network_and_come_back():
    model, optimizer, sparsifier = one_layer([[3.0, 2.0, 1.0, 0.5]])
    assert model.weight.tolist() == [[3.0, 2.0, 0.0, 0.0]]
    inputs = torch.ones(1, 4, dtype=torch.float64)
    (model(inputs) * torch.tensor([-2.0])).sum().backward()
    # d(loss)/dw = -2 for all four, masked or not: straight through.
    assert model.weight.grad.tolist() == [[-2.0] * 4]
    model.weight.grad = torch.tensor([[4.0, 0.0, -4.0, 0.0]], dtype=torch.float64)
    optimizer.step()
    assert sparsifier.layers[0].dense.tolist() == [[1.0, 2.0, 3.0, 0.5]]
    assert model.weight.tolist() == [[0.0, 2.0, 3.0, 0.0]]
    assert sparsifier.masks()["weight"].tolist() == [[False, True, True, False]]


def test_momentum_and_decay_go_on_behind_the_mask():
    model, optimizer, sparsifier = one_layer([[4.0, 3.0, 1.0, -1.0]], momentum=0.5, weight_decay=0.5)
    for _ in range(2):
        model.weight.grad = torch.zeros(1, 4, dtype=torch.float64)
        optimizer.step()
    # v1 = .5 w; w1 = w - .25 w = .75 w; v2 = .25 w + .375 w = .625 w; w2 = .4375 w
    assert sparsifier.layers[0].dense.tolist() == [[1.75, 1.3125, 0.4375, -0.4375]]
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == [[2.5, 1.875, 0.625, -0.625]]
    assert model.weight.tolist() == [[1.75, 1.3125, 0.0, 0.0]]


def test_equal_magnitudes_go_to_the_lowest_index_and_never_one_too_many():
    _, _, sparsifier = one_layer([[1.0, -1.0], [-1.0, 1.0]])
    assert sparsifier.masks()["weight"].tolist() == [[True, True], [False, False]]
    _, _, zeros = one_layer([[0.0, 0.0], [0.0, 5.0]])
    assert zeros.masks()["weight"].tolist() == [[True, False], [False, True]]


def layers(*weights, **options):
    model = nn.Sequential(*(nn.Linear(len(w[0]), len(w), bias=False) for w in weights)).double()
    with torch.no_grad():
        for module, weight in zip(model, weights, strict=True):
            module.weight.copy_(torch.tensor(weight))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    return model, optimizer, Sparsifier(model, optimizer, DNW(), total_steps=10, **options)


def test_uniform_selects_in_each_layer_and_global_over_all():
    small, large = [[0.1, 0.2], [0.3, 0.4]], [[5.0, 6.0], [7.0, 0.05]]
    _, _, uniform = layers(small, large, density=0.5)
    assert uniform.masks()["0.weight"].tolist() == [[False, False], [True, True]]
    assert uniform.masks()["1.weight"].tolist() == [[False, True], [True, False]]
    model, optimizer, together = layers(small, large, density=0.5, distribution="global")
    assert together.masks()["0.weight"].tolist() == [[False, False], [False, True]]
    assert together.masks()["1.weight"].tolist() == [[True, True], [True, False]]
    # The share of a layer moves with its weights; the sum does not.
    model[0].weight.grad = torch.full((2, 2), -20.0, dtype=torch.float64)
    model[1].weight.grad = torch.zeros(2, 2, dtype=torch.float64)
    optimizer.step()
    assert [layer.count for layer in together.layers] == [4, 0]
    assert together.active == together.target == 4


def test_a_dense_layer_does_not_compete_nor_count():
    _, _, sparsifier = layers(
        [[9.0, 9.0], [9.0, 9.0]],
        [[1.0, 2.0], [3.0, 4.0]],
        density=0.5,
        distribution="global",
        dense_layers=["0.weight"],
    )
    assert sparsifier.target == 6
    assert bool(sparsifier.masks()["0.weight"].all())
    assert sparsifier.masks()["1.weight"].tolist() == [[False, False], [True, True]]
    assert [layer.prunable for layer in sparsifier.layers] == [False, True]


@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_given_masks_are_used_until_the_first_step_selects_anew(distribution):
    weight = [[4.0, 3.0], [2.0, 1.0]]
    model = nn.Sequential(nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(weight))
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    masks = {"0.weight": torch.tensor([[False, False], [True, True]])}
    sparsifier = Sparsifier(model, optimizer, DNW(), density=0.5, total_steps=9, distribution=distribution, masks=masks)
    assert model[0].weight.tolist() == [[0.0, 0.0], [2.0, 1.0]]
    assert sparsifier.layers[0].dense.tolist() == weight
    model[0].weight.grad = torch.zeros(2, 2, dtype=torch.float64)
    optimizer.step()
    assert model[0].weight.tolist() == [[4.0, 3.0], [0.0, 0.0]]


def test_freezing_keeps_the_mask_and_gives_up_what_is_behind_it():
    model = nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
    optimizer = torch.optim.SGD(model.parameters(), 0.5, momentum=0.5)
    sparsifier = Sparsifier(model, optimizer, DNW(), density=0.5, total_steps=9, freeze_step=2)
    for gradient in ([0.0, 0, 0, 0], [0, 0, -8.0, -8.0]):
        model.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    # The second step still selects: 4, 3, 6, 5. From then on these are all there is.
    assert model.weight.tolist() == [[0.0, 0.0, 6.0, 5.0]]
    assert sparsifier.layers[0].dense is None
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == [[0.0, 0.0, -8.0, -8.0]]
    assert sparsifier.dense_gradient_steps == 2
    for _ in range(3):
        model.weight.grad = torch.tensor([[-100.0, -100.0, 0.0, 0.0]], dtype=torch.float64)
        optimizer.step()
        assert model.weight[0, :2].tolist() == [0.0, 0.0]
    optimizer.state_dict()
    assert optimizer.state[model.weight]["momentum_buffer"][0, :2].tolist() == [0.0, 0.0]
    assert model.weight[0, 2:].tolist() == [6 + 3.5, 5 + 3.5]  # momentum alone: .5 * (4 + 2 + 1)
    assert sparsifier.dense_gradient_steps == 2
    assert sparsifier.masks()["weight"].tolist() == [[False, False, True, True]]
