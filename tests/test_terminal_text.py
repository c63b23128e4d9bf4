"""Curves, digits, folding and thinning: what tables for people are made of."""

import doctest
import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masktools.render import chance_words, digits, few_runs, folding, numbers, sparkline, thinning
from masktools.render.chance_words import agreement, agreement_of_mean, in_common
from masktools.render.digits import column_texts, decimals_of
from masktools.render.few_runs import few_runs_notes
from masktools.render.folding import folded, least_width, widths_within
from masktools.render.null_words import ends, ends_title, level_texts, span, verdict_of
from masktools.render.numbers import p_cell, p_words
from masktools.render.sparkline import BLOCKS, plain_blocks
from masktools.render.sparkline import sparkline as draw
from masktools.render.thinning import thinned
from masktools.statistics.intervals import mean_interval
from masktools.statistics.monte_carlo import null_level

SHARES = st.floats(0, 1)
CURVES = st.lists(st.none() | st.just(math.nan) | st.floats(-2, 2), max_size=60)


@given(CURVES, st.integers(1, 40))
def test_a_curve_has_a_character_a_value_up_to_its_width(values, width):
    line = draw(values, width=width)
    assert len(line) == min(len(values), width)
    assert set(line) <= set(BLOCKS + "·")


@given(st.lists(SHARES, min_size=1, max_size=60), st.integers(1, 24))
def test_a_curve_that_never_falls_is_drawn_so(values, width):
    heights = [BLOCKS.index(c) for c in draw(sorted(values), width=width)]
    assert heights == sorted(heights)


@given(SHARES, st.integers(1, 80))
def test_a_constant_is_one_height_that_is_its_own(value, length):
    line = draw([value] * length)
    assert set(line) == {draw([value])}
    place = BLOCKS.index(line[0])
    assert place / 8 <= value <= (place + 1) / 8


@given(CURVES)
def test_the_height_of_a_value_does_not_depend_on_the_others(values):
    assert draw(values, width=60) == "".join(draw([value]) for value in values)


def test_ends_and_gaps_of_a_curve():
    assert draw([]) == ""
    assert draw([0, 1, -5, 5, 0.124, 0.126, 0.999]) == "▁█▁█▁▂█"
    assert draw([None, math.nan, 0.5], width=3) == "··▅"
    assert draw([None, None, 0.5, None], width=2) == "·▅"  # the mean of what is defined
    assert draw([0, 1, 1, 1], width=2) == "▅█"
    assert draw([10, 20], low=10, high=20) == "▁█"
    assert draw([math.inf, -math.inf]) == "█▁"
    assert plain_blocks(BLOCKS + "· κ") == "_.-:=+*#  κ"
    for wrong in ({"low": 1, "high": 1}, {"width": 0}):
        with pytest.raises(ValueError, match="no scale from"):
            draw([0.5], **wrong)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.105, 0.0698, -0.000351], [" 0.1050", " 0.0698", "-0.0004"]),
        ([0.194, 1.0, 0.9], ["0.194", "1.000", "0.900"]),
        ([26.2, 1.45, 3.94], ["26.20", " 1.45", " 3.94"]),
        ([0.5, 0.0, None, math.nan], ["0.500", "0    ", "-    ", "-    "]),
        ([0.5, 0.25, 0.3, 0.4, 4e-4], ["0.500   ", "0.250   ", "0.300   ", "0.400   ", "0.000400"]),
        ([0.5, 0.25, 0.3, 0.4, 3e-5], ["0.500  ", "0.250  ", "0.300  ", "0.400  ", "3.0e-05"]),
        ([0.5, -0.25, 0.3, 0.4, -3e-5], [" 0.500  ", "-0.250  ", " 0.300  ", " 0.400  ", "-3.0e-05"]),
        ([0.1, 1e-5, 1e-20], ["0.100  ", "1.0e-05", "1.0e-20"]),
        ([12345.6, 250.0], ["12,346", "   250"]),
        ([0.5, 12345.6], ["     0.500", "12,346    "]),
        ([2, 0.5], ["2    ", "0.500"]),
        ([1.0, 1.0, 0.28], ["1.000", "1.000", "0.280"]),
        ([1.01, 1.0, 0.28], ["1.01", "1.00", "0.28"]),
        ([], []),
        ([None], ["-"]),
        ([math.inf, 0.5], ["inf    ", "  0.500"]),
    ],
)
def test_numbers_of_a_column_share_their_point(values, texts):
    assert column_texts(values, "rate") == texts


