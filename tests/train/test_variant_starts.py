"""What each way of starting again starts from: masks and weights, against NumPy."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from small_runs import CLASSES, FEATURES, recipe
from torch import nn

from masktools.errors import RecipeError, RunError, SnapshotError
from masktools.nulls.ladder import LADDER
from masktools.runs import open_run
from masktools_train import train
from masktools_train.budgets import erk
from masktools_train.initialization import initial_model, load_into
from masktools_train.reevaluate.retraining import restored
from masktools_train.reevaluate.variants.registry import VARIANTS, find_variant
from masktools_train.reevaluate.variants.structures import erk_counts
from masktools_train.reevaluate.variants.variant import Asked

CONV, GROUPED, HEAD = "0.weight", "2.weight", "5.weight"


def grouped(input_shape, classes):
    """A grouped convolution among others, and a head that one may want dense."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 6, 3), nn.ReLU(), nn.Conv2d(6, 8, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(8 * 2 * 2, classes),
    )  # fmt: skip


def images(**changes):
    return recipe(
        "rigl", model__name="test_variant_starts:grouped", data__name="small_runs:pictures",
        algorithm__density=0.4, algorithm__dense_layers=["last"], epochs=2, **changes,
    )  # fmt: skip


@pytest.fixture(scope="module")
def conv_run(tmp_path_factory):
    return train(images(), tmp_path_factory.mktemp("conv") / "run", device="cpu").run


@pytest.fixture(scope="module")
def dnw_run(tmp_path_factory):
    """Its final mask has weights that its first one had not."""
    changes = {"model__name": "small_runs:noisy", "optimizer__lr": 0.5}
    return train(recipe("dnw", **changes), tmp_path_factory.mktemp("dnw") / "run", device="cpu").run


def asked(path, seed=1, epoch=None, **options):
    return Asked(restored(path, open_run(path).at(epoch).epoch, "cpu"), seed, **options)


def start(path, name, seed=1, epoch=None, **options):
    """Make a start, and say that nothing was in its way."""
    question = asked(path, seed, epoch, **options)
    find_variant(name).check(question)
    return find_variant(name).start(question)


def masks(found):
    return {name: mask.numpy() for name, mask in found.masks.items()}


def of(snapshot):
    return {name: mask.to_bool() for name, mask in snapshot.masks().items()}


def fan_in(mask):
    return mask.reshape(len(mask), -1).sum(1).tolist()


