"""Layers with a density of their own, and layers named by their place."""

import pytest
from small_runs import recipe
from user_loop import net, sparse, step

from masktools.errors import RecipeError
from masktools_train import train
from masktools_train.algorithms import DNW, RigL, Static
from masktools_train.budgets import erk, layer_counts, named_layers
from masktools_train.training import plan

SHAPES = {"a": (10, 10), "b": (20, 10), "c": (5, 20)}


def counts(sparsifier):
    return {layer.name: layer.count for layer in sparsifier.layers}


def test_counts_by_hand():
    assert layer_counts(SHAPES, 0.1, "uniform", (), {"b": 0.33}) == {"a": 10, "b": 66, "c": 10}
    assert layer_counts(SHAPES, 0.1, "uniform", ("a",), {"b": 0.001}) == {"a": 100, "b": 1, "c": 10}
    # The others share the density among themselves, as if the layer were not there.
    others = erk({"a": (10, 10), "c": (5, 20)}, 0.1)
    assert layer_counts(SHAPES, 0.1, "erk", (), {"b": 0.5}) == {"a": others["a"], "b": 100, "c": others["c"]}
    assert layer_counts(SHAPES, 0.1, "erk", (), dict.fromkeys(SHAPES, 0.5)) == {"a": 50, "b": 100, "c": 50}


def test_names_of_places():
    assert named_layers(["first", "b", "last"], list(SHAPES)) == ("a", "b", "c")
    # A layer that is called so is meant itself.
    assert named_layers(["last"], ["last", "other"]) == ("last",)
    with pytest.raises(RecipeError, match="dense layer 'z' is no layer; layers are a, b, c"):
        named_layers(["z"], list(SHAPES))


@pytest.mark.parametrize("algorithm", [Static(), RigL(delta_t=2), DNW()], ids=lambda a: a.name)
def test_they_hold_throughout(algorithm):
    model = net()
    built, sparsifier = sparse(
        model, algorithm, distribution="uniform", layer_densities={"first": 0.5, "4.weight": 0.05}
    )
    expected = {"0.weight": 18, "4.weight": 32, "6.weight": 6}
    for number in range(8):
        assert counts(sparsifier) == expected
        assert {name: int(mask.sum()) for name, mask in sparsifier.masks().items()} == expected
        step(model, built, number)
    assert sparsifier.target == 56


def test_first_and_last_in_a_loop_of_ones_own():
    _, sparsifier = sparse(net(), Static(), distribution="uniform", dense_layers=["first", "last"])
    assert counts(sparsifier) == {"0.weight": 36, "4.weight": 128, "6.weight": 30}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer_densities": {"9.weight": 0.5}}, "layer_densities: '9.weight' is no layer; layers are 0.weight"),
        ({"layer_densities": {"first": 1.5}}, "density must be above 0 and at most 1, got 1.5"),
        ({"layer_densities": {"first": 0.5}, "dense_layers": ["0.weight"]}, "'0.weight' is among dense_layers already"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(options, words):
    with pytest.raises(RecipeError, match=words):
        sparse(net(), Static(), **options)


def test_layers_that_compete_have_none_of_their_own():
    with pytest.raises(RecipeError, match="layers compete under the distribution 'global'; use another one"):
        sparse(net(), DNW(), distribution="global", layer_densities={"first": 0.5})
    with pytest.raises(RecipeError, match="layers compete under the distribution 'global'"):
        recipe("snip", algorithm__layer_densities={"first": 0.5})
    with pytest.raises(RecipeError, match="algorithm 'dense' keeps all weights"):
        recipe("dense", algorithm__layer_densities={"first": 0.5})
    with pytest.raises(RecipeError, match=r"algorithm.layer_densities.first.*less than or equal to 1"):
        recipe("dnw", algorithm__layer_densities={"first": 2})


@pytest.mark.parametrize("name", ["static", "set", "snip", "gmp", "edge-popup"])
def test_in_a_recipe(name):
    made = recipe(
        name, algorithm__layer_densities={"first": 0.1, "fc2.weight": 0.25}, algorithm__distribution="uniform"
    )
    assert plan(made, "cpu")["target"] == 12 + 24 + 5
    assert train(made, None, device="cpu").final.active == 12 + 24 + 5
