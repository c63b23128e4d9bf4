"""Operator graphs of imported runs, and what recipes make of them."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from masktools.cli.app import main
from masktools.errors import CheckpointError, RecipeError
from masktools.runs import open_run
from masktools.structure.connectivity import connectivity
from masktools_train import import_run
from masktools_train.models import build_model
from masktools_train.tracing import trace


def small(input_shape, classes, width=6):
    """A network as a user would write it, in a module of their own."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], width, 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(width * 36, classes),
    )


SMALL = f"{__name__}:small"


def pruned(model, share=0.3):
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= torch.rand(parameter.shape) < share
    return model


def test_a_model_gives_the_graph_that_tracing_it_gives(tmp_path):
    model = pruned(small((1, 8, 8), 4, width=5))
    state = {name: value for name, value in model.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "a.pt")
    asked = {"model": SMALL, "model_options": {"width": 5}, "input_shape": (1, 8, 8), "classes": 4}
    result = import_run(tmp_path / "a.pt", tmp_path / "run", exclude=["4.weight"], **asked)
    final = open_run(tmp_path / "run").final
    assert final.topology == trace(model, torch.zeros(2, 1, 8, 8))
    assert result.graph == "model"
    assert [(layer.name, layer.prunable, layer.mask) for layer in result.final.layers] == [
        ("0.weight", True, "zeros"),
        ("4.weight", False, "dense"),
    ]
    assert final.layers["4.weight"].density == 1
    assert final.tensors()["1.num_batches_tracked"] == 0  # older files lack it
    assert connectivity(tmp_path / "run").total.active == final.active


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("4.bias"), "'4.bias' is not in the file$"),
        (
            lambda state: state.update(extra=torch.zeros(3)),
            "'extra' is not in the model; the model has 0.weight, 1.weight, 1.bias, 1.running_mean, 1.running_var, "
            "4.weight, …$",
        ),
        (
            lambda state: state.update({"4.weight": torch.zeros(4, 7)}),
            r"'4.weight' has shape \(4, 7\), in the model \(4, 216\)$",
        ),
        (lambda state: [state.pop("4.bias"), state.pop("4.weight")], "'4.weight' is not in the file .and 2 more"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_first_difference(tmp_path, change, words):
    state = small((1, 8, 8), 4).state_dict()
    change(state)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"a.pt: does not fit --model {SMALL}: {words}"):
        import_run(tmp_path / "a.pt", tmp_path / "run", model=SMALL, input_shape=(1, 8, 8), classes=4)


def test_names_of_another_model_and_how_to_give_it(tmp_path):
    torch.save(nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)).state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        import_run(tmp_path / "a.pt", tmp_path / "run", model="mlp", model_options={"widths": [12]}, recipe="digits")
    assert str(caught.value).endswith(
        "a.pt: does not fit --model mlp: '0.weight' is not in the model (and 9 more such differences); the model has "
        "fc1.weight, fc1.bias, fc2.weight, fc2.bias; a model of your own is --model package.module:function"
    )


def unflattened(input_shape, classes):
    return nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, classes))


@pytest.mark.parametrize(
    ("given", "whose"),
    [
        ({"recipe": "digits"}, "that of the recipe's data"),
        ({"input_shape": (1, 8, 8), "classes": 10}, "that of --input-shape"),
        ({"recipe": "digits", "input_shape": (1, 8, 8)}, "that of --input-shape"),
    ],
)
def test_a_model_that_does_not_take_the_inputs(tmp_path, given, whose):
    torch.save(unflattened((), 10).state_dict(), tmp_path / "a.pt")
    model = f"{__name__}:unflattened"
    with pytest.raises(RecipeError) as caught:
        import_run(tmp_path / "a.pt", tmp_path / "run", model=model, **given)
    assert str(caught.value) == (
        f"--model {model} cannot be called with a batch of shape 2x1x8x8, {whose}: RuntimeError: mat1 and mat2 shapes "
        "cannot be multiplied (16x8 and 64x12); a model of flat inputs has to flatten them"
    )
    assert not (tmp_path / "run").exists()


def test_layers_without_active_weights_are_named(tmp_path):
    def warned(*empty):
        state = {f"{name}.weight": torch.eye(4) * (name not in empty) for name in "abc"}
        torch.save(state, tmp_path / "net.pt")
        return import_run(tmp_path / "net.pt", tmp_path / "run", overwrite=True).warnings

    assert warned() == ()
    assert warned("b") == ("net.pt: b.weight has no active weight: nothing gets through it",)
    assert warned("a", "c") == ("net.pt: a.weight and c.weight have no active weight: nothing gets through them",)
    assert warned(*"abc")[0].startswith("net.pt: a.weight, b.weight and c.weight have no active weight")