def test_what_a_number_is_compared_with_has_its_digits():
    assert column_texts([0.000124, 0.0003], "rate") == ["0.00012", "0.00030"]
    assert column_texts([0.000124, 0.0003], "rate", [0.0079, 0.1481, 0.0223]) == ["0.0001", "0.0003"]
    assert column_texts([26, 0.019, 4.12], "figure") == ["26     ", " 0.0190", " 4.12  "]
    assert column_texts([1000, None, "1.5 k"], "count") == ["1,000", "    -", "1.5 k"]
    assert column_texts(["▁▂", None], "curve") == ["▁▂", "-"]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_no_number_looks_like_zero_unless_it_is(values):
    texts = column_texts(values, "rate")
    assert len({len(text) for text in texts}) == 1
    assert len({text.index(".") for text in texts if "." in text}) <= 1
    for value, text in zip(values, texts, strict=True):
        written = float(text.replace(",", ""))
        assert (written == 0) == (value == 0)
        assert written * value >= 0
        assert text.strip() == "0" or value != 0
    decimals = decimals_of(values)
    assert decimals is None or 0 <= decimals <= 5


NAMES = st.text("abc.-_/ 01", max_size=60)


@given(NAMES, st.integers(1, 30))
def test_folding_loses_no_letter_and_fits(text, width):
    lines = folded(text, width)
    assert all(len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert len(folded(text, max(1, len(text)))) == 1


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("layer1.0.conv1.weight", 12, ["layer1.0.", "conv1.weight"]),
        ("lr-0.01-s0", 7, ["lr-", "0.01-s0"]),
        ("2.13.0+cpu", 6, ["2.13.0", "+cpu"]),
        ("number of active weights", 16, ["number of active", "weights"]),
        ("runs/digits-dnw-s0", 12, ["runs/digits-", "dnw-s0"]),
        ("weight", 4, ["weig", "ht"]),
        ("of 100 % and more", 7, ["of", "100 %", "and", "more"]),
        ("kappa = 0.5 is", 9, ["kappa =", "0.5 is"]),
        ("area 0.5 [0.1, 0.9] of", 12, ["area 0.5", "[0.1, 0.9]", "of"]),
        ("", 4, [""]),
    ],
)
def test_names_are_folded_at_joints(text, width, lines):
    assert folded(text, width) == lines


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8), st.integers(1, 200))
def test_widths_fit_or_are_said_not_to(pairs, room):
    natural, least = [max(pair) for pair in pairs], [min(pair) for pair in pairs]
    widths = widths_within(natural, least, room)
    assert (widths is None) == (sum(least) > room)
    if widths is not None:
        assert sum(widths) == min(room, sum(natural))
        assert all(small <= width <= large for small, width, large in zip(least, widths, natural, strict=True))


def test_the_longest_part_of_a_text_is_its_least_width():
    assert least_width("features.denseblock3 of", 32) == 11
    assert least_width("x" * 50, 32) == 32


@given(st.integers(0, 200), st.sets(st.integers(0, 199), max_size=3), st.integers(6, 20))
def test_thinned_rows_keep_their_order_and_the_ends(count, keep, most):
    rows = thinned(range(count), keep, most)
    assert rows == sorted(set(rows))
    assert len(rows) <= max(most, 0)
    if count:
        assert (rows[0], rows[-1]) == (0, count - 1)
    assert {place for place in keep if place < count} <= set(rows)


