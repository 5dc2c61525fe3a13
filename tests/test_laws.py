"""Every loss of the catalogue obeys every law."""

import pytest

from jloss.testing import LAWS, check
from tests.cases import LOSSES, case

OTHERS = [law for law in LAWS if law != "hard_points_have_no_nan"]  # test_edges.py asks more of the hard points: the oracle's values


@pytest.mark.parametrize("name", LOSSES)
def test_laws(name):
    report = check(case(name), laws=OTHERS)
    assert report, str(report)
