"""What is counted of a forward pass and of training: against formulas written out, and step by step."""

import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch
from small_networks import Net, images, tokens, vectors
from small_runs import ALGORITHMS, Listener, recipe
from test_train_resume import StopAt
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from masktools.render.as_table import as_table
from masktools.render.run_info import run_document
from masktools.render.training import plan_document, training_document
from masktools.runs import STATE, open_run
from masktools.structure.compaction import multiply_accumulates
from masktools.structure.flops import FlopSummary, flops_of
from masktools.structure.summary import summarize
from masktools_train import compact, erk, train
from masktools_train.algorithms import DNW
from masktools_train.flop_account import FlopAccount
from masktools_train.flops import ForwardCost, forward_cost
from masktools_train.models import REGISTRY, build_model
from masktools_train.progress import SilentObserver
from masktools_train.sparse_layer import prunable_weights
from masktools_train.sparsifier import Sparsifier
from masktools_train.tracing import trace
from masktools_train.trainer import Trainer
from masktools_train.training import plan

FIXTURES = Path(__file__).parents[2] / "fixtures"

DENSE = 2 * (10 * 12 + 12 * 8 + 8 * 3)
"""A forward pass of the network of `recipe`."""


def cost(through, example, **modules):
    return forward_cost(Net(through, **modules), example)


# -- a forward pass ---------------------------------------------------------------------------------------


def test_linear_layers():
    found = forward_cost(build_model("lenet-300-100", {}, (1, 28, 28), 10), torch.rand(2, 1, 28, 28))
    assert found.layers == {"fc1.weight": 470_400, "fc2.weight": 60_000, "fc3.weight": 2_000}
    assert (found.dense, found.other) == (532_400, 0)
    # Half of the first layer, none of the second, and a tenth of the last, in three passes.
    assert found.spent(3, [3 * 117_600, 0, 3 * 100], [235_200, 30_000, 1_000]) == 3 * (235_200 + 200)


@pytest.mark.parametrize(
    ("conv", "shape", "positions"),
    [
        (nn.Conv2d(3, 5, 3), (3, 9, 11), 7 * 9),
        (nn.Conv2d(3, 5, 3, stride=2, padding=1), (3, 9, 11), 5 * 6),
        (nn.Conv2d(4, 6, (3, 1), stride=(1, 3), dilation=(2, 1)), (4, 9, 10), 5 * 4),
        (nn.Conv2d(4, 8, 3, padding=1, groups=2), (4, 5, 5), 25),
        (nn.Conv2d(6, 6, 3, groups=6, bias=False), (6, 5, 5), 9),
        (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 4, 4), 16),
        (nn.Conv1d(2, 3, 4, stride=3), (2, 10), 3),
        (nn.Conv3d(2, 3, 2), (2, 3, 4, 5), 2 * 3 * 4),
    ],
)
def test_convolutions(conv, shape, positions):
    # The shape of the weight has the groups in it: each output reads the inputs of its own.
    size = math.prod(conv.weight.shape)
    assert forward_cost(conv, torch.rand(2, *shape)) == ForwardCost({"weight": 2 * positions * size}, 0)
    assert forward_cost(conv, torch.rand(1, *shape)).dense == forward_cost(conv, torch.rand(7, *shape)).dense


