"""Steps as other people's loops take them: closures, gradient scalers, accumulation, clipping, schedulers."""

import numpy as np
import pytest
import torch
from torch import nn
from user_loop import NAMES, OPTIMIZERS, net, sparse

from masktools.errors import RecipeError
from masktools_train import Sparsifier
from masktools_train.algorithms import DNW, SET, SNFS, EdgePopup, RigL, Static

ALGORITHMS = [
    Static(), RigL(delta_t=3, alpha=0.9), SET(interval="4it"), DNW(), SNFS(), EdgePopup(),
]  # fmt: skip
RIGL = ALGORITHMS[1]


def batch(seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(8, 1, 6, 6, generator=random), torch.randint(3, (8,), generator=random)


def loss_of(model, seed):
    inputs, targets = batch(seed)
    return nn.functional.cross_entropy(model(inputs), targets)


def made(algorithm, build=OPTIMIZERS["adamw"], **options):
    model = net()
    optimizer = build(model.parameters())
    options = {"density": 0.2, "total_steps": 24, "steps_per_epoch": 6, **options}
    return model, optimizer, Sparsifier(model, optimizer, algorithm, **options)


def plain(model, optimizer, seeds):
    for seed in seeds:
        optimizer.zero_grad()
        loss_of(model, seed).backward()
        optimizer.step()


def assert_same(one, other):
    """Weights, buffers, masks and counts, to the bit."""
    (model, _, sparsifier), (twin, _, theirs) = one, other
    for (name, value), expected in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(value, expected), name
    for name, mask in sparsifier.masks().items():
        assert torch.equal(mask, theirs.masks()[name])
        assert not dict(model.named_parameters())[name].detach()[~mask].any()
    assert (sparsifier.step, sparsifier.dense_gradient_steps) == (theirs.step, theirs.dense_gradient_steps)


@pytest.mark.parametrize("execution", ["masked", "sparse"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_steps_with_a_closure_are_plain_steps(algorithm, optimizer, execution):
    one, other = (made(algorithm, OPTIMIZERS[optimizer], execution=execution) for _ in range(2))
    model, stepper, _ = one
    for seed in range(14):

        def closure(seed=seed):
            assert torch.is_grad_enabled()
            stepper.zero_grad()
            loss = loss_of(model, seed)
            loss.backward()
            return loss

        loss = stepper.step(closure) if seed % 2 else stepper.step(closure=closure)
        assert float(loss.detach()) > 0
    plain(other[0], other[1], range(14))
    assert_same(one, other)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_a_scaled_step_is_a_step_and_a_skipped_one_is_none(algorithm, fused):
    """Scales are powers of two, so that scaling is exact; a fused optimizer is called by the scaler all the same."""

    def build(parameters):
        return torch.optim.SGD(parameters, 0.1, momentum=0.9, fused=fused)

    # Layers that step compact must not be so when a step is skipped within the kernel.
    one, other = (made(algorithm, build, execution="sparse") for _ in range(2))
    model, optimizer, sparsifier = one
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for seed in range(14):
        optimizer.zero_grad()
        loss = scaler.scale(loss_of(model, seed))
        # Where RigL would update next, SET exchange, and SNFS end its epoch.
        infinite = seed in (2, 3, 5)
        before = sparsifier.step, sparsifier.masks(), [weight.detach().clone() for weight in model.parameters()]
        (loss * float("inf") if infinite else loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if infinite:
            assert sparsifier.step == before[0]
            assert all(torch.equal(mask, sparsifier.masks()[name]) for name, mask in before[1].items())
            assert all(torch.equal(a, b) for a, b in zip(before[2], model.parameters(), strict=True))
        else:
            assert sparsifier.step == before[0] + 1
    assert float(scaler.get_scale()) == 128
    # Buffers of batch norm have seen the batches of skipped steps, too.
    for seed in range(14):
        other[1].zero_grad()
        loss_of(other[0], seed).backward()
        if seed not in (2, 3, 5):
            other[1].step()
    assert_same(one, other)


def test_gradients_that_accumulate_are_one_step():
    one, other = made(RIGL), made(RIGL)
    model, optimizer, sparsifier = one
    for seed in range(0, 24, 2):
        optimizer.zero_grad()
        loss_of(model, seed).backward()
        loss_of(model, seed + 1).backward()
        optimizer.step()
    model, optimizer, _ = other
    for seed in range(0, 24, 2):
        parameters = list(model.parameters())
        first = torch.autograd.grad(loss_of(model, seed), parameters)
        second = torch.autograd.grad(loss_of(model, seed + 1), parameters)
        for parameter, a, b in zip(parameters, first, second, strict=True):
            parameter.grad = a + b
        optimizer.step()
    assert_same(one, other)
    assert sparsifier.step == 12


def test_gradients_that_are_zeroed_in_place():
    one, other = made(RIGL), made(RIGL)
    for seed in range(14):
        one[1].zero_grad(set_to_none=False)
        loss_of(one[0], seed).backward()
        one[1].step()
    plain(other[0], other[1], range(14))
    assert_same(one, other)


@pytest.mark.parametrize("algorithm", [Static(), RIGL, DNW()], ids=lambda a: a.name)
def test_clipping_sees_the_norm_of_gradients_that_are_used(algorithm):
    model, optimizer, sparsifier = made(algorithm)
    for seed in range(4):
        optimizer.zero_grad()
        loss_of(model, seed).backward()
        masks = {name: mask.numpy() for name, mask in sparsifier.masks().items()}
        gradients = {name: parameter.grad.numpy().copy() for name, parameter in model.named_parameters()}
        # RigL updates at its third step, and DNW trains what is inactive.
        whole = algorithm.name == "dnw" or (algorithm.name == "rigl" and seed == 2)
        used = [
            gradient if whole or name not in masks else gradient * masks[name] for name, gradient in gradients.items()
        ]
        expected = np.sqrt(sum(np.square(gradient, dtype=np.float64).sum() for gradient in used))
        everything = np.sqrt(sum(np.square(gradient, dtype=np.float64).sum() for gradient in gradients.values()))
        sparsifier.mask_gradients()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        assert float(norm) == pytest.approx(expected, rel=1e-5)
        assert whole or expected < 0.99 * everything
        optimizer.step()


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_masking_gradients_early_changes_no_step(algorithm):
    one, other = made(algorithm), made(algorithm)
    for seed in range(10):
        one[1].zero_grad()
        loss_of(one[0], seed).backward()
        one[2].mask_gradients()
        one[1].step()
    plain(other[0], other[1], range(10))
    assert_same(one, other)


def test_schedulers_of_learning_rate_and_momentum():
    """They wrap the optimizer's step, before the sparsifier is made or after."""
    runs = []
    for first in (True, False):
        model = net()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        if first:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=24)
        sparsifier = Sparsifier(model, optimizer, RIGL, density=0.2, total_steps=24)
        if not first:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=24)
        for seed in range(12):
            plain(model, optimizer, [seed])
            scheduler.step()
        runs.append((model, optimizer, sparsifier))
    assert_same(*runs)
    assert runs[0][2].step == 12


@pytest.mark.parametrize("algorithm", [RIGL, DNW()], ids=lambda a: a.name)
def test_several_groups_and_every_way_to_step(algorithm):
    """One after the other, all at once, in one kernel: the same to rounding, and sparse to the bit."""
    ends = []
    for how in ("foreach", "fused", None):
        model = net()
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0, "lr": 0.001},
        ]
        optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9, foreach=how == "foreach", fused=how == "fused")
        sparsifier = Sparsifier(model, optimizer, algorithm, density=0.2, total_steps=24)
        plain(model, optimizer, range(10))
        for name, mask in sparsifier.masks().items():
            assert not dict(model.named_parameters())[name].detach()[~mask].any()
        ends.append(list(model.parameters()))
    for end in ends[1:]:
        for value, expected in zip(end, ends[0], strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-3, atol=1e-5)


