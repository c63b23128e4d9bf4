"""Learning rates by hand."""

import math

import pytest

from masktools_train.schedules import SCHEDULES, learning_rate_factor


def test_constant():
    assert [learning_rate_factor("constant", step, 10) for step in (0, 5, 9)] == [1, 1, 1]


def test_cosine_starts_at_one_and_would_reach_zero_at_the_end():
    factors = [learning_rate_factor("cosine", step, 8) for step in range(9)]
    assert factors[0] == 1
    assert factors[4] == pytest.approx(0.5)
    assert factors[2] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert factors[6] == pytest.approx((1 - math.sqrt(0.5)) / 2)
    assert factors[8] == pytest.approx(0, abs=1e-15)
    assert factors == sorted(factors, reverse=True)


def test_steps_drop_at_the_milestones():
    factors = [learning_rate_factor("step", step, 8, milestones=[2, 5], gamma=0.1) for step in range(8)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_steps_drop_whatever_the_order_of_the_milestones():
    assert learning_rate_factor("step", 4, 8, milestones=[5, 2], gamma=0.5) == 0.5


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_rises_linearly_to_one(name):
    warm = [learning_rate_factor(name, step, 20, warmup_steps=4, milestones=[10]) for step in range(5)]
    assert warm == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_spans_what_the_warm_up_leaves():
    # 4 of 12 steps warm up: step 8 is in the middle of the other 8.
    assert learning_rate_factor("cosine", 8, 12, warmup_steps=4) == pytest.approx(0.5)
    assert learning_rate_factor("cosine", 11, 12, warmup_steps=4) == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)


def test_milestones_count_from_the_start_not_from_the_end_of_the_warm_up():
    factors = [learning_rate_factor("step", step, 9, 3, [5], 0.1) for step in range(3, 7)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1])


def test_a_warm_up_as_long_as_training_only_rises():
    assert [learning_rate_factor("cosine", step, 3, 3) for step in range(3)] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("name", SCHEDULES)
def test_rewinding_is_asking_again(name):
    def factors(steps):
        return [learning_rate_factor(name, step, 30, 3, [10, 20]) for step in steps]

    assert factors(range(30))[7:] == factors(range(7, 30))
