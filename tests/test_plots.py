"""Pictures: what is drawn are the numbers of the results."""

import itertools
import json
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import scipy.stats
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure
from synthetic import mlp_topology, random_masks

import masktools as mt
from masktools.errors import MasktoolsError, StructureError
from masktools.plots.canvas import PALETTE, axes_of
from masktools.plots.groups import group_names, seeds_together
from masktools.plots.neurons import edge_kinds
from masktools.plots.saving import figure_of
from masktools.structure.freezing import FreezePoint, FreezeResult
from masktools.structure.reevaluation import ReinitResult, VariantResult
from masktools.structure.robustness import PrunePoint, PruneResult
from masktools.topology.graph import Node, Topology
from masktools.topology.neuron_graph import neuron_graph


def axes():
    return Figure().add_subplot()


def line(ax, label):
    """Points of the line with a label."""
    (found,) = [each for each in ax.lines if each.get_label() == label]
    return [list(map(float, values)) for values in found.get_data()]


def words(ax):
    """All labels of the legend below a figure."""
    return [text.get_text() for legend in figure_of(ax).legends for text in legend.get_texts()]


@pytest.fixture
def seeds(write_run):
    """Two runs that differ only in the seed, and one of another algorithm."""
    made = []
    for name, seed in (("dnw-s0", 0), ("dnw-s1", 1), ("rigl-s0", 0)):
        start, middle, end = (random_masks(seed + shift + len(name)) for shift in (0, 50, 100))
        config = {"seed": seed, "algorithm": {"name": name[:3]}}
        metrics = [
            {"epoch": e, "lr": 0.1 / (e + 1), "test_accuracy": 0.1 * e + 0.01 * seed, "density": 0.25} for e in range(4)
        ]
        made.append(write_run(name, [start, middle, end, end], config, metrics, mlp_topology()))
    return made


def pruned(run="runs/a", algorithm="dnw", shift=0.0):
    curve = tuple(
        PrunePoint(share, share * 0.1, round(share * 100), (0.9 * share + shift, share + shift), (share * 0.05,))
        for share in (1.0, 0.5, 0.1, 0.0)
    )
    return PruneResult(run, 3, algorithm, None, 100, 1000, "random", "global", 2, 0.12, curve)


def test_emergence_of_one_run(mlp_run):
    found = mt.emergence(mlp_run("one"))
    ax = axes()
    assert mt.plots.plot_emergence(found, ax) is ax
    assert line(ax, "one") == [[0, 1, 2, 3], [point.kappa for point in found.curve]]
    assert [0, 0] in [list(each.get_ydata()) for each in ax.lines]  # chance
    assert len(figure_of(ax).axes) == 1  # no learning rate is recorded


def test_emergence_of_several_runs_has_bands_and_the_learning_rate(seeds):
    found = mt.emergence_many(seeds)
    ax = mt.plots.plot_emergence(found)
    (group,) = found.groups
    assert line(ax, "dnw (2 seeds)") == [[0, 1, 2, 3], [point.kappa.interval.mean for point in group.curve]]
    assert line(ax, "rigl-s0")[1] == [point.kappa for point in found.runs[2].curve]
    (band,) = [each for each in ax.collections if isinstance(each, FillBetweenPolyCollection)]
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == max(point.kappa.interval.high for point in group.curve)
    assert heights.min() == min(point.kappa.interval.low for point in group.curve)
    rates = figure_of(ax).axes[1]
    assert [list(each.get_ydata()) for each in rates.lines] == [[0.1, 0.1 / 2, 0.1 / 3, 0.1 / 4]]  # once for all
    assert words(ax) == ["dnw (2 seeds)", "rigl-s0", "chance", "learning rate"]
    assert len(figure_of(mt.plots.plot_emergence(found, rate=False)).axes) == 1


def test_emergence_beside_random_masks(mlp_run):
    found = mt.emergence(mlp_run("one"), null="layer", draws=9)
    ax = mt.plots.plot_emergence(found)
    (band,) = ax.collections
    heights = band.get_paths()[0].vertices[:, 1]
    levels = [trial.level("kappa") for trial in found.trials]
    assert (heights.min(), heights.max()) == (min(x.low for x in levels), max(x.high for x in levels))
    assert "random masks (95 %)" in words(ax)