def test_parameters_that_join_later_train_as_ever():
    model, optimizer, sparsifier = made(RIGL, OPTIMIZERS["sgd"])
    head = nn.Linear(3, 3)
    start = head.weight.detach().clone()
    for seed in range(8):
        if seed == 4:
            optimizer.add_param_group({"params": head.parameters(), "lr": 0.05})
        optimizer.zero_grad()
        inputs, targets = batch(seed)
        nn.functional.cross_entropy(head(model(inputs)), targets).backward()
        optimizer.step()
    assert [layer.name for layer in sparsifier.layers] == list(NAMES)
    assert (head.weight != start).all()
    assert sparsifier.step == 8


def test_an_optimizer_that_asks_several_times_is_refused_by_name():
    model = net()
    with pytest.raises(RecipeError, match="LBFGS evaluates the model several times in a step"):
        sparse(model, Static())[1].attach(torch.optim.LBFGS(model.parameters()))

    class Twice(torch.optim.SGD):
        def step(self, closure):
            with torch.enable_grad():
                closure()
            super().step()
            return closure()

    built = Twice(model.parameters(), 0.1)
    sparsifier = Sparsifier(model, built, DNW(), density=0.2, total_steps=9)
    dense = [weight.clone() for weight in sparsifier.dense_weights()]
    with pytest.raises(RecipeError, match="Twice evaluates the closure more than once in a step"):
        built.step(lambda: loss_of(model, 0).backward())
    assert sparsifier.step == 0
    for layer, weight, mask in zip(sparsifier.layers, dense, sparsifier.masks().values(), strict=True):
        # Only the step that was taken before is left of it.
        assert not torch.equal(layer.dense, weight)
        assert torch.equal(layer.parameter.detach(), layer.dense * mask)


