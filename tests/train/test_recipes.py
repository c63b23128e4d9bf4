"""Recipes: what they resolve to, and errors that name the key."""

import json

import pytest
from small_runs import recipe

from masktools.errors import RecipeError
from masktools.structure.configuration import flatten
from masktools_train.algorithms import REGISTRY
from masktools_train.data import REGISTRY as DATA
from masktools_train.models import build_model
from masktools_train.recipe import Recipe, load_recipe, packaged_recipes, resolve_recipe
from masktools_train.sparse_layer import prunable_weights
from masktools_train.training import plan

PLAIN = {"epochs": 2, "model": {"name": "mlp"}, "data": {"name": "digits"}}


def written(**tables):
    return {**PLAIN, **tables}


# -- what is packaged -----------------------------------------------------------------------------------------


def test_recipes_are_packaged():
    assert {"digits", "fashion-mnist", "cifar10-resnet20", "imagenet-resnet50"} <= set(packaged_recipes())


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_models_can_be_built_and_all_of_the_recipe_is_used(name):
    made = resolve_recipe(load_recipe(name))
    written = flatten(load_recipe(name))
    resolved = flatten(made.to_dict())
    chosen = f"algorithms.{made.algorithm.name}."
    for key, value in written.items():
        if not key.startswith("algorithms."):
            assert resolved[key] == value, key
        elif key.startswith(chosen) and key.removeprefix(chosen) not in ("distribution",):
            assert resolved["algorithm.options." + key.removeprefix(chosen)] == value
    shape = {"digits": (64,), "fashion-mnist": (1, 28, 28)}.get(made.data.name, (3, 32, 32))
    assert prunable_weights(build_model(made.model.name, made.model.options, shape, 10))
    assert made.data.name in DATA


def test_reference_hyper_parameters():
    # As the papers state them.
    ours = flatten(resolve_recipe(load_recipe("imagenet-resnet50")).to_dict())
    for key, value in {
        "optimizer.lr": 0.256,
        "optimizer.momentum": 0.875,
        "optimizer.weight_decay": 3.05e-5,
        "epochs": 100,
        "schedule.name": "cosine",
        "schedule.warmup_epochs": 5,
        "label_smoothing": 0.1,
    }.items():
        assert ours[key] == value
    ticket = resolve_recipe(load_recipe("cifar10-resnet20"), {"algorithm.name": "ltr"})
    assert (ticket.epochs, ticket.optimizer.lr, ticket.schedule.milestones) == (160, 0.1, (80, 120))
    assert (ticket.optimizer.weight_decay, ticket.batch_size) == (1e-4, 128)
    assert ticket.algorithm.options["rewind"] == "500it"


