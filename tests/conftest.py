"""The strict switches: no silent dtype or rank promotion, several devices, warnings are errors (pyproject.toml).

Thousands of small programs are compiled once and run once here, so code is generated without optimisation, and what is no
longer needed is dropped: a garbage collector that walks all of jax's caches again and again takes longer than the tests.
"""

import gc
import importlib.metadata
import itertools
import os

os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        # the older emitters compile in a third of the time; jaxlib 0.12 no longer has them, and the TPU's compiler does not know the flag
        "--xla_cpu_use_fusion_emitters=false"
        if importlib.metadata.version("jaxlib").startswith(("0.10.", "0.11.")) and "TPU_ACCELERATOR_TYPE" not in os.environ
        else "",
    )
)

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

gc.set_threshold(100_000, 20, 20)
done = itertools.count(1)


@pytest.fixture(autouse=True)
def _bounded_caches():
    """Forgets compiled programs every so often."""
    yield
    if next(done) % 20 == 0:
        jax.clear_caches()
        gc.collect()
