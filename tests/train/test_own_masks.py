"""Recording models whose masks others made: torch's pruning, parametrizations, masks by name, wrappers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from masktools.errors import RecipeError
from masktools.runs import open_run
from masktools.verification import verify
from masktools_train import Recorder, Sparsifier, UntracedWarning, trace
from masktools_train.algorithms import RigL, Static

EXAMPLE = torch.rand(2, 1, 4, 4)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 3)
    )


LAYERS = ("0.weight", "4.weight", "5.weight")


def recorded(path, model, *args, epoch=1, **options):
    Recorder(path, model, *args, **options).snapshot(epoch)
    assert not verify(path).problems
    return open_run(path).final


def train(model):
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 4, 4)).square().mean().backward()
        optimizer.step()


def by_custom_mask(model):
    random = torch.Generator().manual_seed(1)
    for module in (model[0], model[4]):
        prune.custom_from_mask(module, "weight", torch.rand(module.weight.shape, generator=random) < 0.4)


def globally(model):
    prune.global_unstructured([(model[0], "weight"), (model[4], "weight")], prune.L1Unstructured, amount=0.6)


def again_and_again(model):
    globally(model)
    for module in (model[0], model[4]):
        prune.l1_unstructured(module, "weight", amount=0.5)
    assert any(isinstance(hook, prune.PruningContainer) for hook in model[4]._forward_pre_hooks.values())


def structurally(model):
    prune.ln_structured(model[0], "weight", amount=0.5, n=2, dim=0)
    prune.random_structured(model[4], "weight", amount=0.25, dim=1)


@pytest.mark.parametrize("kind", ["active", "dense"])
@pytest.mark.parametrize("pruned", [by_custom_mask, globally, again_and_again, structurally])
def test_the_masks_of_torchs_own_pruning(pruned, kind, tmp_path):
    model = net()
    pruned(model)
    prune.random_unstructured(model[4], "bias", amount=2)
    train(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    snapshot = recorded(tmp_path, model, weights=kind, example=EXAMPLE)
    assert tuple(snapshot.layers) == LAYERS == tuple(snapshot.topology.layers)
    for number in (0, 4):
        mask = before[f"{number}.weight_mask"].numpy() == 1
        original = before[f"{number}.weight_orig"].numpy()
        assert 0 < mask.sum() < mask.size
        np.testing.assert_array_equal(snapshot.mask(f"{number}.weight"), mask)
        expected = original if kind == "dense" else original * mask
        np.testing.assert_array_equal(snapshot.weight(f"{number}.weight"), expected)
    assert snapshot.mask("5.weight").all()
    others = snapshot.tensors()
    assert set(others) == set(net().state_dict()) - set(LAYERS)
    np.testing.assert_array_equal(others["4.bias"], (before["4.bias_orig"] * before["4.bias_mask"]).numpy())
    # Looking left the model as it was, and still masked.
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert prune.is_pruned(model)


def test_what_is_no_layer_of_a_network_is_one_where_it_is_masked(tmp_path):
    model = nn.ModuleDict({"table": nn.Embedding(5, 4), "other": nn.Embedding(5, 4), "norm": nn.LayerNorm(4)})
    model["fc"] = nn.Linear(4, 3)
    prune.random_unstructured(model["table"], "weight", amount=7)
    prune.random_unstructured(model["norm"], "weight", amount=1)
    snapshot = recorded(tmp_path, model)
    assert list(snapshot.layers) == ["table.weight", "fc.weight"]
    np.testing.assert_array_equal(snapshot.mask("table.weight"), model["table"].weight_mask.bool().numpy())
    assert set(snapshot.tensors()) == {"other.weight", "norm.weight", "norm.bias", "fc.bias"}
    assert int((snapshot.tensors()["norm.weight"] == 0).sum()) == 1


def test_pruning_at_the_start_keeps_the_initial_weights(tmp_path):
    model = net()
    start = model[4].weight.detach().clone()
    globally(model)
    snapshot = recorded(tmp_path, model, epoch=0)
    np.testing.assert_array_equal(snapshot.weight("4.weight"), start.numpy())
    assert not snapshot.mask("4.weight").all()


class Masking(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32])
def test_a_parametrization_with_a_mask(dtype, tmp_path):
    model = net()
    mask = (torch.rand(6, 64, generator=torch.Generator().manual_seed(2)) < 0.3).to(dtype)
    parametrize.register_parametrization(model[4], "weight", Masking(mask))
    train(model)
    snapshot = recorded(tmp_path, model, weights="dense", example=EXAMPLE)
    np.testing.assert_array_equal(snapshot.mask("4.weight"), mask.bool().numpy())
    original = model[4].parametrizations.weight.original.detach().numpy()
    np.testing.assert_array_equal(snapshot.weight("4.weight"), original)
    assert original[~mask.bool().numpy()].all()
    assert tuple(snapshot.layers) == LAYERS == tuple(snapshot.topology.layers)
    assert set(snapshot.tensors()) == set(net().state_dict()) - set(LAYERS)
    assert parametrize.is_parametrized(model[4])
    np.testing.assert_array_equal(model[4].weight.detach().numpy(), original * mask.numpy())


def test_a_chain_of_parametrizations_is_recorded_as_it_is_used(tmp_path):
    model = net()
    first, second = (torch.rand(2, 6, 64, generator=torch.Generator().manual_seed(3)) < 0.6).unbind()
    for step in (Masking(first), Doubled(), Masking(second)):
        parametrize.register_parametrization(model[4], "weight", step)
    snapshot = recorded(tmp_path, model)
    np.testing.assert_array_equal(snapshot.mask("4.weight"), (first & second).numpy())
    np.testing.assert_array_equal(snapshot.weight("4.weight"), model[4].weight.detach().numpy())


def test_a_weight_of_unknown_making_needs_masks_that_are_given(tmp_path):
    model = net()
    nn.utils.parametrizations.weight_norm(model[4])
    words = r"layer '4\.weight': its weight is made by parametrization _WeightNorm, which has no tensor 'mask'"
    with pytest.raises(RecipeError, match=words):
        Recorder(tmp_path / "a", model)
    mask = torch.rand(6, 64) < 0.5
    snapshot = recorded(tmp_path / "b", model, masks={"4.weight": mask})
    np.testing.assert_array_equal(snapshot.mask("4.weight"), mask.numpy())
    np.testing.assert_array_equal(snapshot.weight("4.weight"), (model[4].weight.detach() * mask).numpy())
    assert set(snapshot.tensors()) == set(net().state_dict()) - set(LAYERS)


def test_looking_at_a_spectral_norm_does_not_move_it(tmp_path):
    model = net()
    nn.utils.parametrizations.spectral_norm(model[4])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    recorded(tmp_path, model, masks="zeros")
    assert model.training
    assert model[4].parametrizations.weight.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_zeros_are_masks_on_request_alone(tmp_path):
    model = net()
    with torch.no_grad():
        model[4].weight[:, ::3] = 0
    assert recorded(tmp_path / "a", model).mask("4.weight").all()
    snapshot = recorded(tmp_path / "b", model, masks="zeros")
    np.testing.assert_array_equal(snapshot.mask("4.weight"), (model[4].weight != 0).numpy())
    # A mask that the model has says more than its zeros.
    pruned = net()
    globally(pruned)
    with torch.no_grad():
        pruned[4].weight_orig.zero_()
    snapshot = recorded(tmp_path / "c", pruned, masks="zeros")
    np.testing.assert_array_equal(snapshot.mask("4.weight"), pruned[4].weight_mask.bool().numpy())


def test_masks_by_name_and_by_a_function(tmp_path):
    model = net()
    masks = {"4.weight": torch.rand(6, 64) < 0.5, "0.weight": (torch.rand(4, 1, 3, 3) < 0.5).long()}
    # As a wrapped model would name them.
    snapshot = recorded(tmp_path / "a", model, masks={f"module._orig_mod.{name}": mask for name, mask in masks.items()})
    for name, mask in masks.items():
        np.testing.assert_array_equal(snapshot.mask(name), mask.bool().numpy())
    assert snapshot.mask("5.weight").all()

    now = dict(masks)
    recorder = Recorder(tmp_path / "b", model, masks=lambda: now)
    recorder.snapshot(0)
    now["4.weight"] = ~masks["4.weight"]
    recorder.snapshot(1)
    run = open_run(tmp_path / "b")
    np.testing.assert_array_equal(run.at(0).mask("4.weight"), masks["4.weight"].numpy())
    np.testing.assert_array_equal(run.at(1).mask("4.weight"), ~masks["4.weight"].numpy())


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ({"7.weight": torch.ones(2)}, r"the model has no layer '7\.weight'; it has 0\.weight, 4\.weight, 5\.weight"),
        ({"5.weight": torch.ones(6, 3)}, r"layer '5\.weight' has shape \(3, 6\), its mask \(6, 3\)"),
        ({"5.weight": torch.full((3, 6), 0.5)}, r"mask of layer '5\.weight' holds values other than 0 and 1"),
        ({"5.weight": torch.full((3, 6), torch.nan)}, "holds values other than 0 and 1"),
        ({"5.weight": np.ones((3, 6))}, "its mask ndarray"),
        ("zero", "masks 'zero': give 'zeros'"),
    ],
)
def test_masks_that_do_not_fit_are_refused_before_training(masks, words, tmp_path):
    with pytest.raises(RecipeError, match=words):
        Recorder(tmp_path, net(), masks=masks)
    assert list(tmp_path.iterdir()) == []


def compiled(model):
    return torch.compile(model, backend="eager")


WRAPPERS = {
    "parallel": nn.DataParallel,
    "compiled": compiled,
    "both": lambda model: compiled(nn.DataParallel(model)),
    "averaged": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_names_are_those_of_the_model_within(name, tmp_path):
    model, wrap = net(), WRAPPERS[name]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(
        wrap(model) if name != "averaged" else model, optimizer, Static(), density=0.5, total_steps=9
    )
    snapshot = recorded(tmp_path, wrap(model), sparsifier, example=EXAMPLE)
    assert tuple(snapshot.layers) == LAYERS == tuple(snapshot.topology.layers)
    assert set(snapshot.tensors()) == set(model.state_dict()) - set(LAYERS)
    for layer, mask in sparsifier.masks().items():
        np.testing.assert_array_equal(snapshot.mask(layer), mask.numpy())


def test_a_model_of_several_processes(tmp_path):
    """One that is alone, but wrapped as if it were not: its gradients come by way of the wrapper's buckets."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        ends = []
        for wrap in (lambda model: model, nn.parallel.DistributedDataParallel):
            model = net()
            outer = wrap(model)
            optimizer = torch.optim.SGD(outer.parameters(), 0.1, momentum=0.9)
            sparsifier = Sparsifier(outer, optimizer, RigL(delta_t=2), density=0.3, total_steps=20)
            torch.manual_seed(1)
            for _ in range(5):
                optimizer.zero_grad()
                outer(torch.randn(8, 1, 4, 4)).square().mean().backward()
                optimizer.step()
            ends.append(model)
        snapshot = recorded(tmp_path / "run", outer, sparsifier, example=EXAMPLE)
    finally:
        torch.distributed.destroy_process_group()
    assert all(torch.equal(a, b) for a, b in zip(ends[0].parameters(), ends[1].parameters(), strict=True))
    assert tuple(snapshot.layers) == LAYERS
    for layer, mask in sparsifier.masks().items():
        np.testing.assert_array_equal(snapshot.mask(layer), mask.numpy())


