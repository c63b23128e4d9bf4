import csv
import doctest
import io
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import masktools as mt
from masktools.errors import MasktoolsError
from masktools.render import numbers, tabulate
from masktools.render.numbers import with_interval
from masktools.render.tabulate import Tabulated

RECORDS = [
    {"algorithm": "dnw", "active": 50200, "accuracy": mt.Interval(0.88213, 0.87985, 0.88441, 5)},
    {"algorithm": "rigl", "kappa": 1 / 3, "active": None, "accuracy": 0.5, "kept": True},
    {"algorithm": "a|b", "active": 7, "accuracy": mt.PairMean(-0.00004, -0.0144, 0.0143, 3, 3)},
]


@pytest.fixture
def table() -> Tabulated:
    return mt.tabulate("Digits", RECORDS, "dnw is more accurate (0.882) than guessing (0.103).")


def test_the_table_for_people(table: Tabulated):
    assert table.text() == (
        "Digits\n"
        "algorithm  active                 accuracy  kappa  kept\n"
        "-------------------------------------------------------\n"
        "dnw        50,200  0.8821 [0.8799, 0.8844]\n"
        "rigl            -  0.500                    0.333  yes\n"
        "a|b             7  0.000 [-0.014, 0.014]\n"
        "dnw is more accurate (0.882) than guessing (0.103).\n"
    )
    assert str(table) == table.text()


def test_markdown(table: Tabulated):
    assert table.markdown() == (
        "| algorithm | active | accuracy | kappa | kept |\n"
        "|---|---:|---:|---:|---|\n"
        "| dnw | 50,200 | 0.8821 [0.8799, 0.8844] |  |  |\n"
        "| rigl | - | 0.500 | 0.333 | yes |\n"
        "| a\\|b | 7 | 0.000 [-0.014, 0.014] |  |  |\n"
    )


def test_csv_has_numbers_in_full_and_a_column_for_each_end(table: Tabulated):
    assert list(csv.reader(io.StringIO(table.csv()))) == [
        ["algorithm", "active", "accuracy", "accuracy_low", "accuracy_high", "kappa", "kept"],
        ["dnw", "50200", "0.88213", "0.87985", "0.88441", "", ""],
        ["rigl", "", "0.5", "", "", repr(1 / 3), "true"],
        ["a|b", "7", "-4e-05", "-0.0144", "0.0143", "", ""],
    ]


def test_csv_into_a_file(table: Tabulated, tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    table.write_csv(str(path))
    assert path.read_text("utf-8") == table.csv()
    assert [found.name for found in tmp_path.iterdir()] == ["table.csv"]
    with pytest.raises(MasktoolsError, match=rf"{tmp_path / 'no' / 'table.csv'}: cannot be written: No such file"):
        table.write_csv(tmp_path / "no" / "table.csv")


def test_whatever_has_a_mean_and_two_ends_is_an_interval():
    found = mt.paired_difference([0.95, 0.96, 0.97], [0.93, 0.93, 0.93])
    other = SimpleNamespace(mean=np.float32(0.5), low=None, high=None)
    table = mt.tabulate("T", [{"less": found}, {"less": other}])
    # s = .01, half the width 4.3027 s / √3.
    assert table.markdown() == "| less |\n|---:|\n| 0.030 [0.005, 0.055] |\n| 0.500 |\n"
    rows = list(csv.reader(io.StringIO(table.csv())))
    assert rows[1:] == [[repr(found.mean), repr(found.low), repr(found.high)], ["0.5", "", ""]]


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        ((0.882, 0.880, 0.884), "0.8820 [0.8800, 0.8840]"),
        ((0.5, 0.4004, 0.5996), "0.50 [0.40, 0.60]"),  # half the width is .0996, rounded .10
        ((50200.4, 49000.0, 51400.8), "50,200 [49,000, 51,401]"),
        ((14.2, 8.7, 19.7), "14.2 [8.7, 19.7]"),
        ((14.0, 3.0, 25.0), "14 [3, 25]"),
        ((-0.00004, -0.01, 0.01), "0.000 [-0.010, 0.010]"),
        ((0.9, 0.9, 0.9), "0.900 [0.900, 0.900]"),
        ((0.9, 0.9 - 1e-16, 0.9 + 1e-16), "0.900 [0.900, 0.900]"),
        ((0.9, -math.inf, math.inf), "0.900 [-inf, inf]"),
        ((0.882, None, None), "0.882"),
        ((0.882, 0.8, None), "0.882"),
        ((None, None, None), "-"),
        ((math.nan, math.nan, math.nan), "- [-, -]"),
    ],
)
def test_digits_follow_the_width_of_the_interval(estimate, text):
    assert with_interval(*estimate) == text


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e3))
def test_what_is_written_is_the_interval_to_a_twentieth_of_its_half(mean, half):
    low, high = mean - half, mean + half
    written = [float(part) for part in with_interval(mean, low, high).translate({44: None, 91: None, 93: None}).split()]
    for shown, value in zip(written, (mean, low, high), strict=True):
        assert abs(shown - value) <= max(0.0526 * half, 0.5 if half > 9 else 0) + 1e-9 * abs(value)