def fan_out(mask, groups=1):
    return mask.reshape(groups, len(mask) // groups, mask.shape[1], -1).sum((1, 3)).tolist()


def kernels(mask):
    return mask.reshape(*mask.shape[:2], -1).sum(2).tolist()


KEPT = {
    "layer": lambda name, mask: int(mask.sum()),
    "neuron": lambda name, mask: fan_in(mask),
    "degree": lambda name, mask: (fan_in(mask), fan_out(mask, 2 if name == GROUPED else 1)),
    "tap": lambda name, mask: kernels(mask),
}
"""What each rung but the first keeps of a layer, from the one that keeps least."""


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("null", ["global", *KEPT])
def test_a_shuffle_keeps_what_its_rung_keeps_and_nothing_beyond(null, seed, conv_run):
    own, drawn = of(open_run(conv_run).final), masks(start(conv_run, f"{null}-shuffled", seed))
    assert drawn.keys() == own.keys()
    # The head is dense by choice, and stays out of it.
    assert own[HEAD].all()
    np.testing.assert_array_equal(drawn[HEAD], own[HEAD])
    shuffled = (CONV, GROUPED)
    assert all((drawn[name] != own[name]).any() for name in shuffled)
    assert sum(drawn[name].sum() for name in shuffled) == sum(own[name].sum() for name in shuffled)
    place = list(LADDER).index(null)
    for number, (kind, measure) in enumerate(KEPT.items(), start=1):
        same = [measure(name, drawn[name]) == measure(name, own[name]) for name in shuffled]
        if number <= place:
            assert all(same), kind
        else:
            # One input channel, as the first layer has, makes some rungs keep by accident what they need not.
            assert not all(same), kind


def test_a_shuffle_is_drawn_by_its_seed(conv_run):
    for null in LADDER:
        one, same, other = (masks(start(conv_run, f"{null}-shuffled", seed)) for seed in (4, 4, 5))
        np.testing.assert_array_equal(one[GROUPED], same[GROUPED])
        assert (one[GROUPED] != other[GROUPED]).any()


def test_a_layer_shuffle_is_uniform(dnw_run):
    """Each weight is active equally often, whether it was in the mask or not."""
    own = of(open_run(dnw_run).final)["4.weight"]
    question, variant = asked(dnw_run), find_variant("layer-shuffled")
    draws = [masks(variant.start(dataclasses.replace(question, seed=seed))) for seed in range(400)]
    hits = sum(drawn["4.weight"].astype(int) for drawn in draws)
    p = own.sum() / own.size
    assert hits.sum() == 400 * own.sum()
    spread = np.sqrt(400 * p * (1 - p))
    assert np.abs(hits - 400 * p).max() < 4 * spread
    assert abs(hits[own].mean() - 400 * p) < 4 * spread / np.sqrt(own.sum())


@pytest.mark.parametrize("name", ["layer-shuffled", "new", "erk-random"])
def test_new_weights_are_left_to_the_recipe(name, conv_run):
    assert start(conv_run, name).state is None
    assert (start(conv_run, name).epoch, start(conv_run, name).level) == (0, 0)


def test_erk_random_has_as_many_weights_where_erk_puts_them(conv_run):
    own, drawn = of(open_run(conv_run).final), masks(start(conv_run, "erk-random"))
    np.testing.assert_array_equal(drawn[HEAD], own[HEAD])
    total = int(own[CONV].sum() + own[GROUPED].sum())
    assert drawn[CONV].sum() + drawn[GROUPED].sum() == total
    # By hand: shares in proportion to the sum over the product of the dimensions, none above 1.
    raw = {name: Fraction(sum(own[name].shape), own[name].size) for name in (CONV, GROUPED)}
    scale = total / (raw[CONV] * own[CONV].size + raw[GROUPED] * own[GROUPED].size)
    for name in raw:
        assert scale * raw[name] < 1
        assert abs(drawn[name].sum() - scale * raw[name] * own[name].size) < 2


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (300, 784), "b": (100, 300), "c": (10, 100)},
        {"a": (6, 1, 3, 3), "b": (16, 6, 3, 3), "c": (10, 64), "d": (2, 3)},
        {"a": (2, 2), "b": (2, 2), "c": (3, 3)},
        {"a": (5, 4)},
    ],
)
def test_erk_counts_are_those_of_erk_but_for_what_rounding_adds(shapes):
    size = sum(int(np.prod(shape)) for shape in shapes.values())
    for active in {0, 1, 2, 3, size // 7, size // 3, size // 2, size - 2, size - 1, size}:
        counts = erk_counts(shapes, active)
        assert sum(counts.values()) == active
        assert all(0 <= counts[name] <= int(np.prod(shape)) for name, shape in shapes.items())
        if active == 0:
            continue
        rounded = erk(shapes, active / size)
        taken = {name: rounded[name] - counts[name] for name in shapes}
        sparse = [name for name in shapes if rounded[name] < int(np.prod(shapes[name]))]
        if sum(taken.values()) <= len(sparse):
            assert set(taken.values()) <= {0, 1}
            assert all(taken[name] == 0 for name in shapes if name not in sparse)
            room = {name: int(np.prod(shapes[name])) - rounded[name] for name in sparse}
            from_ = [name for name in sparse if taken[name]]
            assert all(room[name] >= room[other] for name in from_ for other in set(sparse) - set(from_))


def test_the_original_has_initial_values_for_weights_that_came_later(dnw_run):
    run, found = open_run(dnw_run), start(dnw_run, "original")
    for name, mask in of(run.final).items():
        np.testing.assert_array_equal(masks(found)[name], mask)
        np.testing.assert_array_equal(found.state[name].numpy(), run.at(0).weight(name))
    for name, value in run.at(0).tensors().items():
        np.testing.assert_array_equal(found.state[name].numpy(), value)


@pytest.mark.parametrize("signs", ["sign", "final-sign"])
@pytest.mark.parametrize("magnitude", ["constant", "new"])
def test_signs_are_the_run_s_and_magnitudes_are_not(signs, magnitude, dnw_run):
    run, found = open_run(dnw_run), start(dnw_run, f"{signs}-{magnitude}", seed=7)
    fresh = initial_model(recipe("dnw", model__name="small_runs:noisy", seed=7), (FEATURES,), CLASSES).state_dict()
    turned = 0
    for name, mask in of(run.final).items():
        first, last = run.at(0).weight(name), run.final.weight(name)
        np.testing.assert_array_equal(masks(found)[name], mask)
        value = found.state[name].numpy()
        source = first if signs == "sign" else last
        np.testing.assert_array_equal(np.sign(value[mask]), np.sign(source[mask]))
        assert (value[mask] != 0).all()
        turned += int((np.sign(first) != np.sign(last))[mask].sum())
        if magnitude == "new":
            np.testing.assert_array_equal(np.abs(value[mask]), np.abs(fresh[name].numpy()[mask]))
        else:
            wide = first.astype(np.float64)
            deviation = np.sqrt(np.mean((wide - wide.mean()) ** 2))  # of the population: all weights of the layer
            np.testing.assert_allclose(np.abs(value[mask]), deviation, rtol=1e-6)
            assert len(np.unique(np.abs(value[mask]))) == 1
    assert turned > 0, "initial and trained signs are the same, so that nothing tells the variants apart"
    for name, value in fresh.items():
        if name not in found.masks:
            np.testing.assert_array_equal(found.state[name].numpy(), value.numpy())


@pytest.mark.parametrize("name", ["sign-new", "final-sign-constant"])
def test_a_weight_of_two_names_has_one_value(name, tmp_path):
    path = train(recipe("dnw", model__name="small_runs:tied"), tmp_path / "run", device="cpu").run
    found, model = start(path, name, seed=3), initial_model(recipe("dnw", model__name="small_runs:tied"), (10,), 3)
    load_into(model, found.state)
    assert model.inner.weight is model.again.weight
    for layer in found.masks:
        np.testing.assert_array_equal(model.state_dict()[layer].numpy(), found.state[layer].numpy())


def permuted(path, folder, order):
    """Write a run that is another one with the hidden units of its first layer in another order."""
    from masktools.run_writer import RunWriter
    from masktools.snapshot.content import LayerContent, SnapshotContent

    run, writer = open_run(path), RunWriter(folder)
    writer.describe({"config": run.config})
    for snapshot in run:
        move = {"0.weight": lambda values: values[order], "4.weight": lambda values: values[:, order]}
        layers = tuple(
            LayerContent.from_dense(name, move[name](snapshot.mask(name)), move[name](snapshot.weight(name)), "dense")
            for name in snapshot.layers
        )
        rows = {name: value[order] if value.shape == (16,) else value for name, value in snapshot.tensors().items()}
        writer.snapshot(SnapshotContent(snapshot.epoch, snapshot.step, layers, run.config, rows, snapshot.topology))
    return writer.path


def test_another_mask_is_taken_as_it_is_or_put_in_order(dnw_run, tmp_path):
    """A run that is this one with its hidden units permuted: put in order, its mask is this run's."""
    order = np.random.default_rng(5).permutation(16)
    other, own = open_run(permuted(dnw_run, tmp_path / "other", order)), of(open_run(dnw_run).final)
    plain, aligned = (start(dnw_run, name, other=other) for name in ("other", "other-aligned"))
    for name, mask in own.items():
        np.testing.assert_array_equal(masks(plain)[name], other.final.mask(name))
        np.testing.assert_array_equal(masks(aligned)[name], mask)
    assert (masks(plain)["0.weight"] != own["0.weight"]).any()
    for found in (plain, aligned):
        for name, value in found.state.items():
            expected = {**open_run(dnw_run).at(0).weights(), **open_run(dnw_run).at(0).tensors()}[name]
            np.testing.assert_array_equal(value.numpy(), expected)
    question = dataclasses.replace(asked(dnw_run), other=other)
    options = find_variant("other").options(question)
    assert options["other"] == "other"
    itself = find_variant("other").options(dataclasses.replace(question, other=open_run(dnw_run)))
    assert options["other_digest"] != itself["other_digest"]


@pytest.mark.parametrize("name", ["other", "other-aligned"])
def test_another_network_or_none_is_no_other(name, dnw_run, conv_run):
    variant = find_variant(name)
    with pytest.raises(RecipeError, match="name it"):
        variant.options(asked(dnw_run))
    with pytest.raises(
        RecipeError, match=r"of another network: layer 0\.weight is \(6, 1, 3, 3\) there and \(16, 10\)"
    ):
        variant.options(asked(dnw_run, other=open_run(conv_run)))


def test_alignment_needs_a_graph(tmp_path):
    path = train(recipe("dnw", model__name="small_runs:odd", epochs=1), tmp_path / "run", device="cpu").run
    with pytest.raises(RecipeError, match="no operator graph to align along"):
        start(path, "other-aligned", other=open_run(path))
    assert masks(start(path, "other", other=open_run(path))).keys() == {"fc.weight"}


@pytest.fixture(scope="module")
def ticket(tmp_path_factory):
    changes = {"algorithm__density": 0.4, "algorithm__options__rewind": "9it"}
    return train(recipe("ltr", **changes), tmp_path_factory.mktemp("ltr") / "run", device="cpu").run


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({}, RecipeError, "rewound to step 9, within epoch 2, of which there is no snapshot"),
        ({"rewind_epoch": 6, "epochs": 9}, RecipeError, "epoch 6 is of level 1"),
        ({"rewind_epoch": 4}, RecipeError, "epoch 4 is not before the end of training, epoch 4"),
        ({"rewind_epoch": 3, "epochs": 3}, RecipeError, "epoch 3 is not before the end of training, epoch 3"),
        ({"rewind_epoch": -1}, RecipeError, "epoch -1 is not before"),
        ({"rewind_epoch": 99, "epochs": 100}, RunError, "no snapshot of epoch 99"),
    ],
)
def test_where_tickets_cannot_go_back_to(options, error, words, ticket):
    with pytest.raises(error, match=words):
        start(ticket, "rewound", **options)


