"""State dicts of recorded networks, loaded into models."""

import re
import typing
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from masktools.cli.app import main
from masktools.cli.export import COMMAND, ExportName, GraphName
from masktools.errors import StructureError
from masktools.exporters.registry import FORMATS
from masktools.run_writer import RunWriter
from masktools.snapshot.content import LayerContent, SnapshotContent
from masktools.structure.source import recorded
from masktools_train.exporting import STATE_FORMATS, pruned_state
from masktools_train.importing.importing import import_run

LAYERS = ("0", "3")


def network():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def written(tmp_path):
    """Return a function that records a network, and returns the run, the network and its masks."""

    def write(kind="dense"):
        torch.manual_seed(0)
        model = network()
        model(torch.randn(5, 2, 4, 4))  # so that batch norm counts
        state = {name: value.detach().clone().numpy() for name, value in model.state_dict().items()}
        rng = np.random.default_rng(0)
        layers = []
        for name in LAYERS:
            weight = state.pop(f"{name}.weight")
            layers.append(LayerContent.from_dense(f"{name}.weight", rng.random(weight.shape) < 0.4, weight, kind))
        writer = RunWriter(tmp_path / "run")
        writer.snapshot(SnapshotContent(0, 0, tuple(layers), tensors=state))
        masks = {item.name: torch.from_numpy(item.mask.to_bool()) for item in layers}
        return writer.path, model.eval(), masks

    return write


def pruned_by_torch(model, masks):
    for name, mask in masks.items():
        prune.custom_from_mask(model.get_submodule(name.removesuffix(".weight")), "weight", mask)
    return model


@pytest.mark.parametrize("ending", ["pt", "pth"])
def test_what_prune_makes_is_what_is_exported(written, tmp_path, ending):
    run, model, masks = written()
    path = tmp_path / f"pruned.{ending}"
    assert main(["export", str(run), "-o", str(path)]) == 0
    found = torch.load(path, weights_only=True)
    expected = pruned_by_torch(model, masks).state_dict()
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("kind", ["dense", "active"])
def test_a_pruned_model_loads_it(written, tmp_path, kind):
    run, model, masks = written(kind)
    path, inputs = tmp_path / "pruned.pt", torch.randn(7, 2, 4, 4)
    assert main(["export", str(run), "-o", str(path)]) == 0
    other = pruned_by_torch(network(), {name: torch.ones_like(mask) for name, mask in masks.items()})
    other.load_state_dict(torch.load(path, weights_only=True))
    assert torch.equal(other.eval()(inputs), pruned_by_torch(model, masks)(inputs))


def test_a_plain_model_loads_a_plain_state(written, tmp_path):
    run, model, masks = written()
    path, inputs = tmp_path / "state.pt", torch.randn(7, 2, 4, 4)
    assert main(["export", str(run), "--as", "plain", "-o", str(path)]) == 0
    other = network()
    other.load_state_dict(torch.load(path, weights_only=True))
    assert torch.equal(other[0].weight == 0, ~masks["0.weight"])
    assert torch.equal(other.eval()(inputs), pruned_by_torch(model, masks)(inputs))


def test_a_state_needs_weights(written, tmp_path, capsys):
    run, _, _ = written("none")
    with pytest.raises(StructureError, match=r"written without weights \(layer '0\.weight'\)"):
        pruned_state(recorded(run))
    assert main(["export", str(run), "--as", "plain", "-o", str(tmp_path / "state.pt")]) == 2
    assert "a state dict needs them" in capsys.readouterr().err
    assert not (tmp_path / "state.pt").exists()


def test_the_command_and_the_page_know_every_format():
    formats = {**FORMATS, **STATE_FORMATS}
    assert list(typing.get_args(ExportName)) == list(formats)
    assert set(typing.get_args(GraphName)) == {graph for each in formats.values() for graph in each.graphs}
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| (.*?) \| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    assert rows == [
        (
            name,
            ", ".join(f"`.{ending}`" for ending in each.endings) or "-",
            ", ".join(each.graphs) or "-",
            each.holds,
        )
        for name, each in formats.items()
    ]
    endings = [ending for each in formats.values() for ending in each.endings]
    assert len(set(endings)) == len(endings)
    output = typing.get_type_hints(COMMAND.run, include_extras=True)["output"].__metadata__[0]
    assert re.findall(r"\.([a-z]+)\b", output.help) == endings


def digests(path):
    """Return the recorded digest of every mask, weight and tensor of a snapshot, by its place in the file."""
    with h5py.File(path) as file:
        return {
            f"{group}/{name}": (item.attrs["blake2b"], dict(item.attrs).get("position"))
            for group in ("masks", "weights", "tensors")
            for name, item in file.get(group, {}).items()
        }


@pytest.mark.parametrize(
    ("name", "kind"), [("a.npz", "active"), ("a.safetensors", "active"), ("a.pt", "active"), ("a.pt", "dense")]
)
def test_what_is_exported_and_imported_is_the_same(written, tmp_path, name, kind, capsys):
    run, _, _ = written(kind)
    assert main(["export", str(run), "-o", str(tmp_path / name)]) == 0
    out, said = capsys.readouterr()
    assert (out, said.startswith(f"{tmp_path / name}: "), said.endswith("B\n")) == ("", True, True)
    import_run(tmp_path / name, tmp_path / "again", weights=kind)
    expected = digests(run / "epoch-0000.h5")
    assert len(expected) == 2 * 2 + 7  # mask and weight of two layers; two biases, five of batch norm
    (found,) = (tmp_path / "again").glob("epoch-*.h5")
    assert digests(found) == expected
