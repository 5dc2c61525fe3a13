"""The strict switches: no silent dtype or rank promotion, several devices, warnings are errors (pyproject.toml).

Thousands of small programs are compiled once and run once here, so code is generated without optimisation, and what is no
longer needed is dropped: a garbage collector that walks all of jax's caches again and again takes longer than the tests.
"""

import collections
import gc
import importlib.metadata
import itertools
import os
import time

os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_parallel_codegen_split_count=1",  # of a small program a thread each costs more than it saves
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


def pytest_collection_modifyitems(items):
    """Marks the sweeps: tests of every loss, but for those of the first loss of each family."""
    from tests.cases import FIRST, LOSSES

    def subject(item):
        drawn = item.callspec.params.values() if hasattr(item, "callspec") else ()
        return next((p for p in drawn if isinstance(p, str) and p in LOSSES), None)

    swept = collections.Counter(item.function for item in items if subject(item))
    for item in items:
        if swept.get(getattr(item, "function", None), 0) > len(FIRST) and subject(item) not in FIRST:
            item.add_marker(pytest.mark.sweep)


def pytest_collection_finish():
    gc.freeze()  # what is there before the tests stays


@pytest.fixture(autouse=True)
def _bounded_caches(record_property):
    """Forgets compiled programs every so often. The report of a run has the processor's seconds of each test."""
    start = time.process_time()
    yield
    record_property("cpu", round(time.process_time() - start, 3))
    if next(done) % 20 == 0:
        jax.clear_caches()
        gc.collect()
