import csv
import dataclasses
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from synthetic import pack, random_masks

from masktools.render.as_csv import as_csv
from masktools.render.as_json import SCHEMA_VERSION, as_json, plain
from masktools.render.as_table import as_table
from masktools.render.comparison import comparison_document, comparisons_document, verdict
from masktools.render.document import Column, Document, Table
from masktools.render.emergence import sentence
from masktools.render.formats import FORMATS
from masktools.render.numbers import count, printable, rate, show
from masktools.render.run_names import short_names
from masktools.structure.comparison import Comparison
from masktools.structure.comparisons import Comparisons
from masktools.structure.configuration import ConfigDifference, config_differences
from masktools.structure.dynamics.emergence import emergence_of
from masktools.structure.overlap import overlap_of

COLUMNS = (Column("name", "layer"), Column("size", "weights", "count"), Column("kappa", kind="rate"))


def _document(*rows, **rest):
    table = Table("Title", (*COLUMNS, Column("raw", kind="rate", shown=False)), rows, "kappa = 0.5 (chance 0).")
    return Document("compare", rest or {"value": 1}, (table,), ("a caveat.",))


ROW = ("fc1.weight", 2359296, 1 / 3, 0.1)


def test_the_registry_is_complete():
    document = _document(ROW)
    assert list(FORMATS) == ["table", "json", "csv"]
    for write in FORMATS.values():
        text = write(document, 80, False)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.0, "0"),
        (1.0, "1.00"),
        (1 / 3, "0.333"),
        (-0.05263, "-0.0526"),
        (41.26, "41.3"),
        (123.4, "123"),
        (999.4, "999"),
        (999.6, "1,000"),
        (-12345.6, "-12,346"),
        (1.23e-5, "1.2e-05"),
        (math.inf, "inf"),
        (math.nan, "-"),
        (None, "-"),
    ],
)
def test_rates_have_three_significant_digits(value, text):
    assert rate(value) == text


def test_cells():
    assert count(2359296) == "2,359,296"
    assert show(None, "count") == show(math.nan, "rate") == "-"
    assert (show(True, "rate"), show(False, "text")) == ("yes", "no")
    assert show(5, "rate") == "5"
    assert show(0.25, "text") == "0.25"
    assert show("a\x1b[2Jb\n", "text") == "a\\x1b[2Jb\\n"


def test_printable_keeps_letters_of_every_script_and_escapes_the_rest():
    assert printable("κ 層") == "κ 層"
    assert printable("\r\x00\u202e\udcff") == "\\r\\x00\\u202e\\udcff"


def test_rows_must_fit_the_columns():
    with pytest.raises(ValueError, match="does not fit 3 columns"):
        Table("t", COLUMNS, (("a", 1),), "")


def test_table_text():
    assert as_table(_document(ROW)).split("\n") == [
        "Title",
        "layer         weights  kappa",
        "----------------------------",
        "fc1.weight  2,359,296  0.333",
        "kappa = 0.5 (chance 0).",
        "",
        "Note: a caveat.",
        "",
    ]


def test_table_fits_its_width_and_loses_nothing():
    name = "a_module.with.a.very.long.path." * 5 + "weight"
    columns = (Column("name", "layer"), *(Column(f"c{i}", kind="rate") for i in range(7)))
    table = Table("T" * 200, columns, ((name, *[-0.00123] * 7),), "word " * 60)
    text = as_table(Document("x", {}, (table,)), 80)
    assert max(map(len, text.split("\n"))) <= 80
    assert text.count("-0.00123") == 7
    body = text.split("---\n")[1].split("word")[0]
    assert "".join(line[:10].split(" ")[0] for line in body.split("\n")) == name


def test_numbers_are_never_cut_and_go_on_in_further_blocks():
    columns = (Column("name"), *(Column(f"epoch-{i}", kind="rate") for i in range(30)))
    text = as_table(Document("x", {}, (Table("T", columns, (("loss", *[0.123] * 30),), "r"),)), 80)
    assert text.count("0.123") == 30
    assert all(f"epoch-{i} " in text.replace("\n", " ") for i in range(30))
    assert max(map(len, text.split("\n"))) <= 80
    assert text.count("loss") == text.count("name") == 5
    assert text.count("\nr\n") == 1