def test_a_given_epoch_is_gone_back_to(ticket):
    run, found = open_run(ticket), start(ticket, "rewound", rewind_epoch=2)
    assert (found.epoch, found.level) == (2, run.final.extra["level"])
    for name, mask in of(run.final).items():
        np.testing.assert_array_equal(masks(found)[name], mask)
        np.testing.assert_array_equal(found.state[name].numpy(), run.at(2).weight(name))


def test_only_tickets_know_where_to_go_back_to(conv_run):
    with pytest.raises(RecipeError, match="a run of rigl rewinds to no epoch; name one"):
        start(conv_run, "rewound")
    assert start(conv_run, "rewound", rewind_epoch=1).epoch == 1


@pytest.mark.parametrize("name", ["dnw", "edge-popup"])
def test_weights_that_trained_behind_the_mask_have_to_be_there(name, tmp_path):
    changes = {"optimizer__lr": 0.5}
    active, dense = (
        train(recipe(name, snapshot__weights=kind, **changes), tmp_path / kind, device="cpu").run
        for kind in ("active", "dense")
    )
    hidden = sum(
        int((mask & ~open_run(active).at(1).mask(layer)).sum()) for layer, mask in of(open_run(active).final).items()
    )
    assert hidden > 0
    with pytest.raises(
        RecipeError, match=rf"{hidden} weights of the mask were not active in epoch 1, and .*epoch-0001"
    ):
        start(active, "rewound", rewind_epoch=1)
    found = start(dense, "rewound", rewind_epoch=1)
    for layer, mask in of(open_run(dense).final).items():
        np.testing.assert_array_equal(found.state[layer].numpy(), open_run(dense).at(1).weight(layer))
        assert (found.state[layer].numpy()[mask] != 0).all()
    # Nothing is hidden from a mask of then, nor at the beginning.
    assert start(active, "rewound", epoch=1, rewind_epoch=1).epoch == 1
    assert start(active, "rewound", rewind_epoch=0).epoch == 0


