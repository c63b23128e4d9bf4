"""Data and models by ``package.module:function``, and what such a function may not return."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn

from masktools.errors import RecipeError
from masktools_train.data import Dataset, load_data
from masktools_train.models import build_model

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.random((6, 4), dtype=np.float32), np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def own(monkeypatch):
    """A module of the user's; the test puts functions into it."""
    module = types.ModuleType("own_package.own_module")
    monkeypatch.setitem(sys.modules, "own_package", types.ModuleType("own_package"))
    monkeypatch.setitem(sys.modules, "own_package.own_module", module)
    return module


def data(own, returned):
    own.made = lambda: returned
    return load_data("own_package.own_module:made", {})


def test_a_function_may_return_four_arrays(own):
    found = data(own, (X[:4], Y[:4], X[4:], Y[4:]))
    assert found.classes == 3
    torch.testing.assert_close(found.train_inputs, torch.from_numpy(X[:4]))
    assert found.test_targets.tolist() == [1, 2]
    assert found.mean == pytest.approx(X[:4].mean())


def test_a_function_may_return_a_data_set_or_tensors_or_lists(own):
    ready = Dataset(torch.ones(2, 3), torch.tensor([0, 1]), torch.ones(1, 3), torch.tensor([1]), 5)
    assert data(own, ready) is ready
    assert torch.equal(ready.normalized(ready.train_inputs), ready.train_inputs)
    listed = data(own, (X[:4].tolist(), Y[:4].tolist(), X[4:].tolist(), Y[4:].tolist()))
    tensors = data(own, tuple(torch.from_numpy(a) for a in (X[:4], Y[:4], X[4:], Y[4:])))
    assert listed.train_targets.tolist() == tensors.train_targets.tolist() == [0, 1, 2, 0]


def test_the_arrays_of_the_caller_are_copied(own):
    read_only = X[:4].copy()
    read_only.flags.writeable = False
    mine = Y[:4].copy()
    found = data(own, (read_only, mine, X[4:], Y[4:]))
    found.train_inputs.zero_()
    found.train_targets.zero_()
    assert read_only.any()
    assert mine.any()


def test_options_are_passed_on(own):
    def made(count, *, label=0):
        return X[:count], np.full(count, label), X, np.zeros(6)

    own.made = made
    found = load_data("own_package.own_module:made", {"count": 3, "label": 4})
    assert found.train_targets.tolist() == [4, 4, 4]
    assert found.classes == 5
    with pytest.raises(RecipeError, match=r"data 'own_package.own_module:made' does not take these options"):
        load_data("own_package.own_module:made", {"size": 3})


NAN = np.where(np.arange(24).reshape(6, 4) == 5, np.nan, X)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (None, "returned NoneType"),
        ((X, Y, X), "returned tuple"),
        ([X, Y, X, Y], "returned list"),
        (X, "returned ndarray"),
        ((X, Y[:5], X, Y), "training inputs .* do not fit"),
        ((X, Y, X, Y[:5]), "test inputs .* do not fit"),
        ((X, np.eye(6)[Y], X, Y), "do not fit"),
        ((X[:, 0], Y, X, Y), "do not fit"),
        ((X[:0], Y[:0], X, Y), "there are no training examples"),
        ((X, Y, X[:0], Y[:0]), "there are no test examples"),
        ((X, Y, X[:, :3], Y), "inputs differ"),
        ((X, Y - 1, X, Y), "class numbers"),
        ((X, Y, X, Y - 1), "class numbers"),
        ((X, Y + 0.5, X, Y), "class numbers"),
        ((X, Y, X, Y * np.nan), "class numbers"),
        ((X, np.array(list("abcabc")), X, Y), "numbers"),
        ((NAN, Y, X, Y), "NaN or infinity"),
        ((X, Y, NAN, Y), "NaN or infinity"),
        ((np.where(np.isnan(NAN), np.inf, X), Y, X, Y), "NaN or infinity"),
        ((np.full((6, 4), "a"), Y, X, Y), "numbers"),
        ((np.full((6, 4), None), Y, X, Y), "numbers"),
        (([[1, 2], [3]], Y, X, Y), "numbers"),
        ((X * 1j, Y, X * 1j, Y), "numbers"),
    ],
)
def test_what_is_no_data_set_is_refused(returned, words, own):
    with pytest.raises(RecipeError, match=words):
        data(own, returned)


def test_class_numbers_stored_as_whole_floats_are_taken(own):
    assert data(own, (X, Y.astype(np.float64), X, Y.astype(np.uint8))).train_targets.tolist() == Y.tolist()


