"""Training again from where a run itself started is the run itself, to the bit; and from elsewhere it is not."""

import numpy as np
import pytest
from small_runs import recipe

from masktools.runs import open_run
from masktools_train import reinit, train

VANISHING = {"epoch", "step", "level", "seconds", "training_flops", "training_flops_dense", "dense_gradient_steps"}
"""What counts on over the levels of an iterated method, and the wall time."""


def arrays(snapshot):
    """All that a snapshot holds of a network: masks, effective weights, all other parameters and buffers."""
    found = {f"mask {name}": mask.to_bool() for name, mask in snapshot.masks().items()}
    found |= {f"weight {name}": value * found[f"mask {name}"] for name, value in snapshot.weights().items()}
    return found | snapshot.tensors()


def differing(one, other):
    """Names of the arrays in which two snapshots differ."""
    ours, theirs = arrays(one), arrays(other)
    assert ours.keys() == theirs.keys()
    return {name for name, value in ours.items() if not np.array_equal(value, theirs[name])}


def lines(run, without=("seconds",)):
    return [{key: value for key, value in line.items() if key not in without} for line in run.metrics]


def again(path, variant, tmp_path, **options):
    source = open_run(path)
    seed = source.config["seed"]
    result = reinit(source, variants=[variant], seeds=[seed], device="cpu", out=tmp_path / "again", **options)
    (folder,) = (tmp_path / "again").iterdir()
    run = open_run(folder)
    assert result.variants[0].accuracies == (run.metrics[-1]["test_accuracy"],)
    return run


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", ["static", "snip", "dense"])
def test_a_fixed_mask_with_its_own_weights_and_seed_is_the_run_itself(name, seed, tmp_path):
    """Dropout, batch norm, momentum and all: every epoch, every array, every number but the seconds."""
    train(recipe(name, model__name="small_runs:noisy", seed=seed), tmp_path / "run", device="cpu")
    source, run = open_run(tmp_path / "run"), again(tmp_path / "run", "original", tmp_path)
    assert run.epochs == source.epochs == (0, 1, 2, 3, 4)
    for ours, theirs in zip(run, source, strict=True):
        assert differing(ours, theirs) == set()
        assert ours.step == theirs.step
    # Whether all weights had a mask of one or none makes no difference to what a dense network needs.
    assert lines(run) == lines(source)


def test_a_mask_that_moved_does_not_lead_to_the_run_itself(tmp_path):
    train(recipe("rigl", model__name="small_runs:noisy"), tmp_path / "run", device="cpu")
    source, run = open_run(tmp_path / "run"), again(tmp_path / "run", "original", tmp_path)
    final = {name: source.final.mask(name) for name in source.final.layers}
    moved = {name for name, mask in final.items() if (mask != source.at(0).mask(name)).any()}
    assert moved
    for snapshot in run:
        for name, mask in final.items():
            np.testing.assert_array_equal(snapshot.mask(name), mask)
    assert {f"weight {name}" for name in moved} <= differing(run.final, source.final)
    assert lines(run)[1:] != lines(source)[1:]


@pytest.mark.parametrize("rewind", ["0it", "1ep", "12it"])
def test_going_back_to_where_the_tickets_rewound_to_is_their_last_level(rewind, tmp_path):
    changes = {"algorithm__density": 0.4, "algorithm__options__rewind": rewind}
    train(recipe("ltr", model__name="small_runs:noisy", seed=2, **changes), tmp_path / "run", device="cpu")
    source, run = open_run(tmp_path / "run"), again(tmp_path / "run", "rewound", tmp_path)
    back = {"0it": 0, "1ep": 1, "12it": 2}[rewind]
    last = [snapshot for snapshot in source if snapshot.extra["level"] == source.final.extra["level"]]
    assert source.final.extra["level"] >= 2
    assert run.epochs == tuple(range(4 - back + 1))
    assert len(last) == 4 - back
    for ours, theirs in zip(run[1:], last, strict=True):
        assert differing(ours, theirs) == set()
    assert lines(run, VANISHING)[1:] == lines(source, VANISHING)[-len(last) :]
    assert [line["lr"] for line in run.metrics[1:]] == [line["lr"] for line in source.metrics[back + 1 : 5]]
    assert (run.metrics[-1]["step"], run.metrics[-1]["dense_gradient_steps"]) == (6 * (4 - back), 0)


@pytest.mark.parametrize("name", ["rigl", "dnw"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_what_had_settled_before_goes_on_as_it_did_but_for_the_momentum(name, epoch, tmp_path):
    """Frozen at that epoch and without momentum, nothing is left that going back does not bring back.

    Frozen layers compute the gradient of their active weights alone, so that sums round otherwise.
    """
    plain = {"optimizer__momentum": 0.0, "algorithm__freeze_epoch": epoch, "model__name": "small_runs:noisy"}
    train(recipe(name, **plain), tmp_path / "run", device="cpu")
    source, run = open_run(tmp_path / "run"), again(tmp_path / "run", "rewound", tmp_path, rewind_epoch=epoch)
    for ours, theirs in zip(run, source[epoch:], strict=True):
        expected = arrays(theirs)
        for key, value in arrays(ours).items():
            np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-6, err_msg=f"{ours.epoch} {key}")
    losses = [[line["train_loss"] for line in each.metrics] for each in (run, source)]
    assert losses[0][1:] == pytest.approx(losses[1][epoch + 1 :], rel=1e-5)
    assert run.config["origin"]["options"] == {"rewind_epoch": epoch}