@pytest.mark.parametrize(
    ("kappa", "p_value", "words"),
    [
        (0.41, 1e-12, "far above chance"),
        (0.41, 1e-3, "above chance"),
        (0.41, 0.0500001, "not told apart from chance"),
        (0.41, None, "not told apart from chance"),
        (0.0999, 1e-50, "above chance, but by little"),
        (-0.05, 1e-3, "below chance, but by little"),
        (-0.5, 1e-12, "below chance, the masks avoid each other"),
    ],
)
def test_words_of_an_agreement_are_tied_to_its_p_value(kappa, p_value, words):
    assert agreement(kappa, p_value) == words


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((0.41, 0.38, 0.44), "far above chance"),
        ((0.41, 0.05, 0.77), "above chance"),
        ((0.41, -0.01, 0.83), "not told apart from chance"),
        ((0.05, 0.04, 0.06), "above chance, but by little"),
        ((-0.05, -0.06, -0.04), "below chance, but by little"),
    ],
)
def test_words_of_a_mean_are_tied_to_its_interval(ends, words):
    assert agreement_of_mean(*ends) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 % of the active weights in common (by chance 2 %)"),
        (0.074, "7.4 % of the active weights in common (by chance 2 %)"),
        (0.11, "about a tenth of the active weights in common (11 %, by chance 2 %)"),
        (0.49, "about half of the active weights in common (49 %, by chance 2 %)"),
        (0.97, "nearly all active weights in common (97 %, by chance 2 %)"),
        (1, "all active weights in common (100 %, by chance 2 %)"),
        (None, "no active weights to have in common"),
    ],
)
def test_shares_in_words(share, words):
    assert in_common(share, 0.02) == words


def test_few_draws_are_told_by_their_range_and_more_by_their_middle():
    few = null_level(0.0, [0.7 + 0.01 * place for place in range(5)], "less")
    assert span(few) == "0.720 on average (from 0.700 to 0.740 in 5 draws)"
    assert (ends(few), ends_title(few.draws)) == ((few.least, few.most), "range of nulls")
    assert verdict_of(few) == "no verdict with fewer than 199 draws (--draws 199)"
    many = null_level(0.0, [0.7 + 0.01 * place for place in range(20)], "less")
    assert span(many) == "0.795 on average (0.705 to 0.885 in 95 % of 20 draws)"
    assert (ends(many), ends_title(many.draws)) == ((many.low, many.high), "95 % of nulls")


def test_a_sentence_has_the_decimals_of_its_table():
    level = null_level(0.0, [0.83872, 0.82931, 0.84861], "less")
    assert level_texts(level, [0.0, 0.0], [0.8387]) == level_texts(level) == ("0", "0.839", "0.829", "0.849")
    assert level_texts(level, [0.0192, 0.0021], [0.8]) == ("0", "0.8389", "0.8293", "0.8486")
    endless = null_level(1.0, [math.inf, math.inf])
    assert level_texts(endless) == ("1.000", "-", "inf", "inf")


def test_a_p_value_is_never_zero():
    assert [p_words(p) for p in (0.0, sys.float_info.min, 1e-299)] == ["p < 1e-300", "p < 1e-300", "p = 1.0e-299"]
    assert [p_cell(p) for p in (0.0, 0.5, None)] == ["<1e-300", 0.5, None]


def test_intervals_of_few_runs_are_called_a_rough_guide_once():
    two, six = mean_interval([0.9, 0.9]), mean_interval([0.99, 0.9, 1.0, 1.0, 0.8, 1.0])
    (note,) = few_runs_notes([two, None, six], [mean_interval([0.5])])
    assert "over as few as 2 runs" in note
    assert "Student t knows no bounds" in note
    assert six.high > 1
    assert few_runs_notes([six]) == ()  # of a number of any size
    (note,) = few_runs_notes([], [six])
    assert note.startswith("Student t knows no bounds")
    assert few_runs_notes([], [mean_interval([0.5, 0.6, 0.5, 0.6, 0.5])]) == ()


def test_examples_of_the_docstrings():
    for module in (chance_words, digits, few_runs, folding, numbers, sparkline, thinning):
        failed, tried = doctest.testmod(module)
        assert (failed, tried > 0) == (0, True)


def test_no_number_is_written_as_another_one_or_as_nothing():
    # Half a unit of the last decimal is nothing, a whole one twice as much.
    small = [0.5, 0.3, 0.2, 0.1, 0.0006, -0.0006, 0.0004, 0.0]
    assert [text.strip() for text in column_texts(small, "rate")][4:] == ["0.000600", "-0.000600", "0.000400", "0"]
    assert [text.strip() for text in column_texts([-790.0, 580.0, 0.57, 3070.0], "rate")][2] == "0.570"
    # The mean of a count over random masks.
    assert [text.strip() for text in column_texts([0.25, 3, 1200.4], "count")] == ["0.250", "3", "1,200"]
