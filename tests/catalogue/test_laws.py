"""Every loss of the catalogue obeys every law. Some laws are slow: in every run the first loss of each family obeys them, too."""

import time

import pytest

from jloss.testing import LAWS, check
from tests.cases import FIRST, LOSSES, ORACLES, case

ELSEWHERE = {"hard_points_have_no_nan"}  # test_edges.py asks more: the oracle's values
SLOW = {
    "float_options_are_traced",
    "half_in_float32_out",
    "shard_map_equals_one_device",
    "traces_under_explicit_sharding",
    "exports_with_symbolic_batch",
    "transformations_compose",
    "jit_changes_nothing",
    "left_out_is_all_kept",
    "masked_items_are_absent",
    "options_matter",
    "gradient_at_hard_points",
    "gradient_is_the_derivative",  # in every run test_oracles.py compares gradients with the oracle's differences
}
# Smallest of largest of smallest: at a constant image no derivative of a pixel's tie lies between the slopes of the whole.
IRREGULAR = {"cldice": "gradient_at_hard_points"}


@pytest.fixture
def obeys(record_property):
    """Checks laws one by one; the report of a run has the processor's seconds of each."""

    def run(subject, laws):
        reports = []
        for law in laws:
            start = time.process_time()
            reports.append(check(subject, laws=[law]))
            record_property(f"law {law}", round(time.process_time() - start, 3))
        broken = [str(report) for report in reports if not report]
        assert not broken, "\n".join(broken)

    return run


@pytest.mark.parametrize("name", LOSSES)
def test_laws(name, obeys):
    obeys(case(name), [law for law in LAWS if law not in ELSEWHERE and law != IRREGULAR.get(name) and (name in FIRST or law not in SLOW)])


@pytest.mark.parametrize("name", IRREGULAR)
def test_what_is_irregular_is_so(name):
    assert not check(case(name), laws=[IRREGULAR[name]]), f"{name} obeys {IRREGULAR[name]} now: take it off the list"


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_slow_laws(name, obeys):
    """Hard points under the options that the oracle has, too: settings of numbers share a program."""
    laws = [law for law in LAWS if law in SLOW and law != IRREGULAR.get(name)] if name not in FIRST else []
    obeys(case(name), laws)
    for options in ORACLES[name].options[1:] if name in ORACLES and name not in IRREGULAR else ():
        obeys(case(name, options), ["gradient_at_hard_points"])
