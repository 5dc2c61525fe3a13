"""Every loss of the catalogue obeys every law."""

import pytest

from jloss.testing import check
from tests.cases import LOSSES, case


@pytest.mark.parametrize("name", LOSSES)
def test_laws(name):
    report = check(case(name))
    assert report, str(report)