def test_an_optimizer_that_perturbs_weights_first_is_refused_by_name():
    class Sharpness(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure):
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.add_(0.01 * parameter.grad)
            with torch.enable_grad():
                closure()
            super().step()

    model, optimizer, sparsifier = made(Static(), lambda p: Sharpness(p, 0.1))
    loss_of(model, 0).backward()
    with pytest.raises(RecipeError, match="Sharpness changes weights before it evaluates the closure"):
        optimizer.step(lambda: loss_of(model, 0).backward())
    assert sparsifier.step == 0


def test_gradients_of_another_scale():
    """RigL asks for their order alone, and its update is no step of the optimizer; SNFS reads a sum over steps."""
    for algorithm, equal in ((RIGL, True), (SNFS(), False)):
        one, other = (made(algorithm, OPTIMIZERS["sgd"]) for _ in range(2))
        for seed in range(7):
            one[1].zero_grad()
            loss_of(one[0], seed).backward()
            if seed in (2, 5):
                for parameter in one[0].parameters():
                    parameter.grad.mul_(1024 if equal else -1024)
            one[1].step()
        plain(other[0], other[1], range(7))
        same = [torch.equal(mask, other[2].masks()[name]) for name, mask in one[2].masks().items()]
        assert all(same) == equal


def test_a_closure_that_is_not_evaluated_and_an_error_within_one():
    class Deaf(torch.optim.SGD):
        def step(self, closure=None):
            return super().step()

    model = net()
    built = Deaf(model.parameters(), 0.1)
    Sparsifier(model, built, Static(), density=0.2, total_steps=9)

    class Absent(torch.optim.Optimizer):
        def step(self, closure=None):
            return None

    built = Absent(model.parameters(), {})
    sparsifier = Sparsifier(model, built, Static(), density=0.2, total_steps=9)
    with pytest.raises(RecipeError, match="Absent does not evaluate its closure"):
        built.step(lambda: None)
    assert sparsifier.step == 0

    one = made(DNW())
    before = {name: value.clone() for name, value in one[0].state_dict().items()}

    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one[1].step(fails)
    assert one[2].step == 0
    assert all(torch.equal(value, one[0].state_dict()[name]) for name, value in before.items())
    other = made(DNW())
    plain(one[0], one[1], range(3))
    plain(other[0], other[1], range(3))
    assert_same(one, other)


def test_what_is_no_optimizer_of_torch_is_refused():
    class Mine:
        def __init__(self, parameters):
            self.param_groups = [{"params": list(parameters)}]

    model = net()
    with pytest.raises(RecipeError, match=r"optimizer Mine is no torch\.optim\.Optimizer"):
        Sparsifier(model, Mine(model.parameters()), Static(), density=0.2, total_steps=9)


@pytest.mark.parametrize("algorithm", [RIGL, SET(interval="4it"), DNW()], ids=lambda a: a.name)
def test_a_step_that_calls_the_one_it_is_made_from_is_one_step(algorithm):
    """Torch calls the hooks for both."""

    class Printed(torch.optim.AdamW):
        def step(self, closure=None):
            return super().step(closure)

    calls = []
    one = made(algorithm, lambda p: Printed(p, 0.01, weight_decay=0.1))
    other = made(algorithm, lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1))
    handle = one[1].register_step_post_hook(lambda *_: calls.append(1))
    for seed in range(10):
        one[1].zero_grad()
        if seed % 2:
            loss_of(one[0], seed).backward()
            one[1].step()
        else:
            one[1].step(lambda seed=seed: loss_of(one[0], seed).backward())
    handle.remove()
    assert len(calls) == 20
    plain(other[0], other[1], range(10))
    assert_same(one, other)