def test_what_cannot_be_shuffled_is_no_control(tmp_path, dnw_run):
    """The same mask with new weights is another variant."""
    dense = train(recipe("dense", epochs=1), tmp_path / "dense", device="cpu").run
    for name in ("global-shuffled", "layer-shuffled", "neuron-shuffled", "degree-shuffled", "erk-random"):
        with pytest.raises(RecipeError, match=f"variant '{name}'"):
            find_variant(name).check(asked(dense))
    with pytest.raises(RecipeError, match=r"variant 'tap-shuffled': .*nothing can be shuffled"):
        find_variant("tap-shuffled").check(asked(dnw_run))


NEEDING = {"original", "sign-constant", "sign-new", "final-sign-constant", "final-sign-new", "other", "other-aligned"}


@pytest.mark.parametrize("name", sorted(NEEDING))
def test_weights_that_were_not_recorded_are_missed(name, tmp_path):
    path = train(recipe("static", snapshot__weights="none", epochs=1), tmp_path / "run", device="cpu").run
    with pytest.raises(SnapshotError, match=r"epoch-0000\.h5: was written without weights"):
        start(path, name, other=open_run(path))


@pytest.mark.parametrize("name", ["new", "layer-shuffled", "degree-shuffled", "erk-random"])
def test_a_mask_alone_is_enough_for_new_weights(name, tmp_path):
    path = train(recipe("static", snapshot__weights="none", epochs=1), tmp_path / "run", device="cpu").run
    assert start(path, name).masks.keys() == set(open_run(path).final.layers)


