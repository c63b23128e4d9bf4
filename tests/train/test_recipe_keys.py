"""What is said of a key that a recipe does not have."""

import pytest

from masktools.errors import RecipeError
from masktools_train.recipe import Recipe, load_recipe, resolve_recipe
from masktools_train.recipe_keys import keys_of, meant

OF_OPTIMIZER = "optimizer has name, lr, momentum, nesterov, weight_decay, betas, eps"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("densty", "did you mean algorithm.density?"),
        ("algorithm.densty", "did you mean algorithm.density?"),
        ("lr", "did you mean optimizer.lr?"),
        ("optimizer.delta_t", "did you mean algorithm.options.delta_t?"),
        ("optimzer.lr", "did you mean optimizer?"),
        ("epoch", "did you mean epochs?"),
        ("schedule.nane", "did you mean schedule.name?"),
        ("optimizer.learning_rate", OF_OPTIMIZER),
        ("data.path", "data has name, options, augment, shift"),
        ("algorithm.options.gamma_", "did you mean schedule.gamma?"),
    ],
)
def test_the_key_that_was_meant_or_those_of_the_table(key, words):
    with pytest.raises(RecipeError) as caught:
        resolve_recipe(load_recipe("digits"), {"algorithm.name": "rigl", key: 1})
    wrong = key.partition(".")[0] if key.startswith("optimzer") else key
    assert f"recipe: {wrong}: unknown key ({words})" in str(caught.value)


def test_keys_of_a_file_are_told_in_the_same_way():
    raw = {**load_recipe("digits"), "learning_rate": 0.1, "optimizer": {"learning_rate": 0.1}}
    with pytest.raises(RecipeError) as caught:
        resolve_recipe(raw)
    assert f"optimizer.learning_rate: unknown key ({OF_OPTIMIZER})" in str(caught.value)
    assert "; learning_rate: unknown key (a recipe has name, seed, epochs, " in str(caught.value)


def test_every_key_of_every_table_is_known():
    known = set(keys_of(Recipe))
    for key in (*_dotted(resolve_recipe(load_recipe("digits")).to_dict()),):
        # Options of models, data and algorithms are their own.
        assert key in known or ".options." in key or key.startswith("algorithm.layer_densities.")


def _dotted(tree, prefix=""):
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")


def test_a_table_that_there_is_not():
    assert meant("zzz.yyy", ["optimizer", "optimizer.lr"]) == "there is no table zzz"
