"""Boxes and masks against torchvision, MONAI, segmentation_models_pytorch and kornia: values and gradients, from the golden file and live.

The golden file is made by ``python -m tests.families.vision.cases``. docs/disagreements/vision.md says where a peer is not followed;
what it says of jloss is evaluated here.
"""

import importlib.metadata
import importlib.util
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from tests.families.vision.cases import CASES, GOLDEN, run_peer

STORED = json.loads(GOLDEN.read_text())
PAGE = (pathlib.Path(__file__).parents[3] / "docs" / "disagreements" / "vision.md").read_text()
ROWS = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in PAGE.splitlines() if line.startswith("| `j")]


@pytest.fixture(scope="module")
def ours():
    """All our values and gradients, in one compilation."""
    inputs = {name: [jnp.asarray(x, jnp.float32) for x in case.inputs] for name, case in CASES.items()}
    run = jax.jit(lambda inputs: {name: jax.value_and_grad(CASES[name].ours)(*given) for name, given in inputs.items()})
    return run(inputs)


def check(found, value, gradient):
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(found[0], value, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(np.ravel(found[1]), np.ravel(gradient), rtol=2e-5, atol=2e-5 * scale)
    assert scale > 0


@pytest.mark.parametrize("name", CASES)
def test_against_what_the_peer_gave(ours, name):
    value, *gradient = STORED[name]
    check(ours[name], value, np.array(gradient))


@pytest.mark.parametrize("name", CASES)
def test_against_the_installed_peer(ours, name):
    package = CASES[name].peer
    pytest.importorskip("torch")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    if importlib.metadata.version(package) != STORED["versions"][package]:
        pytest.skip(f"the golden numbers are of {package} {STORED['versions'][package]}")
    check(ours[name], *run_peer(name))


def test_the_golden_file_is_whole():
    assert set(STORED) == {"versions", *CASES}
    assert set(STORED["versions"]) == {"torch", *(case.peer for case in CASES.values())}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.findall(r"jloss\.(\w+)", row[0])[-1])
def test_page_of_disagreements(row):
    """The example in the first column gives the number in the second."""
    example, number = row[0].strip("`"), row[1]
    value = eval(example, {"jloss": jloss, "jnp": jnp, "jax": jax, "np": np})
    np.testing.assert_allclose(np.asarray(value, float), np.array([float(n) for n in number.strip("`[]").split(",")]).squeeze(), atol=2e-4)


def test_page_of_disagreements_has_rows():
    assert len(ROWS) >= 15
    assert all(len(row) == 5 and all(row) for row in ROWS)
