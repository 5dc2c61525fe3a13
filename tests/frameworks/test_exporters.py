"""IREE and ONNX Runtime give what XLA gives; the page says where not."""

import re
from pathlib import Path

import pytest

from tests.cases import FIRST
from tests.frameworks.exporters import verdict

PAGE = Path(__file__).parents[2] / "docs" / "exporters.md"
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def rows():
    table = PAGE.read_text().partition("<!-- exporters -->")[2].partition("<!-- /exporters -->")[0]
    for line in table.strip().splitlines()[2:]:
        name, *said = (cell.strip(" `") for cell in line.strip("|").split("|"))
        yield name, said[:3]


KNOWN = dict(rows())
NAMES = sorted(FIRST | KNOWN.keys())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("at", "exporter", "what"), [(0, "IREE", "value"), (1, "IREE", "gradient"), (2, "ONNX", "value")])
def test_as_the_page_says(name, at, exporter, what):
    pytest.importorskip("iree.compiler" if exporter == "IREE" else "jax2onnx")
    wanted = KNOWN.get(name, ["right"] * 3)[at]
    if wanted == "crash":
        pytest.skip("it would end this process")
    assert verdict(exporter, what, name) == wanted


def test_every_row_is_about_something():
    assert all(re.fullmatch("right|refused|wrong|crash", word) for said in KNOWN.values() for word in said)
    assert all(set(said) != {"right"} for said in KNOWN.values())