def test_a_constant_channel_is_not_divided_by_zero(own):
    images = np.full((4, 2, 3, 3), 0.1)
    images[:, 1] = RANDOM.random((4, 3, 3))
    found = data(own, (images, [0, 1, 0, 1], images, [0, 1, 0, 1]))
    values = found.normalized(found.train_inputs)
    assert not values[:, 0].any()
    assert values[:, 1].mean().item() == pytest.approx(0, abs=1e-6)
    assert values[:, 1].std(correction=0).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", "unknown; choose from digits, fashion-mnist, idx, .*, imagenet, or package.module:function"),
        ("no_such_module:f", "cannot be imported: No module named"),
        ("own_package.own_module:g", "cannot be imported"),
        ("own_package.own_module:", "cannot be imported"),
        (":f", "cannot be imported"),
        (".relative:f", "cannot be imported"),
        ("own_package.own_module:number", "is not a function"),
    ],
)
def test_names_that_lead_nowhere(name, words, own):
    own.number = 3
    with pytest.raises(RecipeError, match=words) as caught:
        load_data(name, {})
    assert repr(name) in str(caught.value)


def test_a_model_by_its_function(own):
    class Net(nn.Module):
        def __init__(self, input_shape, classes, wide=False):
            super().__init__()
            self.arguments = (input_shape, classes, wide)

    own.Net, own.number, own.none = Net, 3, lambda input_shape, classes: None
    built = build_model("own_package.own_module:Net", {"wide": True}, [1, 8, 8], 10)
    assert built.arguments == ((1, 8, 8), 10, True)
    with pytest.raises(RecipeError, match=r"returned NoneType, not a torch.nn.Module"):
        build_model("own_package.own_module:none", {}, [4], 2)
    with pytest.raises(RecipeError, match=r"model 'own_package.own_module:Net' does not take these options"):
        build_model("own_package.own_module:Net", {"deep": True}, [4], 2)
    with pytest.raises(RecipeError, match="model 'vgg' is unknown; choose from mlp, lenet-300-100, lenet-5, conv-2, "):
        build_model("vgg", {}, [4], 2)


def test_an_error_inside_the_function_is_told_as_its_own(own):
    def broken():
        return 1 + "one"

    def refusing():
        raise RecipeError("not today")

    own.broken, own.refusing = broken, refusing
    words = "data 'own_package.own_module:broken' fails: TypeError: unsupported operand"
    with pytest.raises(RecipeError, match=words) as caught:
        load_data("own_package.own_module:broken", {})
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(RecipeError, match=r"^not today$"):
        load_data("own_package.own_module:refusing", {})


@pytest.mark.parametrize("widths", [[0], [-3], [2.5], ["a"], [10, 0], 3, "ab"])
def test_widths_of_a_perceptron(widths):
    with pytest.raises(RecipeError, match="widths must be positive integers"):
        build_model("mlp", {"widths": widths}, [4], 2)


@pytest.mark.parametrize(("name", "shape"), [("conv-4", [64]), ("conv-4", [1, 3, 8]), ("resnet20", [64])])
def test_networks_for_images_refuse_other_inputs(name, shape):
    with pytest.raises(RecipeError, match="inputs of shape"):
        build_model(name, {}, shape, 10)


def test_sizes_of_the_built_in_networks():
    def weights(name, shape, **options):
        model = build_model(name, options, shape, 10)
        return sum(p.numel() for n, p in model.named_parameters() if p.ndim > 1)

    assert weights("lenet-300-100", [1, 28, 28]) == 784 * 300 + 300 * 100 + 100 * 10
    assert weights("mlp", [1, 8, 8], widths=[]) == 640
    # ResNet-20 of He et al. has .27 M parameters; with projections 2 * (16 * 32 + 32 * 64 - 0) / 2 more.
    assert (
        weights("resnet20", [3, 32, 32]) == 432 + 6 * 2304 + (4608 + 5 * 9216 + 512) + (18432 + 5 * 36864 + 2048) + 640
    )
    # Conv-4 of Frankle and Carbin: 2.4 M weights on CIFAR-10.
    assert weights("conv-4", [3, 32, 32]) == 1728 + 36864 + 73728 + 147456 + 8192 * 256 + 256 * 256 + 2560


def test_the_working_directory_is_looked_into_last(tmp_path, monkeypatch):
    (tmp_path / "mine_alone.py").write_text(
        "from torch import nn\ndef net(input_shape, classes): return nn.Linear(4, 2)\n"
    )
    (tmp_path / "torch.py").write_text("raise RuntimeError('a file of this name must not be taken for torch')\n")
    (tmp_path / "broken_alone.py").write_text("def net(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    assert isinstance(build_model("mine_alone:net", {}, [4], 2), torch.nn.Linear)
    assert sys.path[-1] == str(tmp_path)
    with pytest.raises(RecipeError, match="model 'broken_alone:net' cannot be imported: SyntaxError"):
        build_model("broken_alone:net", {}, [4], 2)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("digits", {"split_seed": "x"}),
        ("digits", {"test_share": "x"}),
        ("idx", {"path": 3}),
        ("image-folder", {"path": 3}),
        ("image-folder", {"path": ".", "size": "x", "resize": "y"}),
    ],
)
def test_options_of_another_kind_are_one_sentence(name, options):
    with pytest.raises(RecipeError, match="data"):
        load_data(name, options)
    with pytest.raises(RecipeError, match="model 'mobilenet-v2' does not take these options"):
        build_model("mobilenet-v2", {"width": "x"}, (3, 32, 32), 10)