def test_table_has_styles_only_when_asked_for(monkeypatch):
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS"):
        monkeypatch.setenv(variable, "1")
    assert "\x1b" not in as_table(_document(ROW), 80, styled=False)
    styled = as_table(_document(ROW), 80, styled=True)
    assert "\x1b[1m" in styled
    assert re.sub(r"\x1b\[[0-9;]*m", "", styled) == as_table(_document(ROW), 80)


def _curves(*names):
    columns = (Column("name"), Column("curve", "0 to 1", "curve"), Column("half", "±", "rate"))
    return Document("x", {}, (Table("κ", columns, tuple((name, "▁▅█·", "1.5 ±2") for name in names), "It rises."),))


def test_curves_have_one_colour_and_are_not_for_programs():
    document = _curves("dnw")
    assert "\x1b[36m▁▅█·" in as_table(document, 80, styled=True)
    assert as_csv(document) == "name,half\ndnw,1.5 ±2\n"
    assert as_csv(Document("x", {}, (), records=document.tables[0])) == "name,half\ndnw,1.5 ±2\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_encoding_without_blocks_gets_others_in_their_place_and_columns_stay_straight(encoding):
    text = as_table(_curves("κ", "dnw"), 80, encoding=encoding)
    text.encode(encoding)
    assert "_=#" in text
    first, second = (next(line for line in text.split("\n") if line.startswith(name)) for name in ("\\u03ba ", "dnw"))
    assert first.index("_=#") == second.index("_=#")
    assert first.index("1.5") == second.index("1.5")
    assert "▁▅█·" in as_table(_curves("κ"), 80)


def test_names_can_neither_style_nor_steer_a_terminal():
    text = as_table(_document(("[bold]x[/bold]:smile:\x1b[2J", 1, 1.0, 0.0)))
    assert "[bold]x[/bold]:smile:\\x1b[2J" in text
    assert "\x1b" not in text


def test_a_table_without_rows_still_says_so():
    text = as_table(Document("x", {}, (Table("Nothing", COLUMNS, (), "There is nothing."),)))
    assert text == "Nothing\nThere is nothing.\n"


def test_json_is_valid_for_everything_a_result_may_hold():
    data = {
        "nan": math.nan,
        "inf": np.float32(-math.inf),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "rate": np.float64(0.25),
        "array": np.array([[1.0, math.nan]]),
        "tuple": (1, None),
        "nested": {"deep": [{"x": math.inf}]},
        "path": Path("runs/a"),
        "name": "κ",
    }
    result = json.loads(as_json(_document(ROW, **data)), parse_constant=pytest.fail)
    assert list(result)[:2] == ["schema_version", "command"]
    assert result == {
        "schema_version": SCHEMA_VERSION,
        "command": "compare",
        "nan": None,
        "inf": None,
        "count": 3,
        "flag": True,
        "rate": 0.25,
        "array": [[1.0, None]],
        "tuple": [1, None],
        "nested": {"deep": [{"x": None}]},
        "path": "runs/a",
        "name": "κ",
        "readings": ["kappa = 0.5 (chance 0)."],
        "notes": ["a caveat."],
    }


def test_json_refuses_what_it_cannot_say():
    with pytest.raises(TypeError, match="set"):
        plain({"x": {1, 2}})


def test_csv_is_the_main_table_in_full():
    document = _document(ROW, ('a,"b"\n', None, math.nan, True))
    text = as_csv(Document("x", {}, (*document.tables, Table("second", COLUMNS, (("z", 1, 1.0),), ""))))
    assert text.split("\n")[0] == "name,size,kappa,raw"
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1] == ["fc1.weight", "2359296", repr(1 / 3), "0.1"]
    assert rows[2] == ['a,"b"\n', "", "", "true"]
    assert len(rows) == 3