def test_columns_are_written_as_asked_else_as_what_they_hold():
    records = [
        {
            "seed": 12345,
            "ratio": 2,
            "epoch": 14,
            "path": Path("runs/a"),
            "one": np.float64(0.1),
            "many": np.int64(2000),
        },
        {"seed": 7, "ratio": 1.5, "epoch": "never", "path": None, "one": np.float32(0.5), "many": np.bool_(False)},
    ]
    table = mt.tabulate("T", records, formats={"seed": "text", "ratio": "rate", "absent": "count"})
    assert table.markdown().split("\n")[1:4] == [
        "|---|---:|---:|---|---:|---:|",
        "| 12345 | 2 | 14 | runs/a | 0.100 | 2,000 |",
        "| 7 | 1.50 | never | - | 0.500 | no |",
    ]
    assert table.csv().split("\n")[1:3] == ["12345,2,14,runs/a,0.1,2000", "7,1.5,never,,0.5,false"]


def test_the_width_is_that_of_the_terminal_unless_given(monkeypatch):
    table = mt.tabulate("T", [{"name": "word " * 30, "n": 1}])
    widest = max(map(len, table.text().split("\n")))
    assert 60 < widest <= 80
    assert max(map(len, table.text(50).split("\n"))) <= 50
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setenv("COLUMNS", "120")
    assert 100 < max(map(len, table.text().split("\n"))) <= 120


def test_names_and_texts_cannot_break_lines_or_command_a_terminal():
    table = mt.tabulate("T\x1b[2J", [{"na\nme": "a\x1b[2J\nb"}], "r\x1b")
    for text in (table.text(), table.markdown()):
        assert "\x1b" not in text
        assert "a\\x1b[2J\\nb" in text
    assert len(table.markdown().split("\n")) == 4


@pytest.mark.parametrize(
    ("records", "formats", "message"),
    [
        ([], {}, "table 'T': no record has a value"),
        ([{}], {}, "table 'T': no record has a value"),
        ([{"a": [1]}], {}, "column 'a': a value of type list has no place in a table"),
        ([{"a": np.zeros(2)}], {}, "column 'a': a value of type ndarray"),
        ([{"a": 1}], {"a": "percent"}, "column 'a': format 'percent' is none of text, count, rate"),
        ([{"a": mt.Interval(1, 0, 2, 3), "a_low": 0}], {}, "table 'T': two columns would have the name 'a_low'"),
    ],
)
def test_what_has_no_place_in_a_table(records, formats, message):
    with pytest.raises(MasktoolsError, match=message):
        mt.tabulate("T", records, formats=formats)


def test_examples_of_the_docstrings():
    for module in (tabulate, numbers):
        failed, tried = doctest.testmod(module)
        assert failed == 0
        assert tried >= 3
