import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import pack, random_masks

from masktools.errors import StructureError
from masktools.stacks import MaskStack
from masktools.structure.epochs import compare_epochs, epoch_matrix
from masktools.structure.overlap import overlap_of


def none_or(value):
    return None if np.isnan(value) else pytest.approx(value, abs=1e-9)


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=3),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_every_pair_is_what_a_single_comparison_gives(rows, columns, shapes, density, seed):
    rng = np.random.default_rng(seed)

    def moments(count):
        return [{f"l{i}": rng.random(shape) < density for i, shape in enumerate(shapes)} for _ in range(count)]

    a, b = moments(rows), moments(columns)
    layers, total = epoch_matrix(*(MaskStack.of(map(pack, side), len(side)) for side in (a, b)))
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            single = overlap_of(pack(x), pack(y))
            for matrix, row in zip((*layers, total), (*single.layers, single.total), strict=True):
                assert (matrix.name, matrix.size) == (row.name, row.size)
                assert (matrix.active_a[i], matrix.active_b[j]) == (row.active_a, row.active_b)
                assert matrix.intersection[i, j] == row.intersection
                assert matrix.expected[i, j] == pytest.approx(row.expected_intersection)
                assert row.kappa == none_or(matrix.kappa[i, j])
                assert row.z == none_or(matrix.z[i, j])
                assert row.jaccard == none_or(matrix.jaccard[i, j])


def test_a_run_beside_itself(write_run):
    masks = [random_masks(seed) for seed in range(4)]
    path = write_run("a", dict(zip((0, 2, 5, 9), masks, strict=True)))
    result = compare_epochs(path, path)
    assert (result.runs, result.epochs_a, result.epochs_b) == ((str(path),) * 2, (0, 2, 5, 9), (0, 2, 5, 9))
    np.testing.assert_array_equal(result.total.kappa, result.total.kappa.T)
    assert np.diag(result.total.kappa).tolist() == [1.0] * 4
    other = compare_epochs(path, write_run("b", masks))
    np.testing.assert_array_equal(result.total.intersection, other.total.intersection)
    assert other.to_dict()["epochs"] == [[0, 2, 5, 9], [0, 1, 2, 3]]
    assert other.to_dict()["total"].keys() >= {"kappa", "jaccard", "z", "intersection", "active_a"}


def test_layers_that_differ_name_the_runs(write_run):
    a = write_run("a", [{"x": np.ones((2, 3), dtype=bool)}])
    b = write_run("b", [{"y": np.ones((2, 3), dtype=bool)}])
    with pytest.raises(StructureError, match=r"a and .*b: .*cannot be compared: x, y"):
        compare_epochs(a, b)


def test_layers_that_change_within_a_run_name_it(write_run):
    path = write_run("a", [{"x": np.ones((2, 3), dtype=bool)}, {"x": np.ones((3, 3), dtype=bool)}])
    with pytest.raises(StructureError, match=r"a: layer 'x' has shape \(3, 3\) at moment 1"):
        compare_epochs(path, path)
