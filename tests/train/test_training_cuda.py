"""The rules once more on a GPU, and that no step waits for it."""

import contextlib

import numpy as np
import pytest
import torch
from same_runs import differences
from small_runs import ALGORITHMS, recipe
from torch import nn

from masktools.runs import open_run
from masktools_train import prune, reinit, train
from masktools_train.algorithms import DNW, LTR, RigL, Static
from masktools_train.progress import SilentObserver
from masktools_train.selection import top_k_mask
from masktools_train.sparsifier import Sparsifier
from masktools_train.trainer import Trainer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@contextlib.contextmanager
def no_waiting():
    """Make everything an error that makes the host wait for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_waiting_would_be_noticed():
    value = torch.ones(1, device="cuda")
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        value.item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("levels", [1, 3, 10**6])
def test_selection_equals_a_stable_argsort(dtype, levels):
    random = torch.Generator().manual_seed(0)
    scores = (torch.randint(levels, (5000,), generator=random) / 8).to(dtype)
    on_device = scores.cuda()
    for k in (0, 1, 37, 2500, 4999, 5000):
        with no_waiting():
            found = top_k_mask(on_device, k)
        expected = np.zeros(5000, dtype=bool)
        expected[np.argsort(-scores.double().numpy(), kind="stable")[:k]] = True
        np.testing.assert_array_equal(found.cpu().numpy(), expected)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 20), nn.ReLU(), nn.Linear(20, 5)
    ).cuda()


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (Static(), {}),
        (RigL(delta_t=2, alpha=0.9), {}),
        (RigL(delta_t=2, alpha=0.9), {"freeze_step": 9}),
        (DNW(), {}),
        (DNW(), {"distribution": "erk"}),
        (DNW(), {"distribution": "global"}),
        (DNW(), {"freeze_step": 9}),
    ],
)
def test_no_step_waits_and_the_invariants_hold(algorithm, options, optimizer):
    model = net()
    built = OPTIMIZERS[optimizer](model.parameters())
    sparsifier = Sparsifier(model, built, algorithm, density=0.2, total_steps=40, **options)
    random = torch.Generator("cuda").manual_seed(1)
    for number in range(30):
        inputs = torch.randn(16, 1, 8, 8, generator=random, device="cuda")
        targets = torch.randint(5, (16,), generator=random, device="cuda")
        # The first step loads kernels, which may wait.
        with no_waiting() if number else contextlib.nullcontext():
            loss = nn.functional.cross_entropy(model(inputs), targets)
            built.zero_grad()
            loss.backward()
            built.step()
        masks = sparsifier.masks()
        assert sum(int(mask.sum()) for mask in masks.values()) == sparsifier.active == sparsifier.target
        for layer in sparsifier.layers:
            assert not layer.parameter.detach()[~masks[layer.name]].any()
            assert layer.mask.device == layer.parameter.device
            if layer.dense is None:
                if number % 7 == 6:
                    built.state_dict()  # clears what it has of inactive weights
                for value in built.state[layer.parameter].values() if number % 7 == 6 else ():
                    if isinstance(value, torch.Tensor) and value.shape == layer.parameter.shape:
                        assert not value[~masks[layer.name]].any()


def test_pruning_globally_is_exact():
    model = net()
    built = OPTIMIZERS["sgd"](model.parameters())
    sparsifier = Sparsifier(model, built, LTR(), density=0.2, total_steps=40)
    for count in (5000, 3001, 1234):
        with no_waiting():
            sparsifier.keep_largest_globally(count)
        assert sparsifier.active == count


def test_random_masks_and_initial_weights_are_those_of_the_cpu():
    models = [Trainer(recipe("rigl"), torch.device(name), SilentObserver()) for name in ("cpu", "cuda")]
    for name, mask in models[0].sparsifier.masks().items():
        assert torch.equal(mask, models[1].sparsifier.masks()[name].cpu())
    for name, value in models[0].model.state_dict().items():
        assert torch.equal(value, models[1].model.state_dict()[name].cpu())


@pytest.mark.parametrize("name", ["static", "set", "rigl", "dnw", "dnw-global", "ltr", "gmp", "snip", "edge-popup"])
def test_an_epoch_of_training_waits_only_at_its_end(name):
    trainer = Trainer(recipe(name), torch.device("cuda"), SilentObserver())
    trainer.model.train()
    trainer._levels.remember(trainer.model, trainer.sparsifier.step)
    trainer._train_epoch()
    with no_waiting():
        trainer._train_epoch()


@pytest.mark.parametrize("name", ["static", "rigl", "dnw", "dnw-global"])
def test_counting_flops_waits_for_nothing_and_counts_as_on_the_cpu(name):
    found = []
    for place in ("cpu", "cuda"):
        trainer = Trainer(recipe(name), torch.device(place), SilentObserver())
        active = sum(layer.count for layer in trainer.sparsifier.layers)
        trainer.flops.begin()
        for number in range(4):
            # As if a step had given every layer a mask, of a count that the host may not know.
            trainer.sparsifier.mask_changes += 1
            for layer in trainer.sparsifier.layers:
                layer.known_count = None if name == "dnw-global" else layer.known_count
            # The first step loads kernels, which may wait.
            with no_waiting() if number and place == "cuda" else contextlib.nullcontext():
                trainer.flops.step(16)
        found.append(trainer.flops.figures())
        assert found[-1]["training_flops"] == 4 * 16 * 3 * 2 * active
    assert found[0] == found[1]


class Stop(SilentObserver):
    def epoch_done(self, record):
        if record.epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ALGORITHMS)
def test_runs_are_exact_repeatable_and_resumable(name, tmp_path):
    first = train(recipe(name), tmp_path / "first", device="cuda")
    with pytest.raises(KeyboardInterrupt):
        train(recipe(name), tmp_path / "second", device="cuda", observer=Stop())
    train(recipe(name), tmp_path / "second", device="cuda", resume=True)
    run = open_run(tmp_path / "first")
    assert differences(run, open_run(tmp_path / "second")) == []
    assert run.info["device"].startswith("cuda")
    for snapshot, record in zip(run, first.records, strict=True):
        assert snapshot.active == record.active
        if snapshot.epoch:
            for layer in snapshot.layers:
                assert not snapshot.weight(layer)[~snapshot.mask(layer)].any()
    on_cpu = train(recipe(name), None, device="cpu")
    assert [record.active for record in on_cpu.records] == [record.active for record in first.records]


def test_runs_are_re_evaluated_on_the_device_and_off_it(tmp_path):
    train(recipe("dnw"), tmp_path / "run", device="cuda")
    accuracy = open_run(tmp_path / "run").metrics[-1]["test_accuracy"]
    for device in ("cuda", "cpu"):
        assert prune(tmp_path / "run", device=device, shares=[1]).curve[0].accuracies[0] == pytest.approx(accuracy)
        result = reinit(tmp_path / "run", device=device, seeds=1, epochs=1)
        assert result.reference_accuracy == pytest.approx(accuracy)


def test_pruned_networks_on_the_device(tmp_path):
    train(recipe("dnw", model__name="small_runs:noisy"), tmp_path / "run", device="cuda")
    for criterion in ("magnitude", "random", "movement", "saliency"):
        options = {"criterion": criterion, "shares": [1, 0.5], "draws": 2, "recalibrate": True, "finetune_epochs": 1}
        found = prune(tmp_path / "run", device="cuda", out=tmp_path / criterion, **options)
        assert found.curve[0].accuracies[0] == pytest.approx(open_run(tmp_path / "run").metrics[-1]["test_accuracy"])
        again = prune(tmp_path / "run", device="cuda", out=tmp_path / criterion, **options)
        assert again == found
    on_cpu = prune(tmp_path / "run", device="cpu", shares=[0.5])
    assert on_cpu.curve[0].accuracies == pytest.approx(
        prune(tmp_path / "run", device="cuda", shares=[0.5]).curve[0].accuracies
    )
