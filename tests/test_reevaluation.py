"""What is made of accuracies of trainings: intervals, paired differences, corrections, shares; values by hand."""

import math

import pytest

from masktools.render.as_csv import as_csv
from masktools.render.as_table import as_table
from masktools.render.reevaluation import reinit_document
from masktools.render.sweep import freeze_document, sweep_document
from masktools.render.training import training_document
from masktools.structure.freezing import FreezePoint, FreezeResult
from masktools.structure.reevaluation import ReinitResult, VariantResult
from masktools.structure.sweep import SweepPart, SweepResult

T2 = 4.302652729911275
"""97.5 % quantile of Student's t with two degrees of freedom."""


def p_value(differences):
    """Two-sided p of the paired t-test of three differences: with two degrees of freedom it has a closed form."""
    mean = math.fsum(differences) / 3
    deviation = math.sqrt(math.fsum((each - mean) ** 2 for each in differences) / 2)
    t = abs(mean) * math.sqrt(3) / deviation
    return 1 - t / math.sqrt(2 + t * t)


ACCURACIES = {
    "original": (0.90, 0.92, 0.91),
    "new": (0.88, 0.91, 0.90),
    "layer-shuffled": (0.70, 0.75, 0.71),
    "global-shuffled": (0.60, 0.66, 0.64),
}


def reinitialised(baseline="new", accuracies=ACCURACIES):
    variants = tuple(VariantResult(name, (1, 2, 3), each, (0.1, 0.2, 0.3)) for name, each in accuracies.items())
    return ReinitResult("runs/a", 4, 0.02, 0.95, 0.1, baseline, variants)


@pytest.mark.parametrize("baseline", list(ACCURACIES))
def test_differences_are_paired_by_seed_and_corrected_for_each_other(baseline):
    result = reinitialised(baseline)
    others = [name for name in ACCURACIES if name != baseline]
    assert [each.variant for each in result.differences] == others
    apart = {name: [a - b for a, b in zip(ACCURACIES[name], ACCURACIES[baseline], strict=True)] for name in others}
    raw = {name: p_value(differences) for name, differences in apart.items()}
    # Holm: the smallest times the number of tests, the next one times one less, none below one before it.
    ranked, least = sorted(others, key=raw.get), 0.0
    for rank, name in enumerate(ranked):
        least = max(least, min(1.0, raw[name] * (3 - rank)))
        (found,) = (each for each in result.differences if each.variant == name)
        assert found.difference.mean == pytest.approx(math.fsum(apart[name]) / 3)
        assert found.difference.p_value == pytest.approx(raw[name])
        assert found.p_adjusted == pytest.approx(least)
        half = T2 * math.sqrt(sum((x - math.fsum(apart[name]) / 3) ** 2 for x in apart[name]) / 2) / math.sqrt(3)
        assert found.difference.high - found.difference.mean == pytest.approx(half)
    plain = result.to_dict()
    assert [each["variant"] for each in plain["differences"]] == others
    assert plain["baseline"] == baseline


def test_a_variant_has_a_mean_an_interval_and_its_worth_before_training():
    plain = reinitialised().to_dict()["variants"][0]
    assert (plain["variant"], plain["seeds"], plain["accuracies"]) == ("original", [1, 2, 3], [0.90, 0.92, 0.91])
    assert plain["mean"] == pytest.approx(0.91)
    # Deviation .01, so half of the interval is t / sqrt(3) of it.
    assert (plain["low"], plain["high"]) == pytest.approx((0.91 - 0.01 * T2 / 3**0.5, 0.91 + 0.01 * T2 / 3**0.5))
    assert plain["untrained"]["mean"] == pytest.approx(0.2)
    assert plain["untrained"]["accuracies"] == [0.1, 0.2, 0.3]


def test_one_variant_or_one_seed_is_compared_with_nothing():
    assert reinitialised(accuracies={"new": (0.5, 0.6, 0.7)}).differences == ()
    assert reinitialised("rewound").differences == ()
    one = ReinitResult(
        "a", 1, 0.1, 0.9, 0.1, "new", tuple(VariantResult(name, (1,), (0.5,), (0.1,)) for name in ("new", "original"))
    )
    (found,) = one.differences
    assert (found.difference.mean, found.difference.p_value, found.p_adjusted) == (0, None, None)
    assert "one seed, no interval" in as_table(reinit_document(one), 120)


def test_the_table_of_variants_says_what_is_compared_and_corrected():
    text = " ".join(as_table(reinit_document(reinitialised()), 160).split())
    assert "minus new: paired by seed" in text
    assert "variant untrained accuracy minus new p (Holm)" in text
    assert "comparisons: 3" in text
    assert "intervals here are over as few as 3 retrainings" in text
    rows = as_csv(reinit_document(reinitialised())).splitlines()
    assert rows[0].startswith("variant,untrained,accuracy,accuracy_low,accuracy_high,less_new,less_new_low")
    assert [row.partition(",")[0] for row in rows[1:]] == [*ACCURACIES, "as trained"]


def frozen(lost):
    own = (0.90, 0.92, 0.91)
    points = tuple(
        FreezePoint.of(
            epoch,
            own,
            tuple(a - b for a, b in zip(own, differences, strict=True)),
            (10, 20, 30),
            (100, 100, 100),
            (0.5, 0.25, 0.75) if epoch == 1 else None,
        )
        for epoch, differences in lost.items()
    )
    return FreezeResult(("a", "b", "c"), own, 1.0, points)