def test_a_dense_run_has_no_kappa_to_draw(write_run):
    dense = {name: np.ones_like(mask) for name, mask in random_masks(0).items()}
    ax = mt.plots.plot_emergence(mt.emergence(write_run("dense", [dense, dense])))
    assert "every final layer is dense or empty" in ax.texts[0].get_text()


def test_overlap_of_epochs_and_of_layers(mlp_run):
    path = mlp_run("one")
    found = mt.compare_epochs(path, path)
    ax = axes()
    assert mt.plots.plot_overlap(found, ax) is ax
    np.testing.assert_array_equal(ax.images[0].get_array(), found.total.kappa)
    one = mt.plots.plot_overlap(found, layer="fc2.weight").images[0].get_array()
    np.testing.assert_array_equal(one, found.layers[1].kappa)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    with pytest.raises(StructureError, match="no layer 'fc9'"):
        mt.plots.plot_overlap(found, layer="fc9")


def test_overlap_of_runs(seeds):
    many = mt.compare_many(seeds)
    ax = mt.plots.plot_overlap(many)
    shown = ax.images[0].get_array()
    assert shown[0, 2] == many.pair(0, 2).total.kappa
    assert np.isnan(shown.filled(np.nan).diagonal()).all()
    assert [text.get_text() for text in ax.get_xticklabels()] == ["dnw-s0", "dnw-s1", "rigl-s0"]
    assert f"{shown[0, 2]:z.2f}" in [text.get_text() for text in ax.texts]
    pair = mt.compare(*seeds[:2], draws=9)
    ax = mt.plots.plot_overlap(pair)
    assert line(ax, "kappa") == [[*(each.kappa for each in pair.layers), pair.total.kappa], [0, 1, 2]]
    level = pair.level("kappa")
    assert [level.low, level.high] in [list(each.get_xdata()) for each in ax.lines]


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("stem", ["d", "digits-dnw", "digits-rigl-with-a-name-that-goes-on-and-on-lr0.05"])
def test_names_of_runs_do_not_run_together(count, stem, mlp_run, tmp_path):
    ax = mt.plots.plot_overlap(mt.compare_many([mlp_run(f"{stem}-s{seed}", seed) for seed in range(count)]))
    mt.plots.save_plot(ax, tmp_path / "runs.png")
    figure = figure_of(ax)
    renderer = FigureCanvasAgg(figure).get_renderer()
    across, down = (
        [label.get_window_extent(renderer) for label in axis.get_ticklabels()] for axis in (ax.xaxis, ax.yaxis)
    )
    assert all(left.x1 + 3 < right.x0 for left, right in itertools.pairwise(across))
    assert all(figure.bbox.x0 <= box.x0 for box in down)
    assert ax.get_window_extent(renderer).width > 150
    shown = [label.get_text() for label in ax.get_yticklabels()]
    assert [name.split()[-1] for name in shown] == [f"{stem}-s{seed}" for seed in range(count)]
    if ax.get_xticklabels()[0].get_text() == "1":
        assert [name.split()[0] for name in shown] == [str(place + 1) for place in range(count)]


def test_a_long_name_of_a_run_stays_within_the_picture_of_epochs(mlp_run, tmp_path):
    a, b = (mlp_run(f"digits-{name}-with-a-name-that-goes-on-and-on-lr0.05-density0.02-s0") for name in ("dnw", "rigl"))
    ax = mt.plots.plot_overlap(mt.compare_epochs(a, b))
    mt.plots.save_plot(ax, tmp_path / "epochs.png")
    figure = figure_of(ax)
    for label in (ax.xaxis.label, ax.yaxis.label):
        box = label.get_window_extent(FigureCanvasAgg(figure).get_renderer())
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1


def test_layers_have_two_bars_on_a_logarithmic_axis(mlp_run):
    found = mt.connectivity(mlp_run(), draws=5)
    ax = axes()
    assert mt.plots.plot_layers(found, ax) is ax
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [each.density for each in found.layers] + [each.effective_density for each in found.layers]
    assert ax.get_xscale() == "log"
    level = found.level("effective", "fc1.weight")
    assert level.mean / 96 in [each.get_xdata()[0] for each in ax.lines]
    curve = mt.connectivity_curve(mlp_run(), draws=0)
    ax = mt.plots.plot_layers(curve)
    assert line(ax, "all layers") == [[0, 1, 2, 3], [each.total.effective_density for each in curve.epochs]]


