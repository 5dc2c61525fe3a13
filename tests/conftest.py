"""The strict switches: no silent dtype or rank promotion, several devices, warnings are errors (pyproject.toml).

Thousands of small programs are compiled once and run once here, so code is generated without optimisation, and what is no
longer needed is dropped: a garbage collector that walks all of jax's caches again and again takes longer than the tests.
"""

import collections
import gc
import importlib.metadata
import itertools
import os

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
since = itertools.count(1)


def subject(item):
    """The loss that a test is about, if it is one of a test of every loss."""
    from tests.cases import LOSSES

    drawn = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return next((p for p in drawn if isinstance(p, str) and p in LOSSES), None)


COSTLY = {"test_laws", "test_constant_for_the_gradient"}  # of which the plain run has the first loss of each family

THINNED = {  # what differs little from jax to jax, and of how many tests of a file one is enough
    "tests/pages/test_notebooks.py": 99,  # one: three take two minutes of the processor
    **dict.fromkeys(("tests/families/", "tests/compat/"), 10),
    **dict.fromkeys(("tests/catalogue/test_docstrings.py", "tests/core/", "tests/frameworks/", "tests/pages/", "tests/tools/"), 4),
}


ON_ONE = ("tests/families/", "tests/core/")  # of which one jax has the slow tests, but for what XLA keeps in memory
ON_BOTH = {"test_no_temporary_as_large_as_an_input"}


def pytest_collection_modifyitems(items):
    """Marks the sweeps, tests of every loss but for those of the first loss of each family, and the rest of tests written by hand.

    All that asks about one loss comes together, so that what is traced and compiled for one test is there for the next.
    """
    from tests.cases import FIRST

    swept = collections.Counter(item.function for item in items if subject(item))
    for item in items:
        if swept.get(getattr(item, "function", None), 0) > len(FIRST) and subject(item) not in FIRST:
            item.add_marker(pytest.mark.sweep)
            if item.originalname in COSTLY:
                item.add_marker(pytest.mark.slow)
    beside = collections.Counter()
    for item in items:
        file = item.nodeid.partition("::")[0]
        every = next((n for start, n in THINNED.items() if file.startswith(start)), 0)
        if every:
            if beside[file] % every or (item.get_closest_marker("slow") and file.startswith(ON_ONE) and item.originalname not in ON_BOTH):
                item.add_marker(pytest.mark.rest)
            beside[file] += 1
    items.sort(key=lambda item: (subject(item) or "~") if item.nodeid.startswith("tests/catalogue/") else "~")


@pytest.fixture(scope="session", autouse=True)
def _chunks_of_few_tokens():
    """What tests call a chunk would otherwise be the whole of their small batches."""
    from jloss._core import chunks

    chunks.FEWEST = chunks.ENOUGH = 1


def pytest_collection_finish():
    gc.freeze()  # what is there before the tests stays


def pytest_runtest_teardown(item, nextitem):
    """Forgets compiled programs every twenty tests or so, but not between two tests of one loss."""
    global since
    if next(since) >= 20 and (nextitem is None or subject(item) is None or subject(nextitem) != subject(item)):
        since = itertools.count(1)
        jax.clear_caches()
        gc.collect()


@pytest.fixture(autouse=True)
def _seconds(record_property, request):
    """The report of a run has the processor's seconds of each test, those of processes that it starts included, and whether it is slow."""
    start = sum(os.times()[:4])
    yield
    record_property("cpu", round(sum(os.times()[:4]) - start, 3))
    record_property("slow", request.node.get_closest_marker("slow") is not None)