def _total(a, b):
    return overlap_of(pack({"x": np.array(a, dtype=np.bool_)}), pack({"x": np.array(b, dtype=np.bool_)})).total


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (
            [1] * 50 + [0] * 50,
            [1] * 50 + [0] * 50,
            "kappa = 1.00 (chance 0): the masks are equal; all active weights in common (100 %, by chance 50 %)",
        ),
        ([1] * 50 + [0] * 50, [0, 1] * 50, "kappa = 0 (chance 0): not told apart from chance"),
        ([1] * 50 + [0] * 50, [1] * 45 + [0] * 50 + [1] * 5, "far above chance"),
        ([1] * 50 + [0] * 50, [0] * 50 + [1] * 50, "below chance"),
        (
            [1] * 5000 + [0] * 5000,
            ([1] * 26 + [0] * 24) * 100 + ([1] * 24 + [0] * 26) * 100,
            "above chance, but by little",
        ),
        ([1] * 10, [1] * 10, "kappa is undefined"),
        ([1] * 10, [1, 0] * 5, "chance leaves no freedom"),
    ],
)
def test_verdicts(a, b, words):
    assert words in verdict(_total(a, b))


def test_comparison_shows_configuration_only_where_it_differs():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))
    assert len(comparison_document(Comparison(("a", "b"), (1, 2), overlap, ())).tables) == 1


def test_matrices_are_left_out_when_too_wide():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))

    def document(n):
        runs = tuple(f"runs/with-a-long-name-{i}" for i in range(n))
        pairs = tuple(Comparison((a, b), (0, 0), overlap, ()) for i, a in enumerate(runs) for b in runs[i + 1 :])
        return comparisons_document(Comparisons(runs, (0,) * n, pairs))

    assert len(document(8).tables) == 2
    assert len(document(9).tables) == 1
    assert max(map(len, as_table(document(8)).split("\n"))) <= 80
    assert all("Mean kappa" in document(n).tables[0].reading for n in (8, 9))


def test_a_mean_over_different_experiments_is_called_one():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))
    seed, name = ConfigDifference("seed", 0, 1), ConfigDifference("algorithm.name", "dnw", "rigl")

    def reading(*differences):
        pairs = tuple(Comparison((a, b), (0, 0), overlap, differences) for a, b in ("ab", "ac", "bc"))
        return comparisons_document(Comparisons(("a", "b", "c"), (0, 0, 0), pairs)).tables[0].reading

    assert "not seeds of one experiment" not in reading(seed)
    assert "not seeds of one experiment (algorithm.name differs)" in reading(seed, name)


def test_paths_of_runs_are_shortened_and_not_split_within_a_word():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))
    runs = ("out/runs/dnw-s0", "out/runs/rigl-freeze-early-s0", "out/runs/rigl-freeze-early-s1")
    pairs = tuple(Comparison((a, b), (0, 0), overlap, ()) for i, a in enumerate(runs) for b in runs[i + 1 :])
    document = comparisons_document(Comparisons(runs, (0, 0, 0), pairs))
    text = as_table(document)
    assert "each pair of runs; all begin with out/runs/\n" in text
    assert re.search(r"^rigl-freeze-early-s0 +rigl-freeze-early-s1 ", text, re.MULTILINE)
    assert re.search(r"^2  rigl-freeze-early-s0 ", text, re.MULTILINE)
    assert as_csv(document).split("\n")[1].startswith("out/runs/dnw-s0,out/runs/rigl-freeze-early-s0,")


@pytest.mark.parametrize(
    ("paths", "beginning", "names"),
    [
        (["lr-0.01", "lr-0.02"], "lr-", ("0.01", "0.02")),
        (["a/b", "a/b-c"], "a/", ("b", "b-c")),
        (["a/", "a/b"], "", ("a/", "a/b")),
        (["a/b", "a/b"], "a/", ("b", "b")),
        (["/x/s0", "y/s0"], "", ("/x/s0", "y/s0")),
        (["runs/a"], "runs/", ("a",)),
        ([], "", ()),
    ],
)
def test_what_all_paths_begin_with_is_cut_at_a_separator(paths, beginning, names):
    assert short_names(paths) == (beginning, names)


def test_names_are_folded_at_their_joints_unless_they_are_to_stay_whole():
    for whole in (False, True):
        columns = (Column("name", whole=whole), *(Column(f"c-{i}", kind="rate") for i in range(8)))
        table = Table("T", columns, (("rigl-freeze-early-seed0", *[0.5] * 8), ("b", *[0.5] * 8)), "r")
        text = as_table(Document("x", {}, (table,)), 70 if whole else 78)
        assert ("rigl-freeze-early-seed0 " in text) == whole
        assert re.search(r"^rigl-freeze-early- +0.5.*\nseed0$", text, re.MULTILINE) is not None or whole
        assert max(map(len, text.split("\n"))) <= 78


