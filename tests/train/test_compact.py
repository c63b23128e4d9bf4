"""The smaller network is the same function, and holds nothing that it does not need."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from small_networks import Net
from small_runs import recipe
from sparse_networks import DenseBlocks, Tied, UpAndDown, sparse
from torch import nn

from masktools.errors import RecipeError, RunError, StructureError
from masktools.runs import open_run
from masktools.structure.compaction import multiply_accumulates
from masktools.topology.permutation_groups import permutation_groups
from masktools.topology.reach import backward
from masktools_train import compact, compact_model, train
from masktools_train.compacting import compact as running
from masktools_train.compacting import network
from masktools_train.compacting.proof import Proof, check, outputs, seconds_per_batch
from masktools_train.models import build_model
from masktools_train.models.conv import Conv
from masktools_train.sparse_layer import prunable_weights

PICTURE = (3, 16, 16)


def built(name, shape=PICTURE, **options):
    return lambda: build_model(name, options, shape, 5)


NETWORKS = {
    "mlp": (built("mlp", (20,), widths=[200, 100]), 0.02, (20,)),
    "conv-4": (lambda: Conv(PICTURE, 5, (24, 32)), 0.02, PICTURE),
    "lenet-5": (built("lenet-5", (1, 28, 28)), 0.1, (1, 28, 28)),
    "resnet20": (built("resnet20"), 0.02, PICTURE),
    "mobilenet-v2": (built("mobilenet-v2", width=0.25), 0.2, PICTURE),
    "vit-tiny": (built("vit-tiny", patch=4, dim=24, depth=2, heads=3), 0.02, PICTURE),
    "concatenated": (DenseBlocks, 0.02, PICTURE),
    "up and down": (UpAndDown, 0.02, PICTURE),
    "tied": (Tied, 0.04, (20,)),
}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request):
    """A sparse network, its masks, inputs, and what became of it."""
    build, density, shape = NETWORKS[request.param]
    torch.manual_seed(0)
    model = build()
    masks = sparse(model, density)
    inputs = torch.randn(12, *shape, generator=torch.Generator().manual_seed(1))
    return model, masks, inputs, compact_model(model, inputs, masks)


def apart(one, other, inputs):
    return float((outputs(one, inputs) - outputs(other, inputs)).abs().max())


def test_the_function_is_the_same(case):
    model, _, inputs, found = case
    fresh = torch.randn(9, *inputs.shape[1:], generator=torch.Generator().manual_seed(2))
    largest = max(1.0, float(outputs(model, fresh).abs().max()))
    assert apart(model, found.model, fresh) <= 1e-5 * largest
    assert apart(*found.exact, fresh.double()) <= 1e-10 * largest
    # It says something only where the inputs make a difference.
    assert outputs(model, fresh).std(dim=0).max() > 1e-4
    assert found.units_after < found.units_before


def test_what_is_left_is_needed(case):
    """Every unit leads to an output where a layer makes it, or is the last of its set."""
    _, masks, _, found = case
    topology = found.topology
    if any(node.label == "layer_norm" for node in topology.nodes):
        pytest.skip("a unit that leads nowhere but to a norm is needed all the same")
    shapes = {name: mask.shape for name, mask in found.masks.items()}
    reaching = backward(topology, found.masks)
    for group in permutation_groups(topology, shapes):
        useful = np.zeros(group.size, dtype=bool)
        for member in group.members:
            if member.axis == 0:
                for node, field in zip(topology.nodes, reaching, strict=True):
                    if node.weight == member.layer:
                        part = field.anywhere[member.start : member.start + group.size * member.block]
                        useful |= part.reshape(group.size, -1).any(axis=1)
        assert useful.all() or group.size == 1
    for name, mask in found.masks.items():
        assert mask.sum() <= masks[name].sum()
        weight = dict(found.model.named_parameters())[name].detach().numpy()
        assert weight.shape == mask.shape
        assert not weight[~mask].any()


def test_the_numbers_of_units_add_up(case):
    _, _, _, found = case
    assert found.units_before - found.units_after == found.dead + found.folded
    assert found.dead > 0


def test_a_second_time_changes_nothing(case):
    _, _, inputs, found = case
    again = compact_model(found.model, inputs, found.masks)
    assert (again.dead, again.folded) == (0, 0)
    for name, mask in found.masks.items():
        np.testing.assert_array_equal(again.masks[name], mask)
    for name, value in found.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)


def test_model_and_masks_are_left_alone():
    build, density, shape = NETWORKS["conv-4"]
    model = build()
    masks = sparse(model, density)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = {name: mask.copy() for name, mask in masks.items()}
    found = compact_model(model, torch.randn(4, *shape), masks)
    assert all((given[name] == mask).all() for name, mask in masks.items())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training
    assert all(module.training for module in found.model.modules())
    assert {value.dtype for value in found.model.state_dict().values()} == {torch.float32}


@torch.no_grad()
def hidden_three():
    """One hidden unit that is used, one that is constant, one that nothing reads."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    model[0].weight.copy_(torch.tensor([[1.0, -1.0], [0.0, 0.0], [2.0, 3.0]]))
    model[0].bias.copy_(torch.tensor([0.25, 0.5, 1.0]))
    model[2].weight.copy_(torch.tensor([[1.0, 2.0, 0.0], [-1.0, 0.0, 0.0]]))
    model[2].bias.copy_(torch.tensor([0.125, -1.0]))
    return model


