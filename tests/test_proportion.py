import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from masktools.errors import StructureError
from masktools.statistics.proportion import Proportion

COUNTS = st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS, st.floats(0.5, 0.999))
def test_wilson_against_scipy(counts, confidence):
    hits, trials = counts
    found = Proportion(hits, trials).interval(confidence)
    expected = stats.binomtest(hits, trials).proportion_ci(confidence, method="wilson")
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found[0] <= hits / trials <= found[1] <= 1


def test_z_of_a_share_is_hand_computed():
    assert Proportion(60, 100).z == (60 - 50) / 5
    assert Proportion(0, 4).z == -2
    nothing = Proportion(0, 0)
    assert (nothing.share, nothing.z, nothing.interval()) == (None, None, (None, None))


@pytest.mark.parametrize(("hits", "trials"), [(2, 1), (-1, 3)])
def test_impossible_shares(hits, trials):
    with pytest.raises(StructureError, match="no share"):
        Proportion(hits, trials)


@pytest.mark.parametrize("confidence", [0, 1])
def test_confidence_out_of_range(confidence):
    with pytest.raises(StructureError, match="confidence"):
        Proportion(1, 2).interval(confidence)