def resnet50_layers():
    """Name, output positions and shape of every layer of ResNet-50 (version 1.5) at 224 x 224."""
    yield "conv1", 112, (64, 3, 7, 7)
    before, side = 64, 56
    for stage, (blocks, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
        for block in range(blocks):
            after = side // 2 if stage > 1 and block == 0 else side
            name = f"layer{stage}.{block}"
            yield f"{name}.conv1", side, (width, before, 1, 1)
            yield f"{name}.conv2", after, (width, width, 3, 3)
            yield f"{name}.conv3", after, (4 * width, width, 1, 1)
            if block == 0:
                yield f"{name}.downsample.0", after, (4 * width, before, 1, 1)
            before, side = 4 * width, after
    yield "fc", 1, (1000, 2048)


def test_resnet_50_at_published_densities():
    shapes = {f"{name}.weight": shape for name, _, shape in resnet50_layers()}
    by_hand = {f"{name}.weight": 2 * side**2 * math.prod(shape) for name, side, shape in resnet50_layers()}
    found = forward_cost(build_model("resnet50", {}, (3, 224, 224), 1000), torch.rand(2, 3, 224, 224))
    assert (found.layers, found.other) == (by_hand, 0)
    # 4.09 billion multiplications with their additions, 8.2e9 in the table of RigL.
    assert found.dense == 2 * 4_089_184_256
    sizes = [math.prod(shape) for shape in shapes.values()]
    for density, ratio in ((0.2, 0.414), (0.1, 0.242), (0.05, 0.122)):
        counts = erk(shapes, density)
        assert list(counts) == list(found.layers)
        assert found.spent(1, list(counts.values()), sizes) / found.dense == pytest.approx(ratio, abs=0.0005)


def test_a_vision_transformer_and_its_attention():
    dim, heads, depth, count = 24, 3, 2, 17
    options = {"dim": dim, "heads": heads, "depth": depth, "patch": 8}
    found = forward_cost(build_model("vit-tiny", options, (3, 32, 32), 10), torch.rand(2, 3, 32, 32))
    assert found.layers["patch_embed.proj.weight"] == 2 * 16 * 3 * 8 * 8 * dim
    assert found.layers["blocks.1.attn.qkv.weight"] == 2 * count * 3 * dim**2
    assert found.layers["blocks.1.mlp.fc2.weight"] == 2 * count * 4 * dim**2
    assert found.layers["head.weight"] == 2 * dim * 10
    # Queries by keys, and the weights by values: for each head count x count x (dim / heads).
    assert found.other == depth * 2 * (2 * count**2 * dim)
    assert found.dense - found.other == 2 * (16 * 192 * dim + depth * count * 12 * dim**2 + dim * 10)


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"resnet50"}))
def test_built_in_networks_agree_with_their_operator_graphs(name):
    model, example = build_model(name, {}, (3, 32, 32), 10), torch.rand(2, 3, 32, 32)
    found = forward_cost(model, example)
    shapes = {layer: tuple(weight.shape) for layer, weight in prunable_weights(model).items()}
    assert found.dense - found.other == 2 * multiply_accumulates(trace(model, example), shapes)
    assert list(found.layers) == list(shapes)
    assert (found.other > 0) == (name == "vit-tiny")


def test_packed_attention():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    projections = {"a.in_proj_weight": 2 * 5 * 24 * 8, "a.out_proj.weight": 2 * 5 * 64}
    for weights in (True, False):
        found = cost(lambda net, x, w=weights: net.a(x, x, x, need_weights=w)[0], tokens(5, 8), a=attention)
        assert found == ForwardCost(projections, 2 * (2 * 5 * 5 * 8))
    # Three queries, five keys and values: rows of one weight meet different numbers of inputs.
    found = cost(lambda net, x: net.a(x[:, :3], x, x)[0], tokens(5, 8), a=attention)
    rows = {"a.in_proj_weight": 2 * (3 * 64 + 5 * 128), "a.out_proj.weight": 2 * 3 * 64}
    assert found == ForwardCost(rows, 2 * (2 * 3 * 5 * 8))


def test_an_encoder_layer_takes_no_fast_path():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    found = forward_cost(layer, tokens(5, 8))
    assert found.dense == 2 * 5 * (4 * 64 + 2 * 8 * 12) + 2 * (2 * 5 * 5 * 8)
    assert set(found.layers) == set(prunable_weights(layer))
    assert min(found.layers.values()) > 0


def test_weights_count_at_every_use_whatever_calls_them():
    linear = {"a": nn.Linear(4, 4)}
    assert cost(lambda net, x: net.a(net.a(x)), vectors(), **linear).layers == {"a.weight": 64}
    assert cost(lambda net, x: x @ net.a.weight.T, vectors(), **linear).layers == {"a.weight": 32}
    assert cost(lambda net, x: torch.einsum("bi,oi->bo", x, net.a.weight), vectors(), **linear).layers["a.weight"] == 32
    half = cost(lambda net, x: functional.linear(x.bfloat16(), net.a.weight.bfloat16()), vectors(), **linear)
    assert half.layers == {"a.weight": 32}
    rows = cost(lambda net, x: functional.linear(x, net.a.weight[1:3]), vectors(), **linear)
    assert rows == ForwardCost({"a.weight": 16}, 0)
    assert cost(lambda net, x: x, vectors(), **linear) == ForwardCost({"a.weight": 0}, 0)
    other = cost(lambda net, x: net.b(x), images(3, 6), b=nn.ConvTranspose2d(3, 2, 2, stride=2))
    assert other == ForwardCost({}, 2 * 36 * 3 * 2 * 4)