def test_short_names_are_folded_last():
    columns = (Column("name"), Column("text"), *(Column(f"c-{i}", kind="rate") for i in range(6)))
    table = Table("T", columns, (("fc1.weight", "some words that can be folded", *[0.5] * 6),), "r")
    assert "fc1.weight" in as_table(Document("x", {}, (table,)), 75)


def test_ends_of_an_interval_are_one_column_for_people_and_two_for_programs():
    columns = (
        Column("name"),
        Column("auc", kind="rate"),
        Column("low", "95 %", "rate", until="high", like="auc"),
        Column("high", kind="rate"),
    )
    rows = (("a", 0.62, 0.5979, 0.64), ("b", 0.5, None, None), ("c", -0.05, -0.1, 0.0))
    document = Document("x", {}, (Table("T", columns, rows, "r"),))
    assert as_table(document).split("\n")[1:6] == [
        "name     auc            95 %",
        "----------------------------",
        "a      0.620  [0.598, 0.640]",
        "b      0.500               -",
        "c     -0.050     [-0.100, 0]",
    ]
    assert as_csv(document).split("\n")[:2] == ["name,auc,low,high", "a,0.62,0.5979,0.64"]


def test_decimals_suit_a_column_and_its_chance_level():
    columns = (
        Column("name"),
        Column("distance", kind="rate"),
        Column("null", kind="rate", like="distance"),
        Column("low", "95 %", "rate", until="high", like="distance"),
        Column("high", kind="rate"),
        Column("hidden", kind="rate", shown=False, like="distance"),
    )
    rows = (("a", 0.0, 0.8387, 0.8293, 0.8486, 1e-5), ("b", 0.0, 0.9557, 0.95, 0.96, 1e-5))
    text = as_table(Document("x", {}, (Table("T", columns, rows, "r"),)))
    assert [line.split() for line in text.split("\n")[3:5]] == [
        ["a", "0", "0.839", "[0.829,", "0.849]"],
        ["b", "0", "0.956", "[0.950,", "0.960]"],
    ]


def test_values_of_a_configuration_are_in_full():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))
    differences = config_differences({"density": 0.02, "tag": 1, "x": 1}, {"density": 0.020001, "tag": "1"})
    (*_, table) = comparison_document(Comparison(("a", "b"), (1, 2), overlap, differences)).tables
    assert table.rows == (("density", "0.02", "0.020001"), ("tag", "1", "'1'"), ("x", "1", "(absent)"))


def test_equal_masks_have_a_bound_in_the_place_of_a_p_value():
    masks = pack(random_masks(0, sizes=(100, 100)))
    assert re.search(r"z = \S+, p < 1e-300$", verdict(overlap_of(masks, masks).total))


def test_pairs_have_p_values_and_one_density():
    overlap = overlap_of(pack(random_masks(0)), pack(random_masks(1)))
    pairs = tuple(Comparison(pair, (0, 0), overlap, ()) for pair in (("a", "b"), ("a", "c"), ("b", "c")))
    document = comparisons_document(Comparisons(("a", "b", "c"), (0, 0, 0), pairs))
    shown = [column.header for column in document.tables[0].columns if column.shown]
    assert shown == ["run A", "run B", "Jaccard", "chance", "kappa", "z", "p"]
    assert f"all of density {rate(overlap.total.density_a)}" in document.tables[0].title
    assert "density_a" in as_csv(document).split("\n")[0].split(",")
    sparser = overlap_of(pack(random_masks(0)), pack(random_masks(1, density=0.5)))
    pairs = (dataclasses.replace(pairs[0], overlap=sparser), *pairs[1:])
    document = comparisons_document(Comparisons(("a", "b", "c"), (0, 0, 0), pairs))
    assert "dens. A" in [column.header for column in document.tables[0].columns if column.shown]


def test_emergence_sentences():
    a, b = pack(random_masks(0)), pack(random_masks(1))
    dense = pack({"x": np.ones(4, dtype=np.bool_)})
    assert "for good from epoch 1 on, of 2" in sentence(emergence_of([(0, a), (1, b), (2, b)], b))
    assert "only the last snapshot (epoch 2)" in sentence(emergence_of([(0, a), (1, a), (2, b)], b))
    assert sentence(emergence_of([(0, dense), (1, dense)], dense)).startswith("Emergence is not defined")