def test_a_layer_without_effective_weights_says_so():
    masks = random_masks(0)
    masks["fc1.weight"][:] = False
    ax = mt.plots.plot_layers(mt.connectivity_of(mlp_topology(), masks))
    assert [text.get_text() for text in ax.texts] == ["none", "none"]


@pytest.mark.parametrize("side", ["fan_in", "fan_out"])
def test_degrees_stand_beside_the_binomial(side):
    mask = np.random.default_rng(0).random((200, 60)) < 0.1
    ax = axes()
    assert mt.plots.plot_degrees(mask, ax, side=side) is ax
    found = mask.sum(axis=1 if side == "fan_in" else 0)
    trials = 60 if side == "fan_in" else 200
    bars = {round(bar.get_x() + 0.5): bar.get_height() for bar in ax.patches}
    assert all(height == pytest.approx(np.mean(found == degree)) for degree, height in bars.items())
    assert sum(bars.values()) == pytest.approx(1)
    degrees, expected = ax.lines[0].get_data()
    np.testing.assert_allclose(expected, scipy.stats.binom.pmf(degrees, trials, mask.mean()), atol=1e-12)
    empty = mt.plots.plot_degrees(np.eye(4, 9, dtype=bool), side="fan_out")
    assert [bar.get_height() for bar in empty.patches][:2] == pytest.approx([5 / 9, 4 / 9])
    wide = np.random.default_rng(0).random((30, 5000)) < 0.5
    ax = mt.plots.plot_degrees(wide)
    assert len(ax.patches) <= 50
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1)


def test_survival_has_its_chance(seeds):
    found = mt.emergence(seeds[0])
    ax = axes()
    assert mt.plots.plot_survival(found, ax) is ax
    curve = [point for point in found.spells.survival.points if point.duration > 0]
    assert line(ax, "dnw-s0") == [[0, *(p.duration for p in curve)], [1, *(p.survival for p in curve)]]
    chance = [p.survival for p in found.spells.expected_survival.points if p.duration > 0]
    assert line(ax, "dnw-s0, chance")[1] == [1, *chance]
    assert words(mt.plots.plot_survival(mt.emergence_many(seeds))) == ["dnw (2 seeds)", "rigl-s0", "deaths at random"]


def test_trained_again():
    variants = (VariantResult("new", (1, 2), (0.8, 0.9), (0.1, 0.1)), VariantResult("old", (1,), (0.7,), (0.1,)))
    result = ReinitResult("runs/a", 4, 0.02, 0.95, 0.11, "new", variants)
    ax = axes()
    assert mt.plots.plot_reinit(result, ax) is ax
    assert line(ax, "mean, 95 % interval") == [[variants[0].interval.mean, 0.7], [0, 1]]
    found = [list(map(float, each.get_xdata())) for each in ax.lines]
    assert [variants[0].interval.low, variants[0].interval.high] in found
    assert [0.8, 0.9] in found
    assert [0.95, 0.95] in found
    assert [0.11, 0.11] in found
    unknown = mt.plots.plot_reinit(ReinitResult("a", 4, 0.02, math.nan, math.nan, "new", variants))
    assert words(unknown) == ["mean, 95 % interval", "each repetition"]


def test_pruned_further():
    one, other = pruned(), pruned("runs/b", shift=0.02)
    ax = axes()
    assert mt.plots.plot_prune(one, ax) is ax
    assert line(ax, "a") == [[1, 0.5, 0.1], pytest.approx([0.95, 0.475, 0.095])]  # a share of 0 has no logarithm
    assert line(ax, "a, effective part")[1] == pytest.approx([0.5, 0.5, 0.5])
    assert [0.12, 0.12] in [list(each.get_ydata()) for each in ax.lines]
    assert [each.get_label() for each in mt.plots.plot_prune([one, other]).lines if each.get_ls() == "-"] == ["a", "b"]
    ax = mt.plots.plot_prune(mt.robustness_groups([one, other]))
    assert line(ax, "dnw, density 0.1, 2 runs")[1] == pytest.approx([0.96, 0.485, 0.105])
    assert [0.12, 0.12] not in [list(each.get_ydata()) for each in ax.lines]  # groups do not hold it
    ax = mt.plots.plot_prune(mt.robustness_groups([one, other]), names=["mine"], chances=[0.3])
    assert line(ax, "mine")[1] == pytest.approx([0.96, 0.485, 0.105])
    assert line(ax, "guessing (chance)")[1] == [0.3, 0.3]


