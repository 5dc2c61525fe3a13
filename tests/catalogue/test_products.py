"""Products within a loss are exact to float32 on accelerators, which by default, or as a configuration says, multiply in bfloat16."""

import pytest
from jax.lax import Precision

from tests.cases import LOSSES, mostly_slow
from tests.catalogue.test_exporters import traced

PRODUCTS = {"dot_general", "ragged_dot_general", "conv_general_dilated"}
OF_A_MODEL = {"adaptive_log_softmax"}  # it multiplies by the kernels of a model, as precisely as the model does


@pytest.mark.parametrize("name", mostly_slow(LOSSES))
def test_products_are_exact(name):
    rounded = [e for e in traced(name) if e.primitive.name in PRODUCTS and {*(e.params["precision"] or [None])} != {Precision.HIGHEST}]
    assert bool(rounded) == (name in OF_A_MODEL), rounded
