"""The page about runs: complete, closed in itself, and true to the results."""

import base64
import dataclasses
import functools
import html
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from reported import CHANCE, write_study
from synthetic import mlp_topology, random_masks

import masktools as mt
from masktools.errors import RunError
from masktools.render.document import Column, Table
from masktools.render.numbers import rate, with_interval
from masktools.report.again import beside, chance_accuracies, variant_results
from masktools.report.frozen import freeze_result, frozen_beside
from masktools.report.inline import COLOURS
from masktools.report.markup import clean, html_table
from masktools.report.material import Material, gather
from masktools.report.page import SECTIONS, html_report
from masktools.report.pruned import pruned_results
from masktools.report.readings import degrees_reading, finals_reading, guessing, heat_map_reading
from masktools.report.style import STYLE
from masktools.run_writer import RunWriter

EMPTY = {"meta", "link", "br", "path", "use", "rect", "image", "circle", "stop", "line", "hr"}


class Page(HTMLParser):
    """What a page is made of; fails where elements do not close as they opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        if tag in EMPTY:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]


@pytest.fixture
def study(write_run):
    """Return a function that writes runs of two algorithms with logs, and what was made of them again."""
    return functools.partial(write_study, write_run)


def said(paths, key):
    """Text of a single section."""
    return Page(SECTIONS[key][1](Material(gather(paths)))).text


_PAGES: list[str] = []


@pytest.fixture
def complete(study):
    """A page with everything on it, made once."""
    if not _PAGES:
        _PAGES.append(html_report([*study(names=("dnw",)), *study(seeds=(0,), names=("a<b>",))]))
    return _PAGES[0]


@pytest.mark.slow
def test_the_page_is_complete_and_needs_no_other(complete):
    text, page = complete, Page(complete)
    assert page.all("html") == [{"lang": "en"}]
    assert [section["id"] for section in page.all("section")] == list(SECTIONS)
    assert page.all("main")
    assert page.all("header")
    assert page.all("footer")
    assert [attributes["href"] for attributes in page.all("a")] == ["#main", *(f"#{key}" for key in SECTIONS)]
    assert "Not shown" not in page.text
    words = re.sub(r"data:image/png;base64,[^\"]+", "", text.replace(STYLE, ""))
    assert re.findall(r"https?:|//[a-z]|@import", words) == []
    for _, attributes, _ in page.elements:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert [name for name, _, _ in page.elements if name in ("iframe", "object", "img")] == []
    assert len(page.all("script")) == 1


@pytest.mark.slow
def test_ids_are_unique_and_what_is_pointed_to_is_there(complete):
    text, page = complete, Page(complete)
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    pointed = [attributes["aria-labelledby"] for _, attributes, _ in page.elements if "aria-labelledby" in attributes]
    pointed += re.findall(r"(?:href=\"#|url\(#)([\w.-]+)", text)
    assert set(pointed) <= set(ids)


@pytest.mark.slow
def test_everyone_can_read_it(complete):
    page = Page(complete)
    levels = [int(name[1]) for name, _, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    pictures = page.all("svg")
    assert len(pictures) >= 15
    assert all(attributes["role"] == "img" for attributes in pictures)
    assert len([name for name, _, inside in page.elements if name == "title" and inside[-1] == "svg"]) == len(pictures)
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    inside = [above for name, _, above in page.elements if name in ("svg", "figcaption")]
    assert all("figure" in above[-2:] for above in inside)


@pytest.mark.slow
def test_every_picture_is_read_out_with_a_number(complete):
    captions = [html.unescape(text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", complete)]
    assert len(captions) == complete.count("<svg")
    assert all(re.search(r"\d", caption) and caption.endswith(".") for caption in captions)
    chances = "chance", "Guessing", "density alone", "random masks", "fixed"
    assert [caption for caption in captions if not any(word in caption for word in chances)] == []


def test_the_guide_lists_every_section():
    guide = (Path(__file__).parents[1] / "docs" / "report.md").read_text("utf-8")
    assert re.findall(r"^\| (\w+) \|", guide, re.MULTILINE)[1:] == list(SECTIONS)


def test_contrast_of_both_themes():
    def luminance(tone):
        whole = tone if len(tone) == 7 else "#" + "".join(2 * letter for letter in tone[1:])
        parts = [int(whole[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    themes = re.findall(r"color-scheme:(?:light|dark);([^}]*)", STYLE)
    assert len(themes) == 3  # light; dark by the reader's system; dark by the attribute
    for theme in themes:
        tones = dict(pair.split(":") for pair in theme.split(";"))
        assert set(COLOURS.values()) <= set(tones)

        def contrast(name, on="--paper", tones=tones):
            low, high = sorted((luminance(tones[name]), luminance(tones[on])))
            return (high + 0.05) / (low + 0.05)

        # Text needs 4.5, parts of pictures 3 (WCAG 2.1, 1.4.3 and 1.4.11).
        for name in ("--ink", "--soft", "--muted", "--link"):
            assert contrast(name) >= 4.5
        assert contrast("--ink", "--panel") >= 4.5
        for place in range(6):
            assert contrast(f"--c{place}") >= 3


def test_names_are_text(study, write_run):
    text = html_report(study(seeds=(0,), names=("<b>",)))
    assert "<b>" not in text
    assert "<h1>&lt;b&gt;-s0</h1>" in text
    assert "<b>-s0, fc1.weight: " in Page(text).text
    masks = {'"><script>alert(1).weight': np.eye(3, dtype=bool)}
    config = {"seed": 0, "note": "</td><script>", "algorithm": {"name": "\x1b[2J"}}
    hostile = html_report([write_run("hostile", [masks, masks], config)])
    assert len(Page(hostile).all("script")) == 1
    assert "\x1b" not in hostile
    assert clean("a\x00<") == "a\\x00&lt;"


def test_tables_hold_the_numbers_of_the_results(study):
    runs = study(seeds=(0,), names=("dnw",), again=False)
    text = Page(html_report(runs)).text
    found = mt.emergence(runs[0])
    total = mt.connectivity(runs[0], draws=0).total
    assert f"dnw-s0 {found.emergence_epoch} " in text
    assert f"all layers 0.250 {total.effective_density:#.3g} " in text
    table = html_table(Table("T", (Column("a"), Column("n", kind="count")), (("x", 1234), (None, None)), "R"))
    assert '<th scope="row">x</th><td class="n">1,234</td>' in table
    assert '<th scope="row">-</th><td class="n">-</td>' in table


def test_what_lies_beside_a_run(study):
    runs = [mt.open_run(path) for path in study()]
    found = beside(runs[0])
    assert sorted((each.label, each.accuracy) for each in found if each.label in ("new", "original")) == [
        ("new", 0.805),
        ("new", 0.806),
        ("original", 0.905),
        ("original", 0.906),
    ]
    by_seed = {result.variant: result for result in variant_results([found])}["new"]
    assert (by_seed.seeds, by_seed.accuracies, by_seed.untrained) == ((5, 6), (0.805, 0.806), (0.1, 0.1))
    over_runs = {each.variant: each for each in variant_results([found, beside(runs[1])])}["original"]
    assert over_runs.accuracies == pytest.approx((0.9055, 0.9055))
    ((how, curve),) = pruned_results(runs[0], found).items()
    assert how == "magnitude (global), without fine-tuning"
    points = curve.curve
    assert [(point.share, point.active, point.mean()) for point in points] == [(1, 34, 0.6), (0.5, 17, 0.3)]
    place = runs[0].path.with_name("dnw-s0-pruned")
    for point in points:
        total = mt.connectivity(place / f"magnitude-global-{point.share:g}", draws=0).total
        assert point.effective_density == total.effective_density
        assert point.effective_share == pytest.approx(total.effective / total.active)
    assert curve.chance_accuracy == CHANCE


def test_what_was_pruned_in_another_way_is_no_repetition(study, write_run):
    path = study(seeds=(0,), names=("dnw",))[0]
    run = mt.open_run(path)
    shutil.copytree(path.with_name("dnw-s0-pruned"), path.with_name("dnw-s0-pruned-copy"))
    origin = {"run": run.name, "epoch": 3, "variant": "prune-magnitude-global"}
    for number, (options, epoch, lr) in enumerate(
        (
            ({}, 1, 0.1),
            ({"finetune_epochs": 3}, 3, 0.1),
            ({"finetune_epochs": 3}, 3, 0.01),
            ({"recalibration_examples": 10}, 3, 0.1),
            ({"recalibration_examples": 2000}, 3, 0.1),
            ({"examples": 64}, 3, 0.1),
        )
    ):
        told = {**run.config, "optimizer": {"lr": lr}, "origin": {**origin, "epoch": epoch}}
        told["origin"]["options"] = {"share": 0.5, **options}
        log = [{"epoch": 3, "test_accuracy": number / 10, "density": 0.1, "active": 17}]
        masks = {name: run.final.mask(name) for name in run.final.layers}
        write_run(f"dnw-s0-pruned-more/{number}", [masks], told, log, mlp_topology())
    for draw, seed in ((0, 0), (1, 0), (0, 1)):
        told = {**run.config, "origin": {**origin, "variant": "prune-random-layer"}}
        told["origin"]["options"] = {"share": 0.5, "draw": draw, "seed": seed}
        write_run(f"dnw-s0-pruned-random/{seed}{draw}", [masks], told, log, mlp_topology())
    found = pruned_results(run, beside(run))
    assert {how: [point.accuracies for point in result.curve] for how, result in found.items()} == {
        "magnitude (global), without fine-tuning": [(0.6,), (0.3,)],
        "magnitude (global), network of epoch 1, without fine-tuning": [(0.0,)],
        "magnitude (global), then 3 epochs of fine-tuning at a learning rate of 0.1": [(0.1,)],
        "magnitude (global), then 3 epochs of fine-tuning at a learning rate of 0.01": [(0.2,)],
        "magnitude (global), batch norms recalibrated on 10 examples, without fine-tuning": [(0.3,)],
        "magnitude (global), batch norms recalibrated on 2,000 examples, without fine-tuning": [(0.4,)],
        "magnitude (global), by 64 examples, without fine-tuning": [(0.5,)],
        "random (layer), without fine-tuning": [(0.5,) * 3],
    }
    assert {result.epoch for result in found.values()} == {1, 3}


def test_a_training_from_rewound_weights_is_finished_earlier(study, write_run):
    run = mt.open_run(study(seeds=(0,), names=("dnw",), again=False)[0])
    masks = {name: run.final.mask(name) for name in run.final.layers}
    origin = {"run": run.name, "epoch": 3, "variant": "rewound", "options": {"rewind_epoch": 1}}
    for seed, epoch, planned in ((1, 1, None), (2, 2, None), (3, 2, 2), (4, 2, 3)):
        log = [{"epoch": place, "test_accuracy": 0.5} for place in range(epoch + 1)]
        path = write_run(f"{run.name}-reinit/s{seed}", [masks], {**run.config, "seed": seed, "origin": origin}, log)
        if planned is not None:
            told = json.loads((path / "run.json").read_text("utf-8"))
            (path / "run.json").write_text(json.dumps({**told, "last_epoch": planned}), "utf-8")
    shutil.copytree(path, path.with_name("later"))
    later = json.loads((path.with_name("later") / "run.json").read_text("utf-8"))
    later["config"]["origin"]["options"]["rewind_epoch"] = 2
    (path.with_name("later") / "run.json").write_text(json.dumps({**later, "last_epoch": 2}), "utf-8")
    shutil.copytree(path.with_name("s3"), path.with_name("s3-copy"))  # the same training is no second seed
    found = [(each.variant, each.seeds) for each in variant_results([beside(run)])]
    assert sorted(found) == [("rewound, rewind_epoch=1", (2, 3)), ("rewound, rewind_epoch=2", (4,))]


def test_runs_that_were_only_pruned_do_not_hide_that_others_were_trained_again(study):
    paths = study(names=("dnw",))
    shutil.rmtree(paths[1].with_name("dnw-s1-reinit"))
    text = said(paths, "reinit")
    assert "dnw, means over the seeds of one run with 95 % intervals: original 0.90" in text


def test_masks_fixed_early(study, write_run):
    paths = study(names=("dnw",))
    runs = [mt.open_run(path) for path in paths]
    found = {run: frozen_beside(run) for run in runs}
    assert [sorted(each) for each in found.values()] == [[1, 2], [1, 2]]
    result = freeze_result(found)
    assert result.accuracies == (0.6, 0.61)
    assert [point.epoch for point in result.points] == [1, 2]
    assert result.points[1].accuracies == (0.52, 0.53)
    assert result.points[1].lost.mean == pytest.approx(0.08)
    assert [point.dense_gradient_share for point in result.points] == [0.25, 0.5]
    assert [point.training_flops_ratio for point in result.points] == [0.25, 0.5]
    assert result.dense_gradient_share == 1
    # Another learning rate, a run that is not finished, and an epoch that not all runs have, are no part of it.
    config = {**runs[0].config, "algorithm": {"name": "dnw", "freeze_epoch": 3}}
    log = [dict(record) for record in runs[0].metrics]
    masks = 4 * [random_masks(0)]
    write_run("dnw-s0-frozen/lr", masks, {**config, "optimizer": {"lr": 1}, "lr": 1}, log)
    write_run("dnw-s0-frozen/half", masks[:3], config, log[:3])
    later = {**config, "later": 1}  # a key that there was not yet when the run was trained
    write_run("dnw-s0-frozen/e3", masks, later, log)
    assert sorted(frozen_beside(runs[0])) == [1, 2, 3]
    assert [point.epoch for point in freeze_result({run: frozen_beside(run) for run in runs}).points] == [1, 2]
    assert freeze_result({}) is None
    bare = mt.open_run(write_run("bare", [random_masks(0)]))
    assert frozen_beside(bare) == {}


def test_guessing_is_shown_where_it_is_recorded(study):
    paths = study(seeds=(0,), names=("dnw",))
    assert chance_accuracies([mt.open_run(path) for path in paths]) == [CHANCE]
    keys = "training", "reinit", "freeze", "prune"
    for key in keys:
        assert f"has {CHANCE}." in said(paths, key)
    text = said(paths, "prune")
    assert "Half of the accuracy above guessing is lost where so many of the active weights are kept: " in text
    old = study(seeds=(0,), names=("rigl",), chance=None)
    for key in keys:
        assert "No line for guessing: these runs do not record its accuracy" in said(old, key)
    assert "Mean accuracy over the logarithm of the share: " in said(old, "prune")
    assert guessing([0.1, 0.5]).endswith("has 0.100 or 0.500.")
    for key in ("training", "prune"):
        assert f"has {CHANCE}, of the runs that record it." in said([*paths, *old], key)


def test_sentences_below_pictures(mlp_run):
    # Two of four units empty; the variance of 0, 0, 4, 4 is 16 / 3, that of 8 trials at 1 / 4 is 3 / 2.
    told = degrees_reading(np.array([0, 0, 4, 4]), 8)
    assert told.startswith("50 % of its 4 units have no active weight (10 % by density alone), ")
    assert f"is {16 / 3 / 1.5:.3g} times" in told
    assert "below 0.01 % by density alone" in degrees_reading(np.array([90, 92]), 100)
    assert degrees_reading(np.array([4]), 8) == "0 % of its 1 units have no active weight (0.39 % by density alone)."
    matrix = mt.compare_epochs(mlp_run(), mlp_run())
    kappa = matrix.total.kappa[0, -1]
    assert heat_map_reading(matrix) == (
        f"kappa {rate(kappa)} between the first and the last mask, {rate((2 + kappa) / 3)} on average from one to the "
        "next (chance 0)."
    )
    for epochs, gap in (((0, 5, 10, 15), "5"), ((0, 1, 3, 10), "1 to 7")):
        some = dataclasses.replace(matrix, epochs_a=epochs, epochs_b=epochs)
        assert f"from one to the next that is shown, {gap} epochs later (chance" in heat_map_reading(some)


def test_unfinished_and_foreign_runs_beside_are_left_out(study, write_run):
    path = study(seeds=(0,), names=("dnw",), again=False)[0]
    masks = random_masks(0)
    origin = {"run": "dnw-s0", "variant": "new", "epoch": 3}
    config = {**mt.open_run(path).config, "seed": 9}
    log = [{"epoch": 1, "test_accuracy": 0.2}]
    write_run("dnw-s0-reinit/new-s9", [masks], {**config, "origin": origin}, log)  # of three epochs
    write_run("dnw-s0-other", [masks], config, log)  # a run of its own
    write_run("dnw-s0-else/x", [masks], {**config, "origin": {**origin, "run": "rigl-s0"}}, log)
    (path.parent / "dnw-s0-notes").mkdir()
    assert beside(mt.open_run(path)) == []
    early = {**config, "epochs": 1, "origin": {**origin, "epoch": 1}}
    write_run("dnw-s0-reinit/new-e1-s9", [masks], early, log)
    (found,) = beside(mt.open_run(path))
    assert found.label == "new, mask of epoch 1, epochs=1"


def test_what_cannot_be_made_is_said_in_a_sentence(write_run):
    page = Page(html_report([write_run("bare", [random_masks(0)], {"seed": 0})]))
    assert page.text.count("Not shown:") == 9
    for words in (
        "holds no operator graph",
        "every run has a single snapshot",
        "no run has a log",
        "no finished trainings of these masks",
        "no trainings with the mask fixed early",
        "no pruned networks lie beside the runs",
    ):
        assert words in page.text


def test_different_layers_have_no_matrix(write_run):
    paths = [
        write_run(name, 2 * [random_masks(0, sizes=sizes)], {"seed": 0, "x": name})
        for name, sizes in (("a", (6, 5, 4)), ("b", (6, 5)))
    ]
    text = Page(html_report(paths)).text
    assert "Final masks of the runs Not shown:" in text


def test_runs_of_versions_that_record_different_keys(write_run):
    """What one of them does not record is no difference if the others hold nothing there."""
    older, newer = {"seed": 0, "x": "a"}, {"seed": 0, "x": "b", "origin": None, "execution": "masked"}
    paths = [write_run(config["x"], [random_masks(0)], config) for config in (older, newer)]
    text = said(paths, "runs")
    different, _, shared = text.partition("Configuration keys that all runs share")
    assert "execution - masked" in different
    assert "origin" not in different
    assert "origin None" in shared


def test_directories_hold_runs_of_their_own(study):
    folder = study()[0].parent
    own = ["a<b>-s0", "a<b>-s1", "dnw-s0", "dnw-s1"]
    assert [run.name for run in gather([folder])] == own
    assert [run.name for run in gather([folder, folder / "dnw-s0"])] == own  # a run counts once
    assert [run.name for run in gather([folder / "dnw-s0-reinit" / "new-s5"])] == ["new-s5"]
    again = ["new-s5", "new-s6", "original-s5", "original-s6"]
    assert [run.name for run in gather([folder / "dnw-s0-reinit"])] == again
    with pytest.raises(RunError, match="no such run"):
        gather([folder / "missing"])


@pytest.mark.slow
def test_random_masks_are_drawn_where_they_are_asked_for(study):
    path = study(seeds=(0,), names=("dnw",), again=False)[0]
    assert "No random masks were drawn" in html_report([path])
    text = Page(html_report([path], null="layer", draws=3)).text
    assert "the central 95 % of 3 random masks in the place of each epoch's (null: layer)" in text
    assert "in random masks" in text


def test_heat_maps_are_pictures_of_their_cells(study):
    text = html_report(study(seeds=(0,), names=("dnw",), epochs=7, again=False))
    images = [base64.b64decode(found) for found in re.findall(r"data:image/png;base64,([^\"]+)", text)]
    sizes = [tuple(int.from_bytes(image[place : place + 4]) for place in (16, 20)) for image in images]
    assert (7, 7) in sizes


def test_the_page_stays_small_however_long_the_runs(study):
    paths = study(seeds=range(2), epochs=40, again=False)
    text = html_report(paths)
    assert len(text.encode()) < 1e6
    Page(text)


def test_unfinished_runs_are_named_beside_the_table(study):
    path, other = study(seeds=(0, 1), names=("dnw",), again=False)
    RunWriter(path).describe({**mt.open_run(path).info, "last_epoch": 9})
    RunWriter(other).describe({**mt.open_run(other).info, "last_epoch": 3})
    text = said([path, other], "runs")
    assert f"{path} ends at epoch 3 of 9: its training was stopped" in text
    assert "4 (epochs 0 to 3 of 9)" in text
    assert text.count("of 9") == 2
    assert "of 3" not in text


def test_final_masks_have_a_mean_within_groups_and_none_across_them(study):
    """A mean over pairs of one algorithm and pairs of two would depend on how many there are of each."""
    paths = [*study(seeds=(0, 1, 2), names=("dnw",), again=False), *study(seeds=(0, 1), names=("rigl",), again=False)]
    material = Material(gather(paths))
    result = mt.compare_many(paths)
    said = finals_reading(result, material.groups)
    kappa = {(i, j): result.pair(i, j).total.kappa for i, j in itertools.combinations(range(5), 2)}
    mean = mt.compare_many(paths[:3]).mean()
    assert f"dnw: mean kappa = {with_interval(mean.mean, mean.low, mean.high)} (chance 0)" in said
    assert f"rigl: kappa = {rate(kappa[3, 4])} (chance 0) of one pair." in said
    across = [kappa[i, j] for i in range(3) for j in (3, 4)]
    assert (
        f"Between runs of different groups kappa = {rate(min(across))} to {rate(max(across))} (chance 0) over 6 pairs."
        in said
    )
    assert said.lower().count("mean kappa") == 1


def test_final_masks_of_a_single_group_or_of_none(study):
    three = study(seeds=(0, 1, 2), names=("dnw",), again=False)
    alone = finals_reading(mt.compare_many(three), Material(gather(three)).groups)
    assert alone.startswith("mean kappa = ")
    assert "etween" not in alone
    singles = [three[0], *study(seeds=(0,), names=("rigl",), again=False)]
    kappa = rate(mt.compare(*singles).total.kappa)
    said = finals_reading(mt.compare_many(singles), Material(gather(singles)).groups)
    assert said == f"Between runs of different groups kappa = {kappa} (chance 0) of one pair."