def test_a_chain_of_layers(tmp_path):
    torch.manual_seed(0)
    lenet = pruned(build_model("lenet-5", {}, (1, 28, 28), 10))
    torch.save(lenet.state_dict(), tmp_path / "a.pt")
    result = import_run(tmp_path / "a.pt", tmp_path / "run", graph="sequential")
    graph = open_run(tmp_path / "run").final.topology
    assert result.graph == "sequential"
    assert [node.op for node in graph.nodes if node.weight] == ["conv2d", "conv2d", "linear", "linear"]
    assert graph.layers == tuple(open_run(tmp_path / "run").final.layers)
    assert connectivity(tmp_path / "run").total.effective > 0
    # Of an MLP nothing is assumed: the chain is what tracing it gives, but for activations.
    mlp = pruned(build_model("mlp", {"widths": [20, 10]}, (64,), 10))
    torch.save(mlp.state_dict(), tmp_path / "b.pt")
    import_run(tmp_path / "b.pt", tmp_path / "chain", graph="sequential")
    import_run(
        tmp_path / "b.pt",
        tmp_path / "mlp",
        model="mlp",
        model_options={"widths": [20, 10]},
        input_shape=[64],
        classes=10,
    )
    chain, traced = (connectivity(tmp_path / name).total for name in ("chain", "mlp"))
    assert (chain.effective, chain.log10_paths) == (traced.effective, traced.log10_paths)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            {"a.weight": (5, 4), "b.weight": (3, 6)},
            r"layer b.weight \(3, 6\) does not fit a.weight \(5, 4\): 6 inputs, 5 outputs",
        ),
        ({"a.weight": (5, 4), "b.weight": (3, 5, 3, 3)}, "a weight of 4 axes does not read an output of 1"),
        ({"a.weight": (8, 3, 3, 3), "b.weight": (8, 4, 3, 3)}, "4 input channels, 8 output channels before"),
        ({"a.weight": (8, 3, 3, 3), "b.weight": (10, 20)}, "20 inputs are no multiple of 8 channels"),
    ],
)
def test_a_chain_breaks_at_the_first_place_that_does_not_fit(tmp_path, shapes, words):
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=f"--graph sequential: .*{words}"):
        import_run(tmp_path / "a.pt", tmp_path / "run", graph="sequential")


def test_depthwise_convolutions_and_an_input_shape(tmp_path):
    shapes = {"a.weight": (6, 3, 3, 3), "b.weight": (6, 1, 5, 5), "c.weight": (8, 6, 1, 1), "d.weight": (10, 8)}
    torch.save({name: torch.ones(shape) for name, shape in shapes.items()}, tmp_path / "a.pt")
    import_run(tmp_path / "a.pt", tmp_path / "run", graph="sequential", input_shape=(3, 12, 10))
    graph = open_run(tmp_path / "run").final.topology
    assert graph.nodes[0].shape == (3, 12, 10)
    assert graph.groups == {"a.weight": 1, "b.weight": 6, "c.weight": 1, "d.weight": 1}
    with pytest.raises(CheckpointError, match=r"the input shape \(4,\) does not fit the first layer a.weight"):
        import_run(tmp_path / "a.pt", tmp_path / "other", graph="sequential", input_shape=(4,))


def test_without_a_graph_connectivity_says_so(tmp_path):
    torch.save({"fc.weight": torch.eye(4)}, tmp_path / "a.pt")
    import_run(tmp_path / "a.pt", tmp_path / "run")
    with pytest.raises(Exception, match="operator graph"):
        connectivity(tmp_path / "run")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Train on the embedded digits, and save what a program of someone else's would: a state dict with zeros."""
    folder = tmp_path_factory.mktemp("digits")
    options = ("--epochs", "3", "--set", "model.options.widths=[20, 12]", "--density", "0.2", "-q")
    assert main(["train", "--out", str(folder / "own"), *options, "--output", str(folder / "own.json")]) == 0
    final = open_run(folder / "own").final
    arrays = {**final.weights(), **final.tensors()}
    torch.save({"state_dict": {name: torch.from_numpy(array) for name, array in arrays.items()}}, folder / "net.pth")
    return folder


@pytest.mark.slow
def test_an_imported_run_is_pruned_and_trained_again(digits, tmp_path, capsys):
    run = tmp_path / "run"
    call = ("--model", "mlp", "--model-option", "widths=[20, 12]", "--recipe", "digits")
    assert main(["import", str(digits / "net.pth"), "-o", str(run), *call, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["graph"], found["recipe"]) == ("model", "digits")
    imported, own = open_run(run), open_run(digits / "own")
    config = imported.config
    assert imported.final.config == config
    assert config["algorithm"]["name"] == "static"
    assert config["algorithm"]["density"] == imported.final.density == own.final.density
    assert (config["origin"], config["data"]["name"]) == (None, "digits")
    assert config["model"] == {"name": "mlp", "options": {"widths": [20, 12]}}
    for name in own.final.layers:
        assert np.array_equal(imported.final.mask(name), own.final.mask(name))

    def curve(which):
        assert main(["prune", str(which), "--shares", "1,0.5,0.1", "--format", "json"]) == 0
        return [
            {key: point[key] for key in ("density", "accuracy", "effective_density")}
            for point in json.loads(capsys.readouterr().out)["curve"]
        ]

    assert curve(run) == curve(digits / "own")
    again = ("--variants", "new,layer-shuffled", "--seeds", "2", "--epochs", "2", "-q", "--format", "json")
    assert main(["reinit", str(run), *again, "--out", str(tmp_path / "again")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["reference_accuracy"] == own.metrics[-1]["test_accuracy"]
    assert [len(variant["accuracies"]) for variant in result["variants"]] == [2, 2]
    trained = open_run(tmp_path / "again" / "new-epochs=2-s1").final
    assert np.array_equal(trained.mask("fc1.weight"), own.final.mask("fc1.weight"))


def test_the_model_may_be_that_of_the_recipe(tmp_path):
    model = pruned(build_model("mlp", {"widths": [300, 100]}, (64,), 10))
    torch.save(model.state_dict(), tmp_path / "a.pt")
    result = import_run(tmp_path / "a.pt", tmp_path / "run", recipe="digits")
    assert (result.graph, result.recipe) == ("model", "digits")
    assert open_run(tmp_path / "run").config["model"]["options"] == {"widths": [300, 100]}
    dry = import_run(tmp_path / "a.pt", tmp_path / "other", recipe="digits", dry_run=True)
    assert (dry.recipe, dry.written) == ("digits", False)
    assert not (tmp_path / "other").exists()
