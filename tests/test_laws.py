"""Every loss of the catalogue obeys every law."""

import pytest

from jloss.testing import LAWS
from tests.cases import LOSSES, case


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("law", LAWS)
def test_law(law, name):
    LAWS[law](case(name))