def test_a_run_without_its_beginning(dnw_run, tmp_path):
    single = tmp_path / "epoch-0004.h5"
    single.write_bytes((dnw_run / "epoch-0004.h5").read_bytes())
    with pytest.raises(RunError, match="no snapshot of epoch 0"):
        start(single, "original")
    assert start(single, "new").state is None


def test_every_variant_says_what_it_is():
    assert len({variant.summary for variant in VARIANTS.values()}) == len(VARIANTS)
    assert {name for name, variant in VARIANTS.items() if not variant.draws_weights} == {
        "original", "rewound", "other", "other-aligned",
    }  # fmt: skip
    with pytest.raises(RecipeError, match=r"variant 'shuffled' is unknown; choose from original, .*layer-shuffled"):
        find_variant("shuffled")


def test_signs_are_taken_from_the_epoch_of_the_mask(dnw_run):
    run, found = open_run(dnw_run), start(dnw_run, "final-sign-constant", epoch=1)
    for name, mask in of(run.at(1)).items():
        np.testing.assert_array_equal(masks(found)[name], mask)
        np.testing.assert_array_equal(np.sign(found.state[name].numpy()[mask]), np.sign(run.at(1).weight(name)[mask]))
    assert isinstance(found.state["0.weight"], torch.Tensor)