def test_what_freezing_costs_is_paired_by_run_and_corrected_over_epochs():
    lost = {1: (0.01, 0.03, 0.02), 5: (0.004, 0.001, 0.0)}
    result = frozen(lost)
    for point, differences in zip(result.points, lost.values(), strict=True):
        assert point.lost.mean == pytest.approx(math.fsum(differences) / 3)
        assert point.lost.p_value == pytest.approx(p_value(differences))
        assert point.dense_gradient_share == pytest.approx(0.2)
    assert result.points[0].training_flops_ratio == pytest.approx(0.5)
    assert result.points[1].training_flops_ratio is None
    first, second = (p_value(differences) for differences in lost.values())
    assert first < second
    assert result.p_adjusted == pytest.approx((2 * first, max(2 * first, second)))
    plain = result.to_dict()
    assert [point["p_adjusted"] for point in plain["points"]] == list(result.p_adjusted)
    assert plain["points"][0]["accuracy"] == pytest.approx(0.89)
    text = " ".join(as_table(freeze_document(result), 160).split())
    assert "20 % of the steps used the gradient of inactive weights instead of 100 %" in text
    assert "accuracy is lower by 0.020" in text
    assert "frozen at accuracy lost p (Holm) dense steps flops" in text
    assert "intervals here are over as few as 3 runs, which makes them a rough guide" in text


def test_accuracies_of_few_seeds_are_called_a_rough_guide():
    keys = ("active", "density", "epochs", "steps", "dense_gradient_steps", "frozen_epoch", "seconds")
    flops = ("forward_flops", "forward_flops_dense", "training_flops", "training_flops_dense")
    seeds = [
        {"run": f"runs/s{seed}", "test_accuracy": 0.9 + seed / 100, **dict.fromkeys((*keys, *flops), 1)}
        for seed in range(5)
    ]
    assert "over as few as 4 seeds" in " ".join(as_table(training_document(seeds[:4])).split())
    for enough in (seeds, seeds[:1]):
        assert training_document(enough).notes == ()


def part(settings, seed, accuracy, dense=2, flops=(30, 40), density=0.1):
    numbers = {"dense_gradient_steps": dense, "steps": 8, "density": density, "seconds": 2.0 + seed}
    taken, of = flops
    return SweepPart(
        settings, seed, {"test_accuracy": accuracy, **numbers, "training_flops": taken, "training_flops_dense": of}
    )


def test_seeds_of_a_setting_are_put_together():
    rigl, dnw = {"algorithm.name": "rigl", "optimizer.lr": 0.1}, {"algorithm.name": "dnw", "optimizer.lr": 0.1}
    parts = (
        part(rigl, 0, 0.5, dense=2, flops=(10, 40), density=0.1),
        part(dnw, 0, 0.9, flops=(None, None)),
        part(rigl, 1, 0.6, dense=4, flops=(20, 40), density=0.2),
        part(dnw, 1, 0.8),
        part(rigl, 2, 0.7, dense=0, flops=(30, 40), density=0.3),
    )
    result = SweepResult("digits", parts)
    first, second = result.groups
    assert (first.settings, [each.seed for each in first.parts]) == (rigl, [0, 1, 2])
    assert (first.accuracy.mean, first.accuracy.n) == (pytest.approx(0.6), 3)
    assert first.accuracy.high - 0.6 == pytest.approx(T2 * 0.1 / math.sqrt(3))
    assert first.dense_gradient_share == pytest.approx((2 + 4 + 0) / 24)
    assert first.training_flops_ratio == pytest.approx(0.5)
    assert second.training_flops_ratio is None
    plain = result.to_dict()
    assert plain["groups"][0]["density"] == pytest.approx(0.2)
    assert plain["groups"][0]["seconds"] == pytest.approx(3.0)
    assert [each["seeds"] for each in plain["groups"]] == [[0, 1, 2], [0, 1]]
    assert [run["seed"] for run in plain["runs"]] == [0, 0, 1, 1, 2]
    rows = as_csv(sweep_document(result)).splitlines()
    assert rows[0].startswith("name,lr,accuracy,accuracy_low,accuracy_high,share,dense_steps,flops,seeds,seconds")
    assert rows[1].startswith("rigl,0.1,0.6,")
    text = " ".join(as_table(sweep_document(result), 160).split())
    assert "Most accurate: dnw, 0.1, 0.85" in text
    assert "chosen by its test accuracy" in text
    assert "name lr accuracy share dense steps flops seeds seconds" in text
    assert "intervals here are over as few as 2 seeds" in text


def test_columns_of_a_sweep_never_have_the_name_of_a_measurement():
    one = SweepResult("x", (part({"data.options.share": 3, "model.name": "a", "algorithm.name": "b"}, 0, 0.5),))
    header = as_csv(sweep_document(one)).splitlines()[0]
    assert header.startswith("data.options.share,model.name,algorithm.name,accuracy,accuracy_low,accuracy_high,share,")
    text = " ".join(as_table(sweep_document(one), 160).split())
    assert "of one seed, without interval" in text
    assert "chosen by" not in text