def test_a_part_that_is_compiled_and_a_part_that_is_called_module(tmp_path):
    model = nn.Module()
    model.module, model.head = net(), compiled(nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    sparsifier = Sparsifier(model, optimizer, Static(), density=0.5, total_steps=9, distribution="uniform")
    snapshot = recorded(tmp_path, model, sparsifier)
    assert tuple(snapshot.layers) == (*(f"module.{name}" for name in LAYERS), "head.weight")
    assert "head.bias" in snapshot.tensors()
    assert int(snapshot.mask("head.weight").sum()) == int(sparsifier.masks()["head.weight"].sum()) < 6


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")  # torch's advice, not ours to heed
def test_a_compiled_model_trains_as_the_plain_one():
    ends = []
    for wrap in (lambda model: model, compiled):
        model = wrap(net())
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        sparsifier = Sparsifier(model, optimizer, RigL(delta_t=2), density=0.3, total_steps=20)
        torch.manual_seed(1)
        for _ in range(7):
            optimizer.zero_grad()
            model(torch.randn(8, 1, 4, 4)).square().mean().backward()
            optimizer.step()
        ends.append((list(model.parameters()), sparsifier.masks()))
    assert all(torch.equal(a, b) for a, b in zip(ends[0][0], ends[1][0], strict=True))
    assert list(ends[0][1]) == list(ends[1][1])


def test_a_sparsifier_does_not_pass_over_what_is_masked_already():
    for spoil in (globally, lambda model: nn.utils.parametrizations.weight_norm(model[4])):
        model = net()
        spoil(model)
        with pytest.raises(RecipeError, match=r"weight '\d\.weight' is no parameter but made of others"):
            Sparsifier(model, torch.optim.SGD(model.parameters(), 0.1), Static(), density=0.5, total_steps=9)


def test_a_moving_average_of_weights(tmp_path):
    """What was active once is not 0 in it: the mask is a mask of now."""
    model = net()
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    sparsifier = Sparsifier(model, optimizer, RigL(delta_t=2, alpha=1.0), density=0.3, total_steps=20)
    # The first update copies, the others average.
    expected = None
    for _ in range(7):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 4, 4)).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(model)
        weight = model[4].weight.detach().numpy().copy()
        expected = weight if expected is None else (expected + weight) / 2
    mask = sparsifier.masks()["4.weight"].numpy()
    found = averaged.module[4].weight.detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert found[~mask].any()
    snapshot = recorded(tmp_path, averaged, masks=sparsifier.masks)
    np.testing.assert_array_equal(snapshot.mask("4.weight"), mask)
    np.testing.assert_array_equal(snapshot.weight("4.weight"), found * mask)
    # With the sparsifier itself too, whose dense values are not those of the average.
    whole = recorded(tmp_path / "dense", averaged, sparsifier, weights="dense")
    np.testing.assert_array_equal(whole.weight("4.weight"), found)
    bias = averaged.module[4].bias.detach().clone()
    sparsifier.apply_to(averaged)
    np.testing.assert_array_equal(averaged.module[4].weight.detach().numpy(), found * mask)
    assert torch.equal(averaged.module[4].bias, bias)
    with pytest.raises(RecipeError, match=r"the other model has no weight '0\.weight' of shape \(4, 1, 3, 3\)"):
        sparsifier.apply_to(nn.Sequential(nn.Linear(2, 2)))


