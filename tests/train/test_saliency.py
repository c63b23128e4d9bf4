"""SNIP, GraSP and SynFlow: masks against scores by hand, and what looking at a network must leave alone."""

import math

import numpy as np
import pytest
import torch
from numpy_saliency import NAMES, cross_entropy, grasp_removal, snip, synflow_masks, together
from torch import nn

from masktools.errors import RecipeError, TrainingError
from masktools_train.algorithms import SNIP, GraSP, Static, SynFlow
from masktools_train.probe import Probe
from masktools_train.sparsifier import Sparsifier

CLASSES = 4


def mlp(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(7, 9), nn.ReLU(), nn.Linear(9, CLASSES)).double()


def examples(count=24, seed=2):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, 7)), random.integers(0, CLASSES, count)


def batches(inputs, targets, size=1000):
    pairs = torch.from_numpy(inputs), torch.from_numpy(targets)
    return list(zip(*(torch.split(part, size) for part in pairs), strict=True))


def sparse(model, algorithm, density=0.3, **options):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    return Sparsifier(model, optimizer, algorithm, density=density, total_steps=10, **options)


def values(model):
    return {name: value.detach().numpy().copy() for name, value in model.named_parameters()}


def equal(sparsifier, masks):
    for name, mask in sparsifier.masks().items():
        np.testing.assert_array_equal(mask.numpy(), masks[name], err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_snip_is_the_magnitude_of_weight_times_gradient(seed):
    model, (inputs, targets) = mlp(seed), examples(seed=seed)
    start = values(model)
    sparsifier = sparse(model, SNIP(), batches=batches(inputs, targets, 10))
    scores = snip(start, inputs[:10], targets[:10])  # the first batch alone
    equal(sparsifier, together(scores, 30))  # .3 of 99, rounded up
    # The gradient alone would be another mask.
    _, gradients = cross_entropy(start, inputs[:10], targets[:10])
    other = together({name: abs(gradients[name]) for name in NAMES}, 30)
    assert any((mask.numpy() != other[name]).any() for name, mask in sparsifier.masks().items())
    assert sparsifier.active == sparsifier.target == 30
    for name, value in model.named_parameters():
        mask = sparsifier.masks()[name].numpy() if name in NAMES else True
        np.testing.assert_array_equal(value.detach().numpy(), start[name] * mask)


@pytest.mark.parametrize("algorithm", [SNIP(), GraSP()], ids=lambda a: a.name)
def test_equal_scores_go_to_the_lower_index(algorithm):
    """No hidden unit is alive, so all scores are 0; a comparison with a threshold would keep all or nothing."""
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(-100)
    sparsifier = sparse(model, algorithm, batches=batches(*examples()))
    assert sparsifier.active == 30
    assert sparsifier.masks()["0.weight"].view(-1).nonzero().view(-1).tolist() == list(range(30))


@pytest.mark.parametrize("temperature", [200.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_grasp_removes_the_largest_of_minus_weight_times_hessian_times_gradient(seed, temperature):
    model, (inputs, targets) = mlp(seed), examples(60, seed)
    start = values(model)
    rule = GraSP(temperature=temperature, per_class=6)
    # In batches of 7: which examples are the first of their class does not depend on it, nor does the mean over them.
    sparsifier = sparse(model, rule, batches=batches(inputs, targets, 7))
    chosen = np.sort(np.concatenate([np.flatnonzero(targets == number)[:6] for number in range(CLASSES)]))
    removal = grasp_removal(start, inputs[chosen], targets[chosen], temperature)
    equal(sparsifier, together({name: -removal[name] for name in NAMES}, 30))
    # The sign counts: some of what is kept has a score of large magnitude that unsigned pruning would not tell.
    unsigned = together({name: abs(removal[name]) for name in NAMES}, 30)
    assert any((mask.numpy() != unsigned[name]).any() for name, mask in sparsifier.masks().items())
    assert sparsifier.active == 30


@pytest.mark.parametrize("iterations", [1, 7, 100])
def test_synflow_equals_flow_by_hand(iterations):
    model, (inputs, targets) = mlp(), examples()
    start = values(model)
    sparsifier = sparse(model, SynFlow(iterations=iterations), density=0.1, batches=batches(inputs, targets))
    equal(sparsifier, synflow_masks(start, 10, iterations))
    assert sparsifier.active == 10


def test_synflow_keeps_counts_by_hand():
    rule = SynFlow(iterations=4)
    # .0625 ** (1 / 4) = 1/2
    assert [rule.kept(1600, 100, number) for number in range(4)] == [800, 400, 200, 100]


def test_synflow_does_not_overflow_in_deep_networks():
    """In single precision a path sum of 256 ** 30 would be infinite."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(256, 256) for _ in range(30)])
    with torch.no_grad():
        for layer in model:
            layer.weight.abs_().add_(1)
    data = [(torch.zeros(2, 256), torch.zeros(2, dtype=torch.int64))]
    sparsifier = sparse(model, SynFlow(iterations=2), density=0.5, batches=data)
    assert sparsifier.active == sparsifier.target
    assert all(layer.count > 0 for layer in sparsifier.layers)


def test_synflow_looks_in_evaluation_mode_and_at_no_data():
    def masks(inputs, mean):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), nn.Dropout(0.5), nn.Linear(9, 4))
        model[1].running_mean.copy_(torch.linspace(0, mean, 9))
        return sparse(model, SynFlow(), batches=[(inputs, torch.zeros(len(inputs), dtype=torch.int64))]).masks()

    one = masks(torch.randn(5, 7), 0)
    assert all(torch.equal(mask, one[name]) for name, mask in masks(torch.zeros(2, 7), 0).items())
    # Statistics are those that the layer has stored, not those of the ones, which would all be equal.
    assert any(not torch.equal(mask, one[name]) for name, mask in masks(torch.zeros(2, 7), 9).items())


@pytest.mark.parametrize("algorithm", [SNIP(), GraSP(per_class=3), SynFlow(iterations=3)], ids=lambda a: a.name)
def test_looking_leaves_the_network_as_it_was(algorithm):
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
    )
    model[1].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    data = [(torch.randn(8, 1, 6, 6), torch.arange(8) % 3)]
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    sparsifier = sparse(model, algorithm, batches=data)
    assert torch.equal(torch.rand(3), expected)
    masks = sparsifier.masks()
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name] * masks[name] if name in masks else state[name]), name
    assert [module.training for module in model] == [True, False, True, True, True, True]
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert sparsifier.active == sparsifier.target
    # The same network and data give the same mask, dropout or not.
    again = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3)
    )
    again.load_state_dict(state)
    again[1].eval()
    assert all(torch.equal(mask, masks[name]) for name, mask in sparse(again, algorithm, batches=data).masks().items())


@pytest.mark.parametrize("algorithm", [SNIP(), GraSP(), SynFlow()], ids=lambda a: a.name)
@pytest.mark.parametrize("distribution", ["uniform", "erk"])
def test_layers_may_have_budgets_of_their_own(distribution, algorithm):
    plan = sparse(mlp(), Static(), distribution=distribution)
    data = batches(*examples())
    found = sparse(mlp(), algorithm, distribution=distribution, batches=data)
    assert [layer.count for layer in found.layers] == [layer.count for layer in plan.layers]
    dense = sparse(mlp(), algorithm, dense_layers=["last"], batches=data)
    assert [layer.count for layer in dense.layers] == [19, 36]


@pytest.mark.parametrize("algorithm", [SNIP(), GraSP(), SynFlow()], ids=lambda a: a.name)
def test_without_data_there_is_an_error(algorithm):
    for data in (None, []):
        with pytest.raises(RecipeError, match=f"algorithm '{algorithm.name}' looks at data .*give batches="):
            sparse(mlp(), algorithm, batches=data)
    # Given masks need no data.
    masks = {name: torch.ones(shape, dtype=torch.bool) for name, shape in zip(NAMES, ((9, 7), (4, 9)), strict=True)}
    assert sparse(mlp(), algorithm, masks=masks).active == 99


@pytest.mark.parametrize("algorithm", [SNIP(), GraSP(), SynFlow()], ids=lambda a: a.name)
def test_scores_that_are_not_finite_are_refused(algorithm):
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = math.inf
    with pytest.raises(TrainingError, match=f"algorithm '{algorithm.name}': the scores"):
        sparse(model, algorithm, batches=batches(*examples()))


def test_the_examples_of_each_class():
    targets = torch.tensor([2, 2, 0, 2, 0, 0, 5, 2])
    inputs = torch.arange(8.0).view(8, 1)
    for size in (1, 3, 8):
        data = list(zip(inputs.split(size), targets.split(size), strict=True))
        found, labels, batch = Probe(nn.Linear(1, 1), data, None, 0).examples("x", 2)
        assert found.view(-1).tolist() == [0, 1, 2, 4, 6]
        assert labels.tolist() == [2, 2, 0, 0, 5]
        assert batch == size
    with pytest.raises(RecipeError, match="targets must be class numbers"):
        Probe(nn.Linear(1, 1), [(inputs, inputs)], None, 0).examples("x", 2)


def test_a_loss_of_ones_own():
    model, (inputs, _) = mlp(), examples()
    wanted = np.zeros((24, CLASSES))
    data = batches(inputs, wanted)
    start = values(model)
    sparsifier = sparse(model, SNIP(), batches=data, loss=nn.functional.mse_loss)
    copy = mlp()
    nn.functional.mse_loss(copy(data[0][0]), data[0][1]).backward()
    scores = {name: abs(start[name] * dict(copy.named_parameters())[name].grad.numpy()) for name in NAMES}
    equal(sparsifier, together(scores, 30))