class Normalised(torch.optim.Optimizer):
    """Divides by the norm of the whole gradient: what inactive weights get would tell on the active ones."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.state[parameter]["rows"] = (
                        parameter.grad.flatten(1).square().mean(1) if parameter.ndim > 1 else 0
                    )
                    parameter.sub_(group["lr"] * parameter.grad / parameter.grad.norm())
        return loss


@pytest.mark.parametrize("with_closure", [False, True])
def test_an_optimizer_of_ones_own_sees_gradients_of_active_weights_alone(with_closure):
    model, optimizer, sparsifier = made(Static(), Normalised)
    masks = {name: mask.numpy() for name, mask in sparsifier.masks().items()}
    weights = {name: value.detach().numpy().astype(np.float64) for name, value in model.named_parameters()}

    def closure():
        loss = loss_of(model, 7)
        loss.backward()
        for name, value in model.named_parameters():
            gradient = value.grad.numpy().astype(np.float64) * masks.get(name, 1)
            weights[name] = weights[name] - 0.1 * gradient / np.linalg.norm(gradient.ravel())
        return loss

    if with_closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()
    for name, value in model.named_parameters():
        np.testing.assert_allclose(value.detach().numpy(), weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algorithm", [RIGL, SET(interval="4it"), DNW()], ids=lambda a: a.name)
def test_state_that_is_factored_is_left_alone(algorithm):
    model, optimizer, sparsifier = made(algorithm, lambda p: torch.optim.Adafactor(p, 0.01))
    counts = [layer.count for layer in sparsifier.layers]
    for seed in range(12):
        plain(model, optimizer, [seed])
        masks = sparsifier.masks()
        assert [int(mask.sum()) for mask in masks.values()] == counts
        for name, mask in masks.items():
            assert not dict(model.named_parameters())[name].detach()[~mask].any()
    state = optimizer.state_dict()["state"]
    assert all(torch.isfinite(value).all() for slots in state.values() for value in slots.values())
    assert state[4]["row_var"].shape == (10, 1)
    assert bool(state[4]["row_var"].any())


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_an_optimizer_of_whole_matrices():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False))
    optimizer = torch.optim.Muon(model.parameters(), 0.02)
    sparsifier = Sparsifier(model, optimizer, RIGL, density=0.5, total_steps=24, distribution="uniform")
    for _ in range(8):
        optimizer.zero_grad()
        model(torch.randn(8, 8)).square().mean().backward()
        optimizer.step()
    for name, mask in sparsifier.masks().items():
        assert int(mask.sum()) * 2 == mask.numel()
        assert not dict(model.named_parameters())[name].detach()[~mask].any()


@pytest.mark.parametrize("execution", ["masked", "sparse"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_going_on_from_a_checkpoint_is_as_if_never_stopped(algorithm, optimizer, execution, tmp_path):
    whole = made(algorithm, OPTIMIZERS[optimizer], execution=execution)
    plain(whole[0], whole[1], range(7))
    torch.save([part.state_dict() for part in whole], tmp_path / "checkpoint.pt")
    plain(whole[0], whole[1], range(7, 14))
    resumed = made(algorithm, OPTIMIZERS[optimizer], execution=execution)
    plain(resumed[0], resumed[1], [99])  # whatever it is now
    for part, state in zip(resumed, torch.load(tmp_path / "checkpoint.pt", weights_only=True), strict=True):
        part.load_state_dict(state)
    plain(resumed[0], resumed[1], range(7, 14))
    assert_same(resumed, whole)


def test_a_state_of_another_network_is_refused_before_anything_changes():
    _, _, sparsifier = made(Static())
    state = sparsifier.state_dict()
    state["masks"]["4.weight"] = state["masks"]["4.weight"][:5]
    state["step"] = 7
    with pytest.raises(RecipeError, match=r"layer '4\.weight' is another one"):
        sparsifier.load_state_dict(state)
    assert sparsifier.step == 0


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
def test_masks_follow_a_model_that_is_moved(algorithm):
    """Trainers do that after the optimizer is made, to a device; to another dtype it is the same."""
    model, optimizer, sparsifier = made(algorithm)
    model.double()
    for seed in range(8):
        inputs, targets = batch(seed)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs.double()), targets).backward()
        sparsifier.mask_gradients()
        optimizer.step()
    assert sparsifier.step == 8
    for layer in sparsifier.layers:
        assert layer.mask.dtype == layer.parameter.dtype == torch.float64
        assert not layer.parameter.detach()[~sparsifier.masks()[layer.name]].any()
        assert int(layer.mask.sum()) == layer.count