def test_frozen_early():
    points = (FreezePoint.of(2, (0.9, 0.8), (0.7, 0.75), (3, 3), (9, 9), None),)
    ax = mt.plots.plot_freeze(FreezeResult(("r", "s"), (0.9, 0.8), 1.0, points))
    assert line(ax, "mean, 95 % interval") == [[2], [0.725]]
    assert line(ax, "never fixed")[1] == pytest.approx([0.85, 0.85])
    # FLOPs are not known; a third of the steps used dense gradients.
    (work,) = figure_of(ax).axes[1].lines
    assert list(work.get_ydata()) == [1 / 3]
    counted = (FreezePoint.of(2, (0.9, 0.8), (0.7, 0.75), (3, 3), (9, 9), (0.5, 0.75)),)
    ax = mt.plots.plot_freeze(FreezeResult(("r", "s"), (0.9, 0.8), 1.0, counted))
    assert list(figure_of(ax).axes[1].lines[0].get_ydata()) == [0.625]
    assert len(figure_of(mt.plots.plot_freeze(FreezeResult(("r",), (0.9,), 1.0, counted), work=False)).axes) == 1


def test_accuracy_and_density(seeds):
    ax = axes()
    assert mt.plots.plot_accuracy(seeds, ax) is ax
    assert line(ax, "dnw (2 seeds)") == [[0, 1, 2, 3], pytest.approx([0.005, 0.105, 0.205, 0.305])]
    density = figure_of(ax).axes[1]
    assert line(density, "rigl-s0")[1] == [0.25] * 4
    assert density.get_yscale() == "log"
    assert "guessing (chance)" not in [each.get_label() for each in ax.lines]
    told = json.loads((seeds[0] / "run.json").read_text("utf-8"))
    (seeds[0] / "run.json").write_text(json.dumps({**told, "chance_accuracy": 0.1}), "utf-8")
    assert line(mt.plots.plot_accuracy(seeds), "guessing (chance)")[1] == [0.1, 0.1]
    alone = mt.plots.plot_accuracy(seeds[0], density=False)
    assert line(alone, "dnw-s0")[1] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_a_small_network_is_drawn_as_neurons(mlp_run):
    path = mlp_run()
    ax = axes()
    assert mt.plots.plot_network(path, ax) is ax
    total = mt.connectivity(path, draws=0).total
    numbers = [int(text.split()[0]) for text in words(mt.plots.plot_network(path))]
    assert sum(numbers) == total.active
    assert numbers[0] == total.effective


def test_edges_are_live_dead_or_ghosts():
    nodes = Node("input", (), (2,)), Node("linear", (0,), (3,), "a"), Node("linear", (1,), (2,), "b")
    topology = Topology((*nodes, Node("output", (2,), (2,))))
    # Unit 0 is live; unit 1 has no input, so that its edge on is a ghost; what unit 2 is fed leads nowhere.
    masks = {
        "a": np.array([[True, False], [False, False], [False, True]]),
        "b": np.array([[True, True, False], [False, False, False]]),
    }
    kinds = edge_kinds(neuron_graph(topology, masks))
    assert [list(zip(*getattr(kinds, name), strict=True)) for name in ("live", "dead", "ghost")] == [
        [(0, 2), (2, 5)],
        [(1, 4)],
        [(3, 5)],
    ]
    assert kinds.live_units.tolist() == [True, False, True, False, False, True, False]


def test_a_large_network_is_drawn_as_operators(write_run):
    sizes = (300, 200, 10)
    path = write_run("large", [random_masks(0, 0.05, sizes)], topology=mlp_topology(sizes))
    ax = mt.plots.plot_network(path)
    total = {layer.name: layer for layer in mt.connectivity(path, draws=0).layers}
    told = [text.get_text() for text in ax.texts]
    layer = total["fc1.weight"]
    assert told[0] == "input"
    assert told[1] == f"fc1: {100 * layer.density:.3g} % active, {100 * layer.effective_density:.3g} % effective"
    assert told[-1] == "output"


