"""Hard points of every domain: the value is the oracle's (or documented), and no gradient is NaN.

Every loss gets the product of the hard examples of its inputs (or a fixed random part of it). The oracle says what the value
is in float64; where that number fits into float32 the loss must agree and its gradient must be finite. Where it does not
(an overflow, an infinity of the right sign, a value that is documented as NaN) the loss must say the same.
"""

import warnings

import numpy as np
import pytest

import jloss
from jloss.testing import hard_samples
from tests.cases import LOSSES, ORACLES, case, each_alone, mostly_slow
from tests.oracles import Undetermined

HUGE = 1e30  # beyond this a float32 value may overflow on its way


@pytest.mark.parametrize("name", mostly_slow(LOSSES))
def test_hard_points(name):
    assert name in ORACLES, f"write the oracle of {name} in tests/oracles/{jloss.CATALOGUE[name].family}.py"
    drawn = hard_samples(jloss.CATALOGUE[name].public)
    if drawn is None:
        pytest.skip("its inputs are a pytree; the family's own tests have its edges")
    inputs, count = drawn
    subject = case(name)
    floats = subject.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}

    (_, values), gradients = each_alone(name)(floats, rest)
    oracle = ORACLES[name]
    for i in range(count):
        one = {n: np.asarray(v)[i] if n in subject.batched else v for n, v in inputs.items()}
        one = {n: v.astype(np.float64) if getattr(v, "dtype", None) == np.float32 else v for n, v in one.items()}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                wanted = float(oracle.function(**one, **({"frozen": one} if oracle.frozen else {})))
            except Undetermined:
                wanted = float(values[i])  # any of the tied answers, but a finite one with a finite gradient
                assert np.isfinite(wanted), f"{name} is {wanted} in a tie"
        got = float(values[i])
        shown = {n: np.asarray(v)[i].tolist() for n, v in inputs.items() if n in subject.batched}
        if np.isnan(wanted):
            assert np.isnan(got), f"{name}{shown} is {got}, the oracle says NaN"
            continue
        if abs(wanted) < HUGE:
            scale = max([1e-30, *(float(np.max(np.abs(v), initial=0.0)) for n, v in one.items() if n in floats)])
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6 * max(1.0, min(scale, 1e4)), err_msg=f"{name}{shown}")
            for n, gradient in gradients.items():
                row = np.asarray(gradient[i])
                assert np.isfinite(row).all(), f"the gradient of {name}{shown} in `{n}` is {row.tolist()}"
        else:
            assert np.isinf(got) or abs(got) > 0.9 * HUGE, f"{name}{shown} is {got}, the oracle says {wanted}"
        for n, gradient in gradients.items():
            assert not np.isnan(np.asarray(gradient[i])).any(), f"the gradient of {name}{shown} in `{n}` is NaN"
