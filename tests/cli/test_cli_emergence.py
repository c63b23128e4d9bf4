import csv
import io
import json
import re

import numpy as np
import pytest
from synthetic import random_masks

from masktools.structure.dynamics.groups import emergence_many


def words(text):
    """A text without its line breaks."""
    return " ".join(text.split())


def headers(text, first):
    """Lines that begin with a word, as words."""
    return [line.split() for line in text.split("\n") if line.startswith(first)]


def moving(seed, epochs=8, share=0.2):
    """Masks that move less and less."""
    rng = np.random.default_rng(seed)
    masks = random_masks(seed, sizes=(40, 30, 20))
    found = [masks]
    for epoch in range(1, epochs):
        masks = {name: mask.copy() for name, mask in masks.items()}
        for mask in masks.values():
            flat = mask.reshape(-1)
            number = int(share * np.count_nonzero(flat) / epoch**2)
            leave = rng.choice(np.flatnonzero(flat), number, replace=False)
            come = rng.choice(np.flatnonzero(~flat), number, replace=False)
            flat[leave], flat[come] = False, True
        found.append(masks)
    return found


@pytest.fixture
def moving_run(write_run):
    def write(seed=0, **rest):
        metrics = [{"epoch": epoch, "lr": 0.1 / (1 + epoch) ** 2} for epoch in range(1, 8)]
        return write_run(f"s{seed}", moving(seed), config={"seed": seed}, metrics=metrics, **rest)

    return write


def test_json_is_the_librarys(moving_run, output):
    paths = [moving_run(seed) for seed in range(3)]
    told = json.loads(output("emergence", *paths, "--window", 3, "--threshold", 0.85, "--format", "json"))
    assert {key: told[key] for key in ("runs", "groups")} == emergence_many(paths, 0.85, 3).to_dict()
    assert told["runs"][0]["early_bird"]["window"] == 3
    assert [group["seeds"] for group in told["groups"]] == [[0, 1, 2]]
    assert told["groups"][0]["emergence_epoch"]["runs"] == 3


def test_one_run_has_no_groups(moving_run, output):
    assert json.loads(output("emergence", moving_run(), "--format", "json"))["groups"] == []


def test_text_of_one_run(moving_run, output):
    text = output("emergence", moving_run())
    assert max(map(len, text.split("\n"))) <= 80
    header = next(line for line in text.split("\n") if line.startswith("epoch"))
    assert header.split() == "epoch lr kappa beyond births deaths regrown chance explored".split()
    told = words(text)
    assert "What the first mask does not explain (beyond) is there for good from epoch" in told
    assert re.search(r"births since the first snapshot; 0\S* of them were weights that came back, against 0", told)
    assert "were still active at the end; fewer than half ended while they were watched" in told
    assert re.search(r"Hubs of epoch 0 against the final ones: by fan-out kappa = \S+ \(chance 0, z = ", told)
    assert "is the first to have kappa 0.9 with each of the 4 masks before it" in told
    assert "independent masks of these densities differ by 0.375." in told
    assert "The original rule of You et al. (at most" in told
    assert "Half-life: epochs after which half of the stretches" in told
    assert "at risk = spells that had lasted as long" in told
    assert "Births and deaths are those since the snapshot before" in told


def test_learning_rates_stand_beside_the_curves_of_several_runs(moving_run, write_run, output):
    paths = [moving_run(seed) for seed in range(2)]
    text = output("emergence", *paths)
    assert "of 7 (learning rate " in " ".join(text.split())
    assert "epoch lr kappa 95 % beyond 95 %".split() in headers(text, "epoch")
    told = json.loads(output("emergence", *paths, "--format", "json"))["groups"][0]["curve"]
    assert (told[0]["lr"], told[0]["lr_low"]) == (None, None)  # the log begins at epoch 1
    assert told[3]["lr"] == told[3]["lr_low"] == told[3]["lr_high"] == 0.1 / 16
    other = write_run("other", moving(2), config={"seed": 2}, metrics=[{"epoch": e, "lr": 0.5} for e in range(1, 8)])
    text = output("emergence", *paths, other)
    assert "epoch lr from to kappa 95 % beyond 95 %".split() in headers(text, "epoch")
    assert max(len(line) for line in text.split("\n")) <= 80
    told = json.loads(output("emergence", *paths, other, "--format", "json"))["groups"][0]["curve"]
    assert (told[3]["lr"], told[3]["lr_low"], told[3]["lr_high"]) == (None, 0.1 / 16, 0.5)
    bare = write_run("bare", moving(3), config={"seed": 3})
    told = json.loads(output("emergence", *paths, bare, "--format", "json"))["groups"][0]["curve"]
    assert (told[3]["lr_low"], told[3]["lr_high"]) == (None, None)


def test_text_of_several_runs(moving_run, output):
    text = output("emergence", *(moving_run(seed) for seed in range(3)))
    told = words(text)
    assert text.startswith("3 runs that differ only in the seed (0, 1, 2); all begin with")
    assert "intervals here are over as few as 3 runs" in told
    assert re.search(r"emergence epoch +\d\S* +\S+ +\S+ +3 of 3", text)
    assert "8 epochs are common to all runs" in told
    assert "brackets are a 95 % Student t interval over runs" in told