@pytest.mark.parametrize("algorithm", REGISTRY)
@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_resolves_for_every_algorithm(name, algorithm):
    made = resolve_recipe(load_recipe(name), {"algorithm.name": algorithm})
    assert made.name == name
    assert made.algorithm.name == algorithm
    assert made.algorithm.density == (1 if algorithm == "dense" else load_recipe(name)["algorithm"]["density"])
    assert made.algorithm.distribution in REGISTRY[algorithm].distributions
    # All options are spelled out, so that a change of defaults changes no recorded run.
    assert made.algorithm.options == REGISTRY[algorithm].model_validate(made.algorithm.options).model_dump()
    assert set(made.algorithm.options) == set(REGISTRY[algorithm].model_fields)
    assert Recipe.model_validate(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize("algorithm", REGISTRY)
def test_the_recipe_of_the_digits_can_be_planned(algorithm):
    found = plan(resolve_recipe(load_recipe("digits"), {"algorithm.name": algorithm}), "cpu")
    assert found["size"] == 64 * 300 + 300 * 100 + 100 * 10
    levels = found["epochs"] // 40
    assert (levels > 1) == (algorithm == "ltr")


def test_options_of_an_algorithm_count_only_where_it_is_run():
    digits = load_recipe("digits")
    assert resolve_recipe(digits).algorithm.distribution == "erk"
    assert resolve_recipe(digits, {"algorithm.name": "rigl"}).algorithm.options["delta_t"] == 20
    assert resolve_recipe(digits, {"algorithm.name": "ltr"}).algorithm.options["rewind"] == "2ep"
    assert resolve_recipe(digits, {"algorithm.name": "static"}).algorithm.options == {}


# -- overrides ------------------------------------------------------------------------------------------------


def test_overrides_win_over_everything():
    raw = written(algorithm={"name": "rigl", "density": 0.3}, algorithms={"rigl": {"density": 0.2, "delta_t": 7}})
    assert resolve_recipe(raw).algorithm.density == 0.2
    assert resolve_recipe(raw).algorithm.options["delta_t"] == 7
    made = resolve_recipe(
        raw,
        {
            "algorithm.density": 0.1,
            "algorithm.options.delta_t": 9,
            "optimizer.lr": 0.5,
            "seed": 3,
            "schedule.name": "step",
            "schedule.milestones": [1, 1.5],
            "model.options.widths": [4],
        },
    )
    assert (made.algorithm.density, made.algorithm.options["delta_t"], made.optimizer.lr, made.seed) == (0.1, 9, 0.5, 3)
    assert made.schedule.milestones == (1, 1.5)
    assert made.model.options == {"widths": [4]}
    # What was written is not changed by resolving it.
    assert raw == written(
        algorithm={"name": "rigl", "density": 0.3}, algorithms={"rigl": {"density": 0.2, "delta_t": 7}}
    )


def test_the_table_of_the_algorithm_may_be_overridden_as_a_whole():
    raw = written(
        algorithm={"name": "dnw", "density": 0.3, "dense_layers": ["first"]}, algorithms={"rigl": {"alpha": 0.5}}
    )
    table = {"name": "rigl", "options": {"delta_t": 7}}
    found = resolve_recipe(raw, {"algorithm": table, "algorithm.density": 0.2}).algorithm
    assert (found.name, found.density, found.distribution, found.dense_layers) == ("rigl", 0.2, "erk", ())
    assert found.options == {"alpha": 0.5, "delta_t": 7, "t_end": 0.75}
    assert table == {"name": "rigl", "options": {"delta_t": 7}}
    with pytest.raises(RecipeError, match="distribution 'uniform' does not go with ltr; use global"):
        resolve_recipe(raw, {"algorithm": {"name": "ltr", "distribution": "uniform"}})
    with pytest.raises(RecipeError, match=r"algorithm.options.delta_t: unknown key"):
        resolve_recipe(raw, {"algorithm": {"name": "dnw", "options": {"delta_t": 7}}})


@pytest.mark.parametrize("key", ["model", "data"])
def test_another_model_or_data_set_drops_the_options_of_the_first(key):
    raw = written(
        model={"name": "mlp", "options": {"widths": [3]}}, data={"name": "digits", "options": {"split_seed": 1}}
    )
    other = {"model": "conv-4", "data": "fashion-mnist"}[key]
    assert getattr(resolve_recipe(raw, {f"{key}.name": other}), key).options == {}
    same = getattr(resolve_recipe(raw), key)
    assert getattr(resolve_recipe(raw, {f"{key}.name": raw[key]["name"]}), key) == same
    assert same.options
    given = resolve_recipe(raw, {f"{key}.name": other, f"{key}.options.a": 1})
    assert getattr(given, key).options == {"a": 1}


def test_dense_by_override_has_density_one_unless_told_otherwise():
    raw = written(algorithm={"name": "dnw", "density": 0.1})
    assert resolve_recipe(raw, {"algorithm.name": "dense"}).algorithm.density == 1
    with pytest.raises(RecipeError, match="density: algorithm 'dense' keeps all weights"):
        resolve_recipe(raw, {"algorithm.name": "dense", "algorithm.density": 0.5})


def test_dense_with_a_density_that_the_recipe_itself_gives_it():
    """Nobody overrode anything: the recipe contradicts itself, and must not be put right in silence."""
    with pytest.raises(RecipeError, match="density"):
        resolve_recipe(written(algorithm={"name": "dense", "density": 0.5}))


# -- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (written(epoch=3), "epoch"),
        (written(optimizer={"learning_rate": 0.1}), "optimizer.learning_rate"),
        (written(schedule={"warmup": 1}), "schedule.warmup"),
        (written(model={"name": "mlp", "widths": [3]}), "model.widths"),
        (written(data={"name": "digits", "shifts": 1}), "data.shifts"),
        (written(snapshot={"weight": "none"}), "snapshot.weight"),
        (written(algorithm={"sparsity": 0.9}), "algorithm.sparsity"),
        (written(algorithm={"name": "rigl", "options": {"delta": 3}}), "delta"),
        (written(algorithms={"dnw": {"delta_t": 3}}), "delta_t"),
        (written(origin={"variant": "new"}), "origin.run"),
    ],
)
def test_unknown_keys_are_named(raw, key):
    with pytest.raises(RecipeError, match=key.replace(".", r"\.")):
        resolve_recipe(raw)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"algorithm.density": 0}, r"algorithm\.density"),
        ({"algorithm.density": 1.5}, r"algorithm\.density.*1\.5"),
        ({"algorithm.density": -0.1}, r"algorithm\.density"),
        ({"algorithm.density": float("nan")}, r"algorithm\.density"),
        ({"algorithm.density": "thick"}, r"algorithm\.density"),
        ({"algorithm.name": "prune"}, "'prune' is unknown; choose from dense, static, set, snfs, rigl"),
        ({"algorithm.name": "static", "algorithm.freeze_epoch": 1}, "freeze_epoch: the mask of algorithm 'static'"),
        ({"algorithm.name": "ltr", "algorithm.freeze_epoch": 1}, "freeze_epoch"),
        ({"algorithm.freeze_epoch": 3}, "freeze_epoch 3 is after the last epoch, 2"),
        ({"algorithm.freeze_epoch": -1}, r"algorithm\.freeze_epoch"),
        ({"algorithm.name": "rigl", "algorithm.distribution": "global"}, "'global' does not go with rigl; use erk"),
        ({"algorithm.name": "ltr", "algorithm.distribution": "erk"}, "'erk' does not go with ltr"),
        ({"algorithm.distribution": "normal"}, "'normal' does not go with dnw"),
        ({"algorithm.name": "ltr", "algorithm.options.rewind": "5"}, "rewind"),
        ({"algorithm.name": "ltr", "algorithm.options.prune_rate": 1}, "prune_rate"),
        ({"algorithm.name": "rigl", "algorithm.options.alpha": 0}, "alpha"),
        ({"algorithm.name": "rigl", "algorithm.options.delta_t": 0}, "delta_t"),
        ({"algorithm.name": "rigl", "algorithm.options.t_end": 1.1}, "t_end"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"label_smoothing": 1}, "label_smoothing"),
        ({"optimizer.name": "lion"}, r"optimizer\.name"),
        ({"optimizer.lr": 0}, r"optimizer\.lr"),
        ({"optimizer.lr": float("inf")}, r"optimizer\.lr"),
        ({"optimizer.lr": float("nan")}, r"optimizer\.lr"),
        ({"optimizer.momentum": 1}, r"optimizer\.momentum"),
        ({"optimizer.nesterov": True, "optimizer.momentum": 0}, "nesterov needs a momentum"),
        ({"optimizer.betas": [0.9, 1.5]}, r"optimizer\.betas"),
        ({"optimizer.betas": [0.9]}, r"optimizer\.betas"),
        ({"schedule.name": "step"}, "milestones"),
        ({"schedule.milestones": [1]}, "milestones"),
        ({"schedule.warmup_epochs": 3}, "warmup_epochs"),
        ({"data.augment": ["rotate"]}, r"data\.augment"),
        ({"snapshot.dtype": "int8"}, r"snapshot\.dtype"),
        ({"epochs.of": 3}, r"epochs\.of cannot be set"),
        ({"model.name.first": 3}, r"model\.name\.first cannot be set"),
    ],
)
def test_values_that_cannot_be_are_named(overrides, words):
    with pytest.raises(RecipeError, match=words):
        resolve_recipe(PLAIN, overrides)