def test_by_hand():
    found = compact_model(hidden_three(), torch.randn(4, 2))
    first, _, last = found.model
    assert (found.dead, found.folded, found.kept, found.left) == (1, 1, {}, ())
    assert (found.units_before, found.units_after) == (3, 1)
    assert first.weight.tolist() == [[1.0, -1.0]]
    assert first.bias.tolist() == [0.25]
    assert last.weight.tolist() == [[1.0], [-1.0]]
    # The constant is relu(0.5), its weights are 2 and none.
    assert last.bias.tolist() == [1.125, -1.0]
    assert (first.out_features, last.in_features) == (1, 1)
    assert multiply_accumulates(found.original_topology, {"0.weight": (3, 2), "2.weight": (2, 3)}) == 12
    assert multiply_accumulates(found.topology, {"0.weight": (1, 2), "2.weight": (2, 1)}) == 4


@torch.no_grad()
def two_channels(constant, last, padding=1, bias=True):
    """Two channels: the input reaches the first, the second is `constant` everywhere."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=padding, bias=bias))
    model[0].weight.copy_(torch.randn(2, 1, 3, 3))
    model[0].weight[1] = 0
    model[0].bias.copy_(torch.tensor([0.0, constant]))
    model[2].weight.copy_(torch.randn(1, 2, 3, 3))
    model[2].weight[0, 1] = torch.as_tensor(last)
    return model


CENTRE = [[0.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]]


def test_a_constant_that_meets_padding_stays():
    found = compact_model(two_channels(0.5, torch.ones(3, 3)), torch.randn(4, 1, 6, 6))
    assert (found.dead, found.folded, found.kept) == (0, 0, {"its constant meets padding": 1})
    assert found.model[2].weight.shape == (1, 2, 3, 3)


@pytest.mark.parametrize("bias", [True, False])
def test_a_constant_that_meets_no_padding_goes_into_a_bias(bias):
    model = two_channels(0.5, CENTRE, bias=bias)
    found = compact_model(model, torch.randn(4, 1, 6, 6))
    assert (found.dead, found.folded, found.kept) == (0, 1, {})
    before = model[2].bias.item() if bias else 0.0
    assert found.model[2].bias.item() == pytest.approx(before + 2.0)
    assert found.model[2].bias.dtype == torch.float32
    # A window that stays within the map meets no padding, whatever its taps.
    found = compact_model(two_channels(0.5, torch.ones(3, 3), padding=0, bias=bias), torch.randn(4, 1, 6, 6))
    assert (found.folded, found.kept) == (1, {})


def test_a_constant_of_zero_goes_despite_padding():
    model = two_channels(-0.5, torch.ones(3, 3))
    found = compact_model(model, torch.randn(4, 1, 6, 6))
    assert (found.folded, found.kept) == (1, {})
    assert torch.equal(found.model[2].bias, model[2].bias)
    assert found.model[0].weight.shape == (1, 1, 3, 3)


@torch.no_grad()
def test_constants_of_a_weight_that_is_used_twice():
    """Unit 1 is relu(.5) where the layer reads it first, and relu(1.5) the second time: one bias cannot hold both."""
    model = Tied(2, 3, 2)
    for weight in (model.inner.weight, model.twice.weight):
        weight.zero_()
        weight[0, 0] = weight[2, 0] = 1.0
    model.inner.bias.copy_(torch.tensor([0.0, 0.5, 0.0]))
    model.twice.bias.copy_(torch.tensor([0.0, 1.5, 0.0]))
    model.twice.weight[0, 1] = 1.0
    found = compact_model(model, torch.rand(4, 2) + 1)
    assert found.kept == {"its constants differ where a weight is used several times": 1}
    model.inner.bias[1] = 1.5
    found = compact_model(model, torch.rand(4, 2) + 1)
    assert (found.folded, found.kept) == (1, {})
    assert found.model.twice.bias.tolist() == [1.5, 0.0]


@torch.no_grad()
def test_a_constant_that_differs_from_place_to_place():
    """Behind padding a constant channel has other values at the border: a flattened map can take that, a map not."""
    model = nn.Sequential(two_channels(0.5, 0), nn.Flatten(), nn.Linear(36, 3))
    conv = nn.Conv2d(2, 2, 3, padding=1)
    model[0][2] = conv
    conv.weight[0, 1] = 0
    conv.weight[1, 0] = 0
    model[2] = nn.Linear(72, 3)
    inputs = torch.randn(4, 1, 6, 6)
    found = compact_model(model, inputs)
    assert (found.dead, found.folded, found.kept) == (1, 1, {})
    assert found.model[2].weight.shape == (3, 36)
    tail = nn.Sequential(model[0], nn.ReLU(), nn.Conv2d(2, 3, 1))
    conv.bias[1] = 5.0
    found = compact_model(tail, inputs)
    assert (found.folded, found.dead) == (0, 0)
    assert found.kept == {"its constant differs from position to position": 1, "its constant meets padding": 1}


@torch.no_grad()
def test_everything_is_dead_but_one_path():
    model = Conv((1, 8, 8), 3, (6, 8))
    masks = {name: np.zeros(weight.shape, dtype=bool) for name, weight in prunable_weights(model).items()}
    for name, mask in masks.items():
        mask[(2, 1, 1, 1)[: mask.ndim] if "features.0" not in name else (1, 0, 1, 1)] = True
    # The path: channel 1, then 2 which reads 1, and so on; let every layer read what the one before writes.
    order = list(masks)
    for before, name in itertools.pairwise(order):
        written = int(np.flatnonzero(masks[before].reshape(len(masks[before]), -1).any(axis=1))[0])
        masks[name][:] = False
        flat = name == "classifier.0.weight"
        masks[name][(2, written * 4 if flat else written, 1, 1)[: masks[name].ndim]] = True
    inputs = torch.randn(16, 1, 8, 8)
    for weight in prunable_weights(model).values():
        weight.abs_()
    found = compact_model(model, inputs, masks)
    assert found.units_after == len(masks) - 1
    assert all(mask.sum() == 1 for mask in found.masks.values())
    assert found.masks["features.2.weight"].shape == (1, 1, 3, 3)
    assert found.masks["classifier.0.weight"].shape == (1, 4)
    assert found.masks["classifier.4.weight"].shape == (3, 1)


def test_a_network_without_a_path_is_a_constant():
    model = build_model("mlp", {"widths": [12, 8]}, (5,), 3)
    sparse(model, 0.5)
    masks = {name: np.zeros(weight.shape, dtype=bool) for name, weight in prunable_weights(model).items()}
    found = compact_model(model, torch.randn(4, 5), masks)
    assert found.kept == {"the last unit of its layer": 2}
    assert [mask.shape for mask in found.masks.values()] == [(1, 5), (1, 1), (3, 1)]
    assert torch.equal(found.model(torch.randn(2, 5))[0], model.fc3.bias)


def test_a_unit_that_only_changes_a_norm_stays():
    """Nothing behind the norm reads unit 0, but the norm's mean does."""
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2))
    with torch.no_grad():
        model[2].weight[:, 0] = 0
    found = compact_model(model, torch.randn(8, 4))
    assert (found.units_after, found.dead) == (6, 0)
    assert found.masks["0.weight"].all()
    (left,) = found.left
    assert (left.layer, left.units) == ("0.weight", 6)
    assert "LayerNorm" in left.reason


