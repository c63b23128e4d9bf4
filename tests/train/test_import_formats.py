"""Every format: files as its program writes them, and the masks and weights that become of them."""

import json
import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

from masktools.errors import CheckpointError
from masktools.importers.registry import FORMATS
from masktools.runs import open_run
from masktools.verification import verify
from masktools_train import import_run
from masktools_train.budgets import erk, uniform

DENSITY = 0.3


class Net(nn.Module):
    """Convolution, batch norm and linear layers, as in every other network."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc1 = nn.Linear(16, 12)
        self.fc2 = nn.Linear(12, 5)

    def forward(self, inputs):
        return self.fc2(torch.relu(self.fc1(torch.relu(self.bn(self.conv(inputs))).flatten(1))))


LAYERS = ("conv.weight", "fc1.weight", "fc2.weight")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def masks(net):
    return {name: torch.rand(net.get_parameter(name).shape) < DENSITY for name in LAYERS}


def sparse_state(net, masks):
    return OrderedDict(
        (name, value * masks[name] if name in masks else value) for name, value in net.state_dict().items()
    )


def imported(tmp_path, source, **rest):
    """Import a source, check that the run is sound, and return its result and its only snapshot."""
    result = import_run(source, tmp_path / "run", overwrite=True, **rest)
    assert not verify(tmp_path / "run").problems
    return result, open_run(tmp_path / "run").final


def check(snapshot, net, masks, dense=()):
    """Masks, active weights and all other tensors are those of the network, and there is nothing else."""
    state = net.state_dict()
    assert list(snapshot.layers) == [name for name in state if name in masks or name in dense]
    for name in snapshot.layers:
        mask = masks[name] if name in masks else torch.ones_like(state[name], dtype=torch.bool)
        assert np.array_equal(snapshot.mask(name), mask.numpy())
        assert np.array_equal(snapshot.weight(name), (state[name] * mask).numpy())
    tensors = snapshot.tensors()
    assert set(tensors) == set(state) - set(snapshot.layers)
    for name, value in tensors.items():
        assert value.dtype == state[name].numpy().dtype
        assert np.array_equal(value, state[name].numpy())


def test_torch_prune(tmp_path, net, masks):
    for name, mask in masks.items():
        prune.custom_from_mask(net.get_submodule(name.split(".")[0]), "weight", mask)
    prune.custom_from_mask(net.fc1, "bias", torch.arange(12) % 2)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    behind = net.fc1.weight_orig.detach().clone()
    result, snapshot = imported(tmp_path, tmp_path / "net.pt", weights="dense")
    assert result.final.format == "torch-prune"
    assert np.array_equal(snapshot.weight("fc1.weight"), behind.numpy())  # what is behind the mask, too
    for module in (net.conv, net.fc1, net.fc2):
        prune.remove(module, "weight")
    prune.remove(net.fc1, "bias")
    check(imported(tmp_path, tmp_path / "net.pt")[1], net, masks)


class Masked(nn.Module):
    """A parametrization by a mask."""

    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


def test_parametrizations(tmp_path, net, masks):
    second = torch.rand(12, 16) < 0.5
    for name, mask in masks.items():
        parametrize.register_parametrization(net.get_submodule(name.split(".")[0]), "weight", Masked(mask))
    parametrize.register_parametrization(net.fc1, "weight", Masked(second.float()))
    masks["fc1.weight"] &= second
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "net.pt")
    for module in (net.conv, net.fc1, net.fc2):
        parametrize.remove_parametrizations(module, "weight")
    result, snapshot = imported(tmp_path, tmp_path / "net.pt")
    assert (result.final.format, result.final.key) == ("parametrizations", "state_dict")
    names = list(net.state_dict())
    net.load_state_dict({name: net.state_dict()[name] for name in names})
    assert {name: snapshot.mask(name).tolist() for name in snapshot.layers} == {n: m.tolist() for n, m in masks.items()}
    for name in LAYERS:
        assert np.array_equal(snapshot.weight(name), (net.state_dict()[name] * masks[name]).numpy())


def test_a_weight_that_something_else_computes_is_refused(tmp_path, net):
    nn.utils.parametrizations.weight_norm(net.fc1)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"fc1.weight: is computed from 'original1' too.*remove_parametrizations"):
        imported(tmp_path, tmp_path / "net.pt")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "net", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_zeros_under_wrappers_and_prefixes(tmp_path, net, masks, wrapper, prefix):
    state = {f"{prefix}{name}": value for name, value in sparse_state(net, masks).items()}
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.zeros(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    whole = state if wrapper is None else {"epoch": 7, "optimizer": optimizer.state_dict(), wrapper: state}
    torch.save(whole, tmp_path / "net.pth")
    net.load_state_dict(sparse_state(net, masks), strict=False)
    net.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    result, snapshot = imported(tmp_path, tmp_path / "net.pth")
    assert (result.final.format, result.final.key) == ("zeros", wrapper or "")
    assert "".join(result.final.stripped) == prefix
    check(snapshot, net, masks)


def test_several_networks_in_a_file_are_told_apart_by_a_key(tmp_path, net, masks):
    state = sparse_state(net, masks)
    torch.save({"model": net.state_dict(), "ema": {"module": state}}, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"holds several networks; choose one of model, ema.module with --key"):
        imported(tmp_path, tmp_path / "net.pt")
    result, snapshot = imported(tmp_path, tmp_path / "net.pt", key="ema.module")
    assert result.final.key == "ema.module"
    assert np.array_equal(snapshot.mask("fc1.weight"), masks["fc1.weight"].numpy())
    with pytest.raises(CheckpointError, match="--key other: holds no arrays; there are model, ema"):
        imported(tmp_path, tmp_path / "net.pt", key="other")


def test_a_moving_average_and_a_compiled_part(tmp_path, net, masks):
    averaged = torch.optim.swa_utils.AveragedModel(net)
    for name, mask in masks.items():
        averaged.module.get_parameter(name).data *= mask
    state = averaged.state_dict()
    assert "n_averaged" in state
    state = {name.replace("fc1", "fc1._orig_mod"): value for name, value in state.items()}
    torch.save(state, tmp_path / "net.pt")
    result, snapshot = imported(tmp_path, tmp_path / "net.pt")
    assert result.final.stripped == ("module.", "_orig_mod.")
    check(snapshot, averaged.module, masks)


def test_open_lth(tmp_path, net):
    replicate = tmp_path / "lottery" / "replicate_1"
    kept = {}
    for level, share in enumerate((1.0, 0.8, 0.64)):
        main = replicate / f"level_{level}" / "main"
        main.mkdir(parents=True)
        torch.manual_seed(level)
        kept[level] = {name: torch.rand(net.get_parameter(name).shape) < share for name in LAYERS[:2]}
        torch.save({name: mask.int() for name, mask in kept[level].items()}, main / "mask.pth")
        torch.save({name: value * 0 for name, value in net.state_dict().items()}, main / "model_ep0_it0.pth")
        torch.save({name: value * 0 for name, value in net.state_dict().items()}, main / "model_ep9_it0.pth")
        torch.save(net.state_dict(), main / "model_ep10_it0.pth")
    result, _ = imported(tmp_path, replicate)
    assert [(each.epoch, each.source, each.format) for each in result.epochs] == [
        (0, "level_0", "open-lth"),
        (1, "level_1", "open-lth"),
        (2, "level_2", "open-lth"),
    ]
    for snapshot in open_run(tmp_path / "run"):
        check(snapshot, net, kept[snapshot.epoch])
    for place in (replicate, replicate.parent / "one"):
        (replicate.parent / "one").mkdir(exist_ok=True)
        if place != replicate:
            shutil.copytree(replicate / "level_0", place / "level_0")
        with pytest.raises(CheckpointError, match=f"{place}: is a replicate of open_lth; give the file with the masks"):
            imported(tmp_path, replicate / "level_0" / "main" / "mask.pth", masks=place)
    (replicate / "level_1" / "main" / "mask.pth").unlink()
    with pytest.raises(CheckpointError, match=r"level_1/main/mask.pth: is missing"):
        imported(tmp_path, replicate)


def pruner(net, masks, dense=("conv.weight",)):
    """Return the state of a ``RigLScheduler``, key for key as version 0.5.2 makes it."""
    weights = [net.get_parameter(name) for name in LAYERS]
    return {
        "dense_allocation": 0.3,
        "S": [0 if name in dense else 0.7 for name in LAYERS],
        "N": [weight.numel() for weight in weights],
        "hyperparams": {"delta_T": 100, "alpha": 0.3, "T_end": 750, "ignore_linear_layers": False},
        "step": 400,
        "rigl_steps": 4,
        "backward_masks": [None if name in dense else masks[name] for name in LAYERS],
        "_linear_layers_mask": [0, 1, 1],
    }


def test_rigl_torch(tmp_path, net, masks):
    state = sparse_state(net, {name: masks[name] for name in LAYERS[1:]})
    torch.save({"model": state, "pruner": pruner(net, masks)}, tmp_path / "net.pt")
    result, snapshot = imported(tmp_path, tmp_path / "net.pt")
    assert result.final.format == "rigl-torch"
    assert [layer.mask for layer in result.final.layers] == ["dense", "file", "file"]
    del masks["conv.weight"]
    net.load_state_dict(state)
    check(snapshot, net, masks, dense=("conv.weight",))


def test_rigl_torch_where_lists_do_not_fit(tmp_path):
    torch.manual_seed(0)
    square = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    masks = [torch.rand(6, 6) < 0.5 for _ in range(3)]
    for given, words in (
        (masks[:2], "2 masks of backward_masks fit the weights in more than one way"),
        ([masks[0], torch.rand(5, 6) < 0.5, masks[1]], "do not fit the 3 weights in their order"),
    ):
        torch.save({"model": square.state_dict(), "pruner": {"backward_masks": given}}, tmp_path / "net.pt")
        with pytest.raises(CheckpointError, match=words):
            imported(tmp_path, tmp_path / "net.pt")
    # A norm that rigl-torch goes through has a weight of one axis, and is dense.
    norm = nn.Sequential(nn.Linear(6, 7), nn.LayerNorm(7), nn.BatchNorm1d(7), nn.Linear(7, 2))
    given = [torch.rand(7, 6) < 0.5, None, None, torch.rand(2, 7) < 0.5]
    torch.save({"m": norm.state_dict(), "p": {"backward_masks": given, "N": [42, 7, 7, 14]}}, tmp_path / "net.pt")
    _, snapshot = imported(tmp_path, tmp_path / "net.pt")
    assert list(snapshot.layers) == ["0.weight", "3.weight"]
    assert np.array_equal(snapshot.mask("3.weight"), given[3].numpy())


def test_rigl_reproducibility(tmp_path, net, masks):
    saved = {
        "step": 3910,
        "epoch": 10,
        "model": sparse_state(net, masks),
        "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict(),
        "val_loss": 0.4,
        "mask": {
            "baseline_nonzero": 100.0,
            "masks": {name: mask.float() for name, mask in masks.items()},
            "stats": {"variance_dict": dict.fromkeys(LAYERS, 0.3), "total_nonzero": 100},
            "mask_step": 3910,
            "total_params": 300,
        },
    }
    torch.save(saved, tmp_path / "epoch_10.pth")
    result, snapshot = imported(tmp_path, tmp_path / "epoch_10.pth")
    assert (result.final.format, result.final.key, result.final.epoch) == ("rigl-reproducibility", "model", 10)
    net.load_state_dict(sparse_state(net, masks))
    check(snapshot, net, masks)
    saved["mask"]["masks"]["fc1.weight"] = torch.full((12, 16), 0.5)
    torch.save(saved, tmp_path / "epoch_10.pth")
    with pytest.raises(CheckpointError, match=r"the mask of fc1.weight holds values other than 0 and 1"):
        imported(tmp_path, tmp_path / "epoch_10.pth")


def largest(scores, counts):
    """Keep the largest by sorting, as the original programs do."""
    kept = {}
    for name, score in scores.items():
        order = np.argsort(-np.abs(score.detach().numpy().reshape(-1)), kind="stable")[: counts[name]]
        mask = np.zeros(score.numel(), bool)
        mask[order] = True
        kept[name] = torch.from_numpy(mask.reshape(score.shape))
    return kept


@pytest.mark.parametrize("distribution", ["uniform", "erk", "global"])
def test_dense_weights_with_a_density(tmp_path, net, distribution):
    torch.save({"state_dict": net.state_dict(), "best_acc1": 0.7}, tmp_path / "net.pth")
    weights = {name: net.get_parameter(name) for name in LAYERS}
    shapes = {name: weight.shape for name, weight in weights.items()}
    if distribution == "global":
        together = torch.cat([weight.detach().reshape(-1) for weight in weights.values()])
        kept = largest({"all": together}, uniform({"all": together.shape}, 0.25))["all"]
        parts = torch.split(kept, [weight.numel() for weight in weights.values()])
        expected = {name: part.view(shapes[name]) for name, part in zip(LAYERS, parts, strict=True)}
    else:
        expected = largest(weights, {"uniform": uniform, "erk": erk}[distribution](shapes, 0.25))
    result, snapshot = imported(tmp_path, tmp_path / "net.pth", density=0.25, distribution=distribution)
    assert result.final.format == "dense"
    assert {layer.mask for layer in result.final.layers} == {"largest"}
    check(snapshot, net, expected)
    with pytest.raises(CheckpointError, match="format dense holds no masks; say with --density"):
        imported(tmp_path, tmp_path / "net.pth", format="dense")


def test_dense_weights_without_a_density_are_said_to_be_dense(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    result, snapshot = imported(tmp_path, tmp_path / "net.pth")
    assert snapshot.density == 1
    (warning,) = result.warnings
    assert "the weights have no zeros" in warning
    assert "--density" in warning
    assert imported(tmp_path, tmp_path / "net.pth", density=1.0)[0].warnings == ()


def test_hidden_networks(tmp_path, net):
    scores = {name: torch.randn(net.get_parameter(name).shape) for name in LAYERS[:2]}
    state = {**net.state_dict(), **{f"{name.split('.')[0]}.scores": score for name, score in scores.items()}}
    state = {f"module.{name}": value for name, value in state.items()}
    saved = {"epoch": 99, "arch": "Net", "state_dict": state, "best_acc1": 9.0, "curr_acc1": 8.0}
    torch.save(saved, tmp_path / "model_best.pth")
    result, snapshot = imported(tmp_path, tmp_path / "model_best.pth", density=0.5)
    assert result.final.format == "hidden-networks"
    check(snapshot, net, largest(scores, uniform({name: score.shape for name, score in scores.items()}, 0.5)))
    with pytest.raises(CheckpointError, match="format hidden-networks holds no masks; say with --density"):
        imported(tmp_path, tmp_path / "model_best.pth")


def test_str(tmp_path, net):
    thresholds = {name: torch.full((1, 1), -2.0 - index) for index, name in enumerate(LAYERS)}
    state = {**net.state_dict(), **{name.replace("weight", "sparseThreshold"): t for name, t in thresholds.items()}}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    result, snapshot = imported(tmp_path, tmp_path / "net.pth")
    assert result.final.format == "str"
    masks = {}
    for name, threshold in thresholds.items():
        weight = net.get_parameter(name).data
        weight.copy_(torch.sign(weight) * torch.relu(weight.abs() - torch.sigmoid(threshold)))
        masks[name] = weight != 0
    assert 0 < snapshot.density < 1
    for name in LAYERS:
        assert np.array_equal(snapshot.mask(name), masks[name].numpy())
        assert np.allclose(snapshot.weight(name), net.get_parameter(name).detach().numpy(), atol=1e-7)


@pytest.mark.parametrize("ending", ["weight_mask", "mask"])
def test_shrinkbench(tmp_path, net, masks, ending):
    state = sparse_state(net, masks)
    state |= {name.replace("weight", ending): mask.float() for name, mask in masks.items()}
    torch.save(
        {"model_state_dict": state, "optim_state_dict": {"state": {}, "param_groups": []}},
        tmp_path / "checkpoint-30.pt",
    )
    result, snapshot = imported(tmp_path, tmp_path / "checkpoint-30.pt")
    assert (result.final.format, result.final.key, result.final.epoch) == ("shrinkbench", "model_state_dict", 30)
    net.load_state_dict(sparse_state(net, masks))
    check(snapshot, net, masks)


@pytest.mark.parametrize("with_masks", [True, False])
@pytest.mark.parametrize("container", ["safetensors", "npz"])
def test_safetensors_and_npz(tmp_path, net, masks, container, with_masks):
    arrays = {name: value.numpy() for name, value in sparse_state(net, masks).items()}
    if with_masks:
        arrays["fc1.weight"][0, 0] = 0  # active, and 0 all the same
        masks["fc1.weight"][0, 0] = True
        arrays |= {f"{name}_mask": mask.numpy() for name, mask in masks.items()}
    path = tmp_path / f"net.{container}"
    if container == "npz":
        np.savez(path, **arrays)
    else:
        pytest.importorskip("safetensors.numpy").save_file(arrays, path)
    result, snapshot = imported(tmp_path, path)
    assert result.final.format == container
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items() if not name.endswith("_mask")})
    check(snapshot, net, masks)
    if not with_masks:
        expected = largest({name: net.get_parameter(name) for name in LAYERS}, dict.fromkeys(LAYERS, 5))
        shares = {name: 4.5 / mask.numel() for name, mask in expected.items()}
        for name in LAYERS:
            _, found = imported(tmp_path, path, density=shares[name], include=[name])
            assert np.array_equal(found.mask(name), expected[name].numpy())


def test_a_hugging_face_folder_with_shards_in_bfloat16(tmp_path, net, masks):
    save_file = pytest.importorskip("safetensors.torch").save_file
    folder = tmp_path / "checkpoint-500"
    folder.mkdir()
    state = {
        name: value.bfloat16() if value.is_floating_point() else value
        for name, value in sparse_state(net, masks).items()
    }
    names = list(state)
    where = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: state[name] for name in names if where[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    result, snapshot = imported(tmp_path, folder)
    assert (result.final.format, result.final.epoch, result.final.source) == ("safetensors", 500, "checkpoint-500")
    net.load_state_dict({name: value.float() for name, value in state.items()})
    for name in LAYERS:
        assert snapshot.weight(name).dtype == np.float32
        assert np.array_equal(snapshot.mask(name), masks[name].numpy())
        assert np.array_equal(snapshot.weight(name), net.get_parameter(name).detach().numpy())


def test_masks_in_a_file_of_their_own(tmp_path, net, masks):
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.save({"masks": {f"module.{name}": mask for name, mask in masks.items()}}, tmp_path / "masks.pt")
    result, snapshot = imported(tmp_path, tmp_path / "net.pt", masks=tmp_path / "masks.pt")
    assert result.final.format == "masks"
    check(snapshot, net, masks)
    np.savez(tmp_path / "masks.npz", **{f"{name}_mask": mask.numpy() for name, mask in masks.items()})
    check(imported(tmp_path, tmp_path / "net.pt", masks=tmp_path / "masks.npz")[1], net, masks)
    with pytest.raises(CheckpointError, match="holds masks, so --density has nothing to decide"):
        imported(tmp_path, tmp_path / "net.pt", masks=tmp_path / "masks.npz", density=0.1)
    for wrong, words in (
        ({"nothing.weight": np.ones((2, 2), bool)}, "has a mask for 'nothing.weight', but no such weight"),
        ({"fc1.weight": np.ones((2, 2), bool)}, r"fc1.weight: the mask has shape \(2, 2\), the weight \(12, 16\)"),
    ):
        np.savez(tmp_path / "masks.npz", **wrong)
        with pytest.raises(CheckpointError, match=words):
            imported(tmp_path, tmp_path / "net.pt", masks=tmp_path / "masks.npz")


def test_every_format_can_be_asked_for_and_is_refused_where_it_is_not(tmp_path, net, masks):
    torch.save(sparse_state(net, masks), tmp_path / "net.pt")
    for name in FORMATS:
        if name not in ("zeros", "dense"):
            with pytest.raises(CheckpointError, match=f"is not of format {name}, which reads"):
                imported(tmp_path, tmp_path / "net.pt", format=name)
    assert imported(tmp_path, tmp_path / "net.pt", format="zeros")[0].final.format == "zeros"
    with pytest.raises(CheckpointError, match="--format 'onnx' is unknown; choose from auto, open-lth"):
        imported(tmp_path, tmp_path / "net.pt", format="onnx")