def test_names_are_taken_as_they_are(mlp_run, tmp_path):
    runs = [mt.emergence(mlp_run(name)) for name in ("_a", "$x^2$", "<b>")]
    ax = mt.plots.plot_emergence(runs)
    assert words(ax)[:3] == [" _a", r"\$x^2\$", "<b>"]
    path = mt.plots.save_plot(ax, tmp_path / "names.svg")
    shown = ["".join(each.itertext()) for each in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    assert {" _a", "$x^2$", "<b>"} <= set(shown)


def test_groups_have_names_that_tell_them_apart(seeds):
    opened = [mt.open_run(path) for path in seeds]
    groups = [[run.name for run in group] for group in seeds_together(opened)]
    assert groups == [["dnw-s0", "dnw-s1"], ["rigl-s0"]]
    assert group_names([["r/a-s0", "r/a-s1"], ["r/a-s2", "r/a-s3"]]) == ["a-s0, …", "a-s2, …"]
    assert group_names([["r/a-s0", "r/a-s1"]]) == ["a"]
    assert group_names([["r/0", "r/1"]]) == ["0, …"]


@pytest.mark.parametrize("ending", ["svg", "png", "pdf", "SVG"])
def test_files(ending, mlp_run, tmp_path):
    ax = mt.plots.plot_survival(mt.emergence(mlp_run()))
    path = mt.plots.save_plot(ax, tmp_path / f"picture.{ending}")
    start = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[ending.lower()]
    assert path.read_bytes().startswith(start)
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [path.name]  # nothing half written is left
    again = mt.plots.save_plot(ax, tmp_path / f"again.{ending}")
    assert again.read_bytes() == path.read_bytes()


def test_labels_stay_within_the_picture(tmp_path):
    # Its axes label finer ticks once the legend has taken its place.
    ax = mt.plots.plot_degrees(random_masks(2, 0.05, (300, 200))["fc1.weight"], axes_of(None, (3.7, 2.4)))
    engine = figure_of(ax).get_layout_engine()
    mt.plots.save_plot(ax, tmp_path / "a.svg")
    assert figure_of(ax).get_layout_engine() is engine
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    (baseline,) = re.findall(r' x="([\d.-]+)"[^>]*>share of the units<', drawn)
    assert float(baseline) > 7  # ten points high, of which a quarter is below


def test_epochs_begin_at_nought(write_run):
    config = {"algorithm": {"name": "x"}}
    log = [{"epoch": epoch, "test_accuracy": 0.5} for epoch in (0, 2, 40)]
    masks = random_masks(0)
    short = write_run("short", {0: masks, 2: masks}, {**config, "seed": 0}, log[:2])
    long = write_run("long", {0: masks, 40: masks}, {**config, "epochs": 40}, log)
    assert mt.plots.plot_accuracy([short, long]).get_xlim() == pytest.approx((-0.5, 46))


def test_files_that_cannot_be_written(tmp_path):
    ax = axes()
    with pytest.raises(MasktoolsError, match=r"a\.gif: pictures are written as \.svg, \.png, \.pdf, not as \.gif"):
        mt.plots.save_plot(ax, tmp_path / "a.gif")
    with pytest.raises(MasktoolsError, match="cannot be written"):
        mt.plots.save_plot(ax, tmp_path / "nowhere" / "a.svg")
    ax.remove()
    with pytest.raises(MasktoolsError, match="no figure"):
        mt.plots.save_plot(ax, tmp_path / "a.svg")


def test_the_page_lists_every_picture():
    page = (Path(__file__).parents[1] / "docs" / "plots.md").read_text("utf-8")
    assert sorted([*re.findall(r"^\| `(\w+)`", page, re.MULTILINE), "save_plot"]) == mt.plots.__all__


def test_pyplot_knows_nothing_of_it(mlp_run):
    before = dict(matplotlib.rcParams)
    mt.plots.plot_emergence(mt.emergence(mlp_run()))
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_colours_can_be_told_apart_from_paper():
    def luminance(tone):
        parts = [int(tone[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert all(1.05 / (luminance(tone) + 0.05) > 2 for tone in PALETTE)
    assert len(set(PALETTE)) == 6