class Restless(nn.Module):
    """Draws numbers, writes to a buffer and replaces another one, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.register_buffer("written", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))

    def forward(self, inputs):
        self.written += 1
        self.replaced = self.replaced + 1
        return functional.dropout(self.norm(self.fc(inputs)), 0.5, training=True)


def test_the_model_and_the_random_numbers_are_left_alone():
    model = Restless()
    model.norm.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    example, buffer, state = vectors(), model.replaced, torch.get_rng_state()
    assert forward_cost(model, example).dense == 32
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: value.tolist() for name, value in model.state_dict().items()} == {
        name: value.tolist() for name, value in before.items()
    }
    assert model.replaced is buffer
    assert (model.training, model.norm.training) == (True, False)
    assert not any(parameter.requires_grad is False or parameter.grad is not None for parameter in model.parameters())


# -- training ---------------------------------------------------------------------------------------------


def settings(name, **changes):
    # 96 examples in steps of 20: the last step of an epoch sees 16.
    return recipe(name, epochs=3, batch_size=20, **changes)


@pytest.fixture(scope="module")
def counted():
    """Train every algorithm with an eye on every step; return records and what each epoch took, by hand."""
    made = {}

    def run(name):
        if name not in made:
            trainer = Trainer(settings(name), torch.device("cpu"), SilentObserver())
            masked, steps, sums = trainer.sparsifier, [], []
            inner = trainer._set_learning_rate

            def before():
                active = sum(int(mask.sum()) for mask in masked.masks().values())
                steps.append((masked.step, active, masked.dense_gradient_steps))
                inner()

            def after(now):
                ends = [*(dense for _, _, dense in steps[1:]), masked.dense_gradient_steps][: len(steps)]
                taken = 0
                for (number, active, start), end in zip(steps, ends, strict=True):
                    examples = 16 if number % 5 == 4 else 20
                    taken += examples * ((2 * active * 2 + DENSE) if end > start else 3 * 2 * active)
                sums.append(taken)

            trainer._set_learning_rate = before
            trainer.run(after)
            made[name] = trainer.records, sums, steps
        return made[name]

    return run


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_step_is_added_up(counted, name):
    records, sums, steps = counted(name)
    assert [record.training_flops for record in records] == sums
    assert sums[0] == 0
    assert [record.forward_flops for record in records] == [2 * record.active for record in records]
    assert {record.forward_flops_dense for record in records} == {DENSE}
    examples = sum(16 if number % 5 == 4 else 20 for number, _, _ in steps)
    assert records[-1].training_flops_dense == 3 * DENSE * examples


def test_dense_training_takes_what_dense_training_takes(counted):
    records, _, _ = counted("dense")
    assert [record.training_flops for record in records] == [3 * DENSE * 96 * epoch for epoch in range(4)]
    assert records[-1].training_flops == records[-1].training_flops_dense


def test_rigl_takes_what_its_paper_says():
    # An update at steps 4 and 8 of 16, none from step 12 on, of a network of 51 weights.
    final = train(recipe("rigl", epochs=1, algorithm__options__delta_t=4, batch_size=6), device="cpu").final
    sparse, between = 2 * 51, 3
    assert (final.step, final.dense_gradient_steps) == (16, 2)
    # (3 f_S n + 2 f_S + f_D) / (n + 1), with n steps between two updates; the last eight steps have none.
    average = (3 * sparse * between + 2 * sparse + DENSE) / (between + 1)
    assert final.training_flops == 6 * (8 * average + 8 * 3 * sparse)


def test_dnw_takes_the_dense_gradient_until_it_is_frozen(counted):
    records, _, _ = counted("dnw-frozen")
    sparse = 2 * 49
    expected = [96 * (min(epoch, 2) * (2 * sparse + DENSE) + max(0, epoch - 2) * 3 * sparse) for epoch in range(4)]
    assert [record.training_flops for record in records] == expected


def test_weights_that_move_between_layers_change_the_cost():
    # A convolution whose weights are used sixteen times, before a linear layer: SNFS moves weights between them.
    names = {"model__name": "test_flops:picture_net", "model__options": {}, "data__name": "small_runs:pictures"}
    trainer = Trainer(recipe("snfs", batch_size=20, **names), torch.device("cpu"), SilentObserver())
    counts = []
    trainer.run(lambda now: counts.append([int(layer.mask.sum()) for layer in now.sparsifier.layers]))
    assert len({tuple(count) for count in counts}) > 1
    assert len({sum(count) for count in counts}) == 1
    forward = [2 * (16 * conv + linear) for conv, linear in counts]
    dense = 2 * (16 * 36 + 64 * 3)
    assert [record.forward_flops for record in trainer.records] == forward
    taken = [sum(40 * (2 * f + dense) for f in forward[:epoch]) for epoch in range(5)]
    assert [record.training_flops for record in trainer.records] == taken


def picture_net(input_shape, classes):
    return nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(64, classes))


def test_levels_of_lottery_tickets_add_up():
    result = train(recipe("ltr", algorithm__density=0.8, algorithm__options__rewind="1ep"), device="cpu")
    # 240 weights in four epochs, then 192 in three.
    assert result.final.training_flops == 96 * 3 * 2 * (4 * 240 + 3 * 192)
    assert result.final.training_flops_dense == 96 * 3 * 2 * 240 * 7


class NoReading(TorchDispatchMode):
    """Makes it an error that the host reads a number of a tensor, as it has to wait for on a GPU."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert "_local_scalar_dense" not in str(func)
        return func(*args, **(kwargs or {}))