@pytest.mark.parametrize("key", ["model", "data", "algorithm", "algorithms", "optimizer", "schedule", "snapshot"])
@pytest.mark.parametrize("value", ["a name", 3, ["a", "list"], True])
def test_a_value_where_a_table_belongs(key, value):
    with pytest.raises(RecipeError, match=key):
        resolve_recipe(written(**{key: value}))


@pytest.mark.parametrize("raw", [written(algorithm={"options": 3}), written(algorithms={"dnw": 3})])
def test_options_that_are_no_table(raw):
    with pytest.raises(RecipeError, match="must be a table"):
        resolve_recipe(raw)


@pytest.mark.parametrize("missing", ["epochs", "model", "data"])
def test_what_a_recipe_must_say(missing):
    with pytest.raises(RecipeError, match=missing):
        resolve_recipe({key: value for key, value in PLAIN.items() if key != missing})


# -- files ----------------------------------------------------------------------------------------------------


def test_a_file_is_a_recipe_of_its_name(tmp_path):
    path = tmp_path / "my-net.toml"
    path.write_text('epochs = 2\n[model]\nname = "mlp"\n[data]\nname = "digits"\n[algorithms.rigl]\nalpha = 0.5\n')
    made = resolve_recipe(load_recipe(str(path)), {"algorithm.name": "rigl"})
    assert made.name == "my-net"
    assert made.algorithm.options["alpha"] == 0.5


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"epochs = ", "not TOML"), (b"\xff\xfe", "cannot be read"), (b"epochs = 1\nepochs = 2", "not TOML")],
)
def test_files_that_are_no_recipe(content, words, tmp_path):
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)


def test_recipes_that_are_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"neither a file nor a packaged recipe \(.*digits"):
        load_recipe("digit")
    with pytest.raises(RecipeError, match="neither a file"):
        load_recipe(str(tmp_path))


def test_a_recipe_is_frozen_and_complete():
    made = recipe("rigl")
    with pytest.raises(ValueError, match="frozen"):
        made.epochs = 3
    assert Recipe.model_validate(made.to_dict()) == made
