"""Every loss of the catalogue obeys every law."""

import pytest

from jloss.testing import LAWS, check
from tests.cases import LOSSES, case

ELSEWHERE = {"hard_points_have_no_nan", "gradient_is_the_derivative"}  # test_edges.py and test_oracles.py ask more: the oracle's numbers
SLOW = {"shard_map_equals_one_device", "traces_under_explicit_sharding", "exports_with_symbolic_batch"}


@pytest.mark.parametrize("name", LOSSES)
def test_laws(name):
    report = check(case(name), laws=[law for law in LAWS if law not in ELSEWHERE | SLOW])
    assert report, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_laws_of_devices_and_platforms(name):
    report = check(case(name), laws=[law for law in LAWS if law in SLOW])
    assert report, str(report)