class Scaled(nn.Module):
    """A number for each unit in a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 6)
        self.scale = nn.Parameter(torch.rand(6))
        self.head = nn.Linear(6, 2)

    def forward(self, inputs):
        return self.head(torch.relu(self.inner(inputs) * self.scale))


def unread(model, name):
    """Let nothing read the first two units."""
    with torch.no_grad():
        dict(model.named_parameters())[name][:, :2] = 0
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (unread(Scaled(), "head.weight"), "a number for each unit (mul)"),
        (unread(nn.Sequential(nn.Linear(4, 6), nn.PReLU(6), nn.Linear(6, 2)), "2.weight"), "(prelu)"),
        (
            unread(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 2)), "2.weight"),
            "batch norm whose parameters the graph does not name",
        ),
        (unread(nn.Sequential(nn.Linear(4, 6), nn.Softmax(1), nn.Linear(6, 2)), "2.weight"), "over all units"),
    ],
    ids=["scale", "prelu", "batch norm", "softmax"],
)
def test_what_cannot_be_cut_is_left_alone(model, words):
    found = compact_model(model, torch.randn(8, 4))
    assert (found.units_after, found.dead) == (6, 0)
    (left,) = found.left
    assert words in left.reason
    assert left.units == 6


def test_one_number_for_all_units_is_no_obstacle():
    model = unread(nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 2)), "2.weight")
    assert compact_model(model, torch.randn(8, 4)).units_after == 4


def test_code_that_needs_all_units_is_refused():
    def through(net, inputs):
        return net.head(net.inner(inputs).view(-1, 6))

    model = unread(Net(through, inner=nn.Linear(4, 6), head=nn.Linear(6, 2)), "head.weight")
    with pytest.raises(StructureError, match="does not run with fewer units"):
        compact_model(model, torch.randn(8, 4))


def test_a_wrong_cut_is_noticed(monkeypatch):
    original = network.cut

    def wrong(model, sets, plan):
        masks = original(model, sets, plan)
        with torch.no_grad():
            model.fc1.weight[0] += 1e-3
        return masks

    model = build_model("mlp", {"widths": [12, 8]}, (5,), 3)
    masks = sparse(model, 0.5)
    compact_model(model, torch.randn(4, 5), masks)
    monkeypatch.setattr(network, "cut", wrong)
    with pytest.raises(StructureError, match="another function: an output differs by"):
        compact_model(model, torch.randn(4, 5), masks)


@pytest.mark.parametrize("bad", [{"float32": 2e-5}, {"float64": 2e-5}, {"float32": float("nan")}])
def test_a_proof_can_fail(bad):
    proof = Proof(inputs=2, float32=1e-6, float64=0.0, largest_output=1.0, tolerance=1e-5)
    check(proof)
    with pytest.raises(StructureError, match="another function"):
        check(dataclasses.replace(proof, **bad))


def test_outputs_that_are_no_numbers_are_no_proof():
    model = hidden_three()
    with torch.no_grad():
        model[2].bias[0] = float("inf")
    with pytest.raises(StructureError, match="differs by nan"):
        compact_model(model, torch.randn(4, 2))


def test_bad_input():
    model = hidden_three()
    with pytest.raises(StructureError, match="two different inputs"):
        compact_model(model, torch.zeros(4, 2))
    with pytest.raises(StructureError, match="layer fc is not in the model"):
        compact_model(model, torch.randn(4, 2), {"fc": np.ones((2, 3), dtype=bool)})
    with pytest.raises(StructureError, match=r"layer 0.weight: bool mask \(2, 2\) does not fit weight \(3, 2\)"):
        compact_model(model, torch.randn(4, 2), {"0.weight": np.ones((2, 2), dtype=bool)})


def test_masks_may_be_tensors_and_leave_layers_out():
    model = hidden_three()
    mask = torch.ones(2, 3, dtype=torch.bool)
    mask[:, 1:] = False
    found = compact_model(model, torch.randn(4, 2), {"2.weight": mask})
    assert (found.units_after, found.dead) == (1, 2)


def test_times_are_those_of_the_models():
    class Slow(nn.Module):
        def forward(self, inputs):
            import time

            time.sleep(0.01)
            return inputs

    fast, slow = seconds_per_batch([nn.Identity(), Slow()], torch.zeros(2, 2), rounds=3)
    assert fast < 0.01 <= slow


# -- recorded runs ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "run"
    made = recipe("static", data__name="small_runs:pictures", model__options__widths=[40, 30], algorithm__density=0.05)
    train(made, folder, device="cpu")
    return open_run(folder)


def test_a_run(trained, tmp_path):
    report = compact(trained, tmp_path / "small", device="cpu")
    run = open_run(tmp_path / "small")
    assert (report.run, report.epoch, report.out) == (str(trained.path), 4, str(tmp_path / "small"))
    assert report.proof.inputs == 20
    assert report.proof.float32 <= report.proof.tolerance == pytest.approx(1e-5, rel=10)
    assert report.proof.float64 <= 1e-12
    assert [layer.shape_after for layer in report.layers] == [layer.shape for layer in run.final.layers.values()]
    assert [layer.active_after for layer in report.layers] == [layer.active for layer in run.final.layers.values()]
    assert [layer.active_before for layer in report.layers] == [layer.active for layer in trained.final.layers.values()]
    before = sum(value.numel() for value in build_model("mlp", {"widths": [40, 30]}, (1, 6, 6), 3).parameters())
    assert report.total.before.parameters == before
    after = sum(layer.size for layer in run.final.layers.values()) + sum(map(np.size, run.final.tensors().values()))
    assert report.total.after.parameters == after < before
    assert (report.total.before.bytes, report.total.after.bytes) == (4 * before, 4 * after)
    assert report.total.after.multiply_accumulates == run.final.size
    assert report.total.before.seconds > 0
    assert report.to_dict()["total"]["active_after"] == run.final.active


def test_the_run_that_is_written(trained, tmp_path):
    compact(trained, tmp_path / "small", device="cpu")
    run = open_run(tmp_path / "small")
    assert run.epochs == (4,)
    assert run.config["compacted_from"] == {"run": str(trained.path), "epoch": 4}
    assert {**run.config, "compacted_from": None} == {**trained.config, "compacted_from": None}
    (record,) = run.metrics
    assert record["test_accuracy"] == trained.metrics[-1]["test_accuracy"]
    assert (record["active"], record["density"]) == (run.final.active, run.final.density)
    program = torch.export.load(tmp_path / "small" / "model.pt2").module()
    final = run.final
    inputs = torch.rand(7, 1, 6, 6)
    hidden = inputs.flatten(1).numpy()
    for layer in ("fc1", "fc2", "fc3"):
        hidden = hidden @ final.weight(f"{layer}.weight").T + final.tensors()[f"{layer}.bias"]
        hidden = hidden if layer == "fc3" else np.maximum(hidden, 0)
    np.testing.assert_allclose(program(inputs).detach().numpy(), hidden, atol=1e-5)
    assert program(inputs[:1]).shape == (1, 3)


def test_an_occupied_folder_is_kept_unless_told(trained, tmp_path):
    compact(trained, tmp_path / "small", device="cpu", epoch=2)
    with pytest.raises(RunError, match="holds a run already"):
        compact(trained, tmp_path / "small", device="cpu")
    assert open_run(tmp_path / "small").epochs == (2,)
    compact(trained, tmp_path / "small", device="cpu", overwrite=True)
    assert open_run(tmp_path / "small").epochs == (4,)
    with pytest.raises(RunError, match="is the run itself"):
        compact(trained, trained.path, device="cpu", overwrite=True)
    with pytest.raises(RunError, match="is the run itself"):
        compact(trained.final.path, trained.path, device="cpu", overwrite=True)
    with pytest.raises(RunError, match="records no training recipe"):
        compact(tmp_path / "small", device="cpu")
    with pytest.raises(RecipeError, match="limit must be at least 2"):
        compact(trained, limit=1)


def test_a_failed_proof_writes_nothing(trained, tmp_path, monkeypatch):
    def failing(*_):
        return Proof(inputs=2, float32=1.0, float64=0.0, largest_output=1.0, tolerance=1e-5)

    monkeypatch.setattr(running, "proof_of", failing)
    with pytest.raises(StructureError, match="another function"):
        compact(trained, tmp_path / "small", device="cpu")
    assert not (tmp_path / "small").exists()


def test_a_network_that_cannot_be_exported_is_written_all_the_same(trained, tmp_path, monkeypatch):
    compact(trained, tmp_path / "small", device="cpu")
    monkeypatch.setattr(running, "exported", lambda *_: "not today")
    report = compact(trained, tmp_path / "small", device="cpu", overwrite=True)
    assert (report.program, report.program_problem) == (None, "not today")
    assert not (tmp_path / "small" / "model.pt2").exists()
    assert open_run(tmp_path / "small").epochs == (4,)


def test_few_test_inputs(trained):
    assert compact(trained, limit=3, device="cpu").proof.inputs == 3