def test_a_model_can_be_copied_after_its_masks_are_frozen():
    model = net()
    sparsifier = Sparsifier(
        model, torch.optim.SGD(model.parameters(), 0.1), RigL(), density=0.3, total_steps=20, freeze_step=0
    )
    copied = copy.deepcopy(model)
    with torch.no_grad():
        model[4].weight.zero_()
    assert copied(EXAMPLE).ne(model(EXAMPLE)).any()
    assert copied[4].forward.args[0] is copied[4]
    sparsifier.apply_to(copied)


def test_an_example_gives_the_graph_and_a_model_that_cannot_be_followed_a_warning(tmp_path):
    model = net()
    sparsifier = Sparsifier(
        model, torch.optim.SGD(model.parameters(), 0.1), Static(), density=0.3, total_steps=20, execution="sparse"
    )
    snapshot = recorded(tmp_path / "a", model, sparsifier, example=EXAMPLE)
    assert snapshot.topology == trace(net(), EXAMPLE)
    assert "forward" in vars(model[4])

    class Sorted(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, inputs):
            return self.fc(torch.linalg.matrix_exp(inputs.t() @ inputs))

    with pytest.warns(UntracedWarning, match="operator graph not recorded, connectivity will not be known") as caught:
        recorder = Recorder(tmp_path / "b", Sorted(), example=torch.rand(4, 3))
    assert [warning.filename for warning in caught] == [__file__]
    recorder.snapshot(0)
    assert open_run(tmp_path / "b").final.topology is None