def train_on(model, optimizer):
    optimizer.zero_grad()
    model(torch.randn(8, 6)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_counting_a_step_reads_nothing_from_the_device(distribution, monkeypatch):
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    masked = Sparsifier(model, optimizer, DNW(), density=0.4, total_steps=20, distribution=distribution)
    account = FlopAccount(ForwardCost({"0.weight": 60, "1.weight": 300}, 7), masked)
    account.begin()
    by_hand = 0
    for _ in range(6):
        now = [int(layer.mask.sum()) for layer in masked.layers]
        by_hand += 8 * (2 * (7 + 2 * now[0] + 20 * now[1]) + 367)
        train_on(model, optimizer)
        with NoReading(), monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "tolist", None)
            account.step(8)
    assert account.figures()["training_flops"] == by_hand
    assert account.figures() == account.figures()
    with pytest.raises(AssertionError), NoReading():
        masked.layers[0].mask.sum().item()


def test_constant_counts_are_not_added_up_again_and_again():
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    masked = Sparsifier(model, optimizer, DNW(), density=0.4, total_steps=20)
    account = FlopAccount(ForwardCost({"0.weight": 60, "1.weight": 30}, 0), masked)
    folded = []
    account._fold = lambda: folded.append(1)
    for _ in range(5):
        changes = masked.mask_changes
        train_on(model, optimizer)
        account.step(8)
        assert masked.mask_changes > changes
    assert folded == []


def test_a_resumed_run_goes_on_with_the_sum(tmp_path):
    whole = train(settings("dnw-global"), device="cpu")
    with pytest.raises(StopAt().error):
        train(settings("dnw-global"), tmp_path / "r", device="cpu", observer=StopAt(epoch=2))
    resumed = train(settings("dnw-global"), tmp_path / "r", device="cpu", resume=True)
    assert [record.training_flops for record in resumed.records] == [record.training_flops for record in whole.records]


def test_a_state_of_before_leaves_the_sum_unknown(tmp_path):
    with pytest.raises(StopAt().error):
        train(settings("rigl"), tmp_path / "r", device="cpu", observer=StopAt(epoch=1))
    state = torch.load(tmp_path / "r" / STATE, weights_only=True)
    del state["flops"]
    for record in state["records"]:
        for key in [key for key in record if "flops" in key]:
            del record[key]
    torch.save(state, tmp_path / "r" / STATE)
    records = train(settings("rigl"), tmp_path / "r", device="cpu", resume=True).records
    assert [record.training_flops for record in records] == [record.training_flops_dense for record in records]
    assert {record.training_flops for record in records} == {None}
    assert [record.forward_flops for record in records] == [None, None, 102, 102]
    assert summarize(tmp_path / "r").to_dict()["flops"] == {
        "forward": 102,
        "forward_dense": DENSE,
        "forward_ratio": 102 / DENSE,
        **dict.fromkeys(("training", "training_dense", "training_ratio")),
    }