def test_a_seed_given_twice_is_named(moving_run, output):
    paths = [moving_run(0), moving_run(1), moving_run(1)]
    told = words(output("emergence", *paths))
    assert "Left out, because a run of the same seed is there already" in told
    assert "2 runs that differ only in the seed (0, 1)" in told


def test_csv_has_every_number_of_the_curve(moving_run, output):
    a, b = moving_run(0), moving_run(1)
    rows = list(csv.DictReader(io.StringIO(output("emergence", a, b, "--format", "csv"))))
    runs = emergence_many([a, b]).to_dict()["runs"]
    assert [(row["run"], int(row["epoch"])) for row in rows] == [(str(run), t) for run in (a, b) for t in range(8)]
    for row, point in zip(rows, (point for run in runs for point in run["curve"]), strict=True):
        assert point.pop("null") is None
        assert row.keys() >= point.keys()
        for key, value in point.items():
            assert row[key] == ("" if value is None else repr(value))
    assert float(rows[7]["hub_kappa_fan_in"]) == 1
    assert float(rows[0]["hub_kappa_fan_out"]) == runs[0]["hubs"]["fan_out"]["kappa"][0]


def test_random_masks_stand_beside_the_curve(moving_run, output, short_walk):
    path = moving_run(0)
    found = emergence_many([path], null="degree", draws=9, seed=3)
    options = ("--null", "degree", "--draws", 9, "--seed", 3)
    assert json.loads(output("emergence", path, *options, "--format", "json"))["runs"] == found.to_dict()["runs"]
    text = output("emergence", path, *options)
    assert "random masks 'degree' in the place of the snapshot's" in " ".join(text.split())
    assert "epoch lr kappa null beyond births deaths regrown chance explored".split() in headers(text, "epoch")
    # Uniform masks of the same counts are the same draws at every epoch: the number is said once.
    alike = output("emergence", path, "--null", "layer", "--draws", 9)
    assert "epoch lr kappa beyond births deaths regrown chance explored".split() in headers(alike, "epoch")
    assert "At every other epoch they have about as much on average." in words(alike)
    assert max(map(len, text.split("\n"))) <= 80
    rows = list(csv.DictReader(io.StringIO(output("emergence", path, *options, "--format", "csv"))))
    means = [trial.level("kappa").mean for trial in found.runs[0].trials]
    assert [float(row["kappa_null_mean"]) for row in rows] == means


def test_the_sentence_tells_of_a_decayed_learning_rate(write_run, output):
    a, b = random_masks(0), random_masks(1)

    def told(name, *rates):
        metrics = [{"epoch": epoch, "lr": rate} for epoch, rate in enumerate(rates)]
        return words(output("emergence", write_run(name, [a, a, b, b], metrics=metrics)))

    assert "had fallen more than tenfold, from 0.500 to 0.0400" in told("decayed", None, 0.5, 0.04, 0.01)
    assert "had fallen more than tenfold, from 0.500 to 0." in told("stopped", 0.5, 0.1, 0, 0)
    kept = told("kept", None, 0.5, 0.05, 0.001)
    assert "The learning rate was 0.0500 then, of 0.500 at most." in kept
    assert "tenfold" not in kept
    assert "learning rate was" not in told("unknown", None, 0.5)
    assert "learning rate was" not in told("no-log")


def test_a_mask_that_any_would_pass(write_run, output):
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(6):
        mask = np.zeros((100, 100), dtype=np.bool_)
        mask.reshape(-1)[rng.choice(10_000, 200, replace=False)] = True
        masks.append({"fc.weight": mask})
    told = words(output("emergence", write_run("a", masks)))
    assert "No mask has kappa 0.9 or more with each of the 4 masks before it." in told
    assert re.search(r"is met at epoch 4, with 0\.03\d+; .* differ by 0.0392, so any masks meet it", told)


def test_runs_without_movement(write_run, output):
    masks = random_masks(0)
    told = words(output("emergence", write_run("static", [masks] * 6)))
    assert "The run ends with the mask it began with." in told
    assert "No weight ever became active, and none left." in told
    assert "The mask of epoch 4 is the first to have kappa 0.9" in told
    dense = {"fc.weight": np.ones((4, 5), dtype=np.bool_)}
    told = words(output("emergence", write_run("dense", [dense] * 2)))
    assert "Emergence is not defined" in told
    assert "by fan-in undefined, because all units are hubs in the end, or none" in told
    assert "There are fewer than 5 snapshots" in told
    half = {"fc.weight": np.arange(20).reshape(4, 5) < 10}
    assert "No weight ever became active: weights only leave." in words(
        output("emergence", write_run("pruned", [dense, half]))
    )
    empty = {"fc.weight": np.zeros((4, 5), dtype=np.bool_)}
    assert "No spell has a known beginning." in words(output("emergence", write_run("empty", [empty] * 2)))


def test_what_ran_before_the_first_snapshot_is_told(write_run, output):
    told = words(output("emergence", write_run("late", {2: random_masks(0), 4: random_masks(1)})))
    assert "34 spells were running in the first snapshot (epoch 2) and are left out" in told


def test_bad_windows(moving_run, failure):
    assert "Invalid value for '--window'" in failure("emergence", moving_run(), "--window", 1)