def test_a_model_that_cannot_be_counted_is_trained_all_the_same(monkeypatch):
    def fail(model, example):
        raise RuntimeError("no counter here\nand more")

    monkeypatch.setattr("masktools_train.flops.forward_cost", fail)
    listener = Listener()
    result = train(settings("dnw"), device="cpu", observer=listener)
    assert listener.warnings == ["FLOPs will not be known: RuntimeError: no counter here"]
    assert [value for key, value in result.final.to_dict().items() if "flops" in key] == [None] * 4
    planned = plan(settings("dnw"), "cpu")
    assert planned["forward_flops"] is planned["forward_flops_ratio"] is planned["layers"][0]["flops"] is None


# -- where it is said -------------------------------------------------------------------------------------


def test_a_plan_says_what_a_forward_pass_takes():
    planned = plan(settings("static"), "cpu")
    assert (planned["forward_flops"], planned["forward_flops_dense"]) == (102, DENSE)
    assert planned["forward_flops_ratio"] == 102 / DENSE
    assert [layer["flops"] for layer in planned["layers"]] == [2 * layer["active"] for layer in planned["layers"]]


def test_results_lines_and_summaries_say_the_same(tmp_path):
    result = train(settings("rigl"), tmp_path / "r", device="cpu")
    final = result.final
    plain = result.to_dict()
    line = json.loads((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()[-1])
    for key in ("forward_flops", "forward_flops_dense", "training_flops", "training_flops_dense"):
        assert plain[key] == line[key] == getattr(final, key) > 0
    assert summarize(tmp_path / "r").to_dict()["flops"] == {
        "forward": final.forward_flops,
        "forward_dense": DENSE,
        "forward_ratio": final.forward_flops / DENSE,
        "training": final.training_flops,
        "training_dense": 3 * 3 * 96 * DENSE,
        "training_ratio": final.training_flops / (3 * 3 * 96 * DENSE),
    }
    start = summarize(tmp_path / "r", 0).flops
    assert (start.training, start.training_dense, start.training_ratio) == (0, 0, None)


def test_tables_say_it_in_few_digits():
    long = 3_141_592_653_589_793_238
    summary = dataclasses.replace(
        summarize(FIXTURES / "v1" / "dnw"),
        flops=FlopSummary(1_978_000_000, 8_178_368_512, long, 3 * long),
        metrics=({"epoch": 2, "forward_flops": 1_978_000_000, "training_flops": long, "training_flops_dense": None},),
    )
    text = " ".join(as_table(run_document(summary)).split())
    assert "forward pass, one example 1.98 G 8.18 G 0.242 training, all steps so far 3.14 E 9.42 E 0.333" in text
    assert "forward_flops 1.98 G training_flops 3.14 E The last record" in text
    planned = as_table(plan_document(plan(settings("static"), "cpu")))
    assert "a forward pass takes 102 FLOPs an example, 0.212 of the dense network's." in " ".join(planned.split())
    trained = as_table(training_document([train(settings("dense"), device="cpu").to_dict()]))
    assert "Training took 415 kFLOPs, 1.00 of what dense training takes." in " ".join(trained.split())


@pytest.mark.parametrize("run", ["v1/dnw", "v1/ltr", "v1.1/rigl-vit"])
def test_runs_of_before_have_none(run):
    summary = summarize(FIXTURES / run)
    assert summary.to_dict()["flops"] is None
    assert "FLOPs" not in as_table(run_document(summary))


def test_logs_of_others_are_taken_with_care():
    assert flops_of([], 0) is None
    assert flops_of([{"epoch": 0, "lr": 1}, {"epoch": 1, "forward_flops": 3}], 0) is None
    odd = {"forward_flops": 3, "forward_flops_dense": "6", "training_flops": True, "training_flops_dense": -1}
    found = flops_of([{"epoch": 1, **odd}], 1)
    assert (found.forward, found.forward_dense, found.training, found.training_dense) == (3, None, None, None)
    assert found.forward_ratio is found.training_ratio is None


def test_a_compacted_run_says_what_the_smaller_network_takes(tmp_path):
    train(settings("static", algorithm__density=0.05), tmp_path / "r", device="cpu")
    report = compact(tmp_path / "r", tmp_path / "c", device="cpu")
    (record,), before = open_run(tmp_path / "c").metrics, open_run(tmp_path / "r").metrics[-1]
    assert record["forward_flops"] == 2 * sum(layer.active_after for layer in report.layers)
    assert record["forward_flops_dense"] == 2 * report.total.after.multiply_accumulates < DENSE
    assert record["training_flops"] == before["training_flops"]
