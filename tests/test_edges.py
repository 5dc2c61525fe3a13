"""Hard points of every domain: the value is the oracle's (or documented), and no gradient is NaN.

Every loss gets the product of the hard examples of its inputs (or a fixed random part of it). The oracle says what the value
is in float64; where that number fits into float32 the loss must agree and its gradient must be finite. Where it does not
(an overflow, an infinity of the right sign, a value that is documented as NaN) the loss must say the same.
"""

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss._shapes import DOMAINS
from jloss.testing import sizes
from tests.cases import LOSSES, ORACLES, case

MOST = 160
HUGE = 1e30  # beyond this a float32 value may overflow on its way


def hard(domain, shape, classes, steps):
    """Hard examples of one input."""
    zeros, ones = np.zeros(shape), np.ones(shape)
    count = int(np.prod(shape, dtype=int))
    ramp = np.arange(count).reshape(shape)
    spike = zeros.copy()
    if shape:
        spike[(0,) * len(shape)] = 1.0
    last = shape[-1] if shape else 1
    table = {
        "real": [zeros, ones, -ones, spike, 1e4 * spike, -1e4 * spike, 1e-30 * ones, 1e-4 * ramp, 30.0 * np.sin(ramp), 1e4 * ones],
        "unit": [zeros, ones, 0.5 * ones, 1e-30 * ones, spike, ramp % 2, np.full(shape, 1 - 2.0**-24)],
        "positive": [ones, 1e-6 * ones, 1e4 * ones, 1.0 + ramp],
        "nonnegative": [zeros, ones, 1e-6 * ones, 1e4 * ones, 1.0 * ramp],
        "above_minus_one": [zeros, ones, -0.999 * ones, 1e4 * ones],
        "sign": [ones, -ones, np.where(ramp % 2 == 0, 1.0, -1.0)],
        "class": [zeros.astype(int), np.full(shape, classes - 1), (ramp % classes).astype(int)],
        "multi_hot": [zeros, ones, spike, ramp % 2 == 0],
        "mask": [np.ones(shape, bool), np.zeros(shape, bool), spike > 0, ramp % 2 == 0],
        "length": [np.full(shape, steps), np.zeros(shape, int), np.ones(shape, int)],
        "key": [jax.random.key(0)],
    }
    if domain in ("prob", "log_prob"):
        uniform, sure, two = ones / last, zeros.copy(), zeros.copy()
        sure[..., 0] = 1.0
        two[..., :2] = 0.5
        other = zeros.copy()
        other[..., -1] = 1.0
        skew = np.exp(-3.0 * np.arange(last)) * ones
        rows = [uniform, sure, two, other, skew / skew.sum(-1, keepdims=True)]
        if domain == "prob":
            return rows
        with np.errstate(divide="ignore"):
            return [np.log(row) for row in rows]
    if domain == "box":
        boxes = [(0, 0, 1, 1), (0, 0, 2, 2), (0.5, 0.5, 1.5, 1.5), (1, 0, 2, 1), (3, 3, 4, 5), (0, 0, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2)]
        boxes += [(2, 2, 0, 0), (-1e4, -1e4, 1e4, 1e4), (0, 0, 1e-4, 1e-4), (0.25, 0.25, 0.75, 0.75), (1e4, 1e4, 1e4 + 10, 1e4 + 20)]
        return [np.broadcast_to(np.asarray(b, float), shape) for b in boxes]
    if domain == "rotated_box":
        boxes = [(0, 0, 1, 1, 0), (0, 0, 2, 1, 0.5), (5, 5, 2, 1, -3.0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 0), (0, 0, 1e4, 1e3, 1), (0, 0, 1e-4, 1e-4, 0)]
        return [np.broadcast_to(np.asarray(b, float), shape) for b in boxes]
    return table[domain]


def examples(name):
    """A batch of hard examples of a loss, or None where the catalogue's domains cannot say them."""
    entry = jloss.CATALOGUE[name]
    if "tree" in entry.domains.values():
        return None
    classes = 5 if any("k" in str(d) for d in entry.inputs.values()) else 3
    letters = iter(("t", "u", "n"))
    columns = []
    for n, dims in entry.inputs.items():
        domain = entry.domains[n]
        steps = {"t": 6, "u": 2, "n": 6}[next(letters)] if domain == "length" else 0
        columns.append(hard(domain, tuple(sizes(dims)), classes, steps))
    product = list(itertools.product(*columns))
    if len(product) > MOST:
        chosen = np.random.default_rng(0).choice(len(product), MOST, replace=False)
        product = [product[i] for i in sorted(chosen)]
    batch = {}
    for i, (n, domain) in enumerate(entry.domains.items()):
        column = [row[i] for row in product]
        if DOMAINS[domain].kind == "any":
            batch[n] = column[0]
            continue
        array = np.stack(column)
        batch[n] = jnp.asarray(array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int32) if array.dtype.kind == "i" else array)
    return batch, len(product)


@pytest.mark.parametrize("name", LOSSES)
def test_hard_points(name):
    assert name in ORACLES, f"write the oracle of {name} in tests/oracles/{jloss.CATALOGUE[name].family}.py"
    drawn = examples(name)
    if drawn is None:
        pytest.skip("its inputs are a pytree; the family's own tests have its edges")
    inputs, count = drawn
    subject = case(name)
    floats = subject.floats(inputs)
    rest = {n: v for n, v in inputs.items() if n not in floats}

    @jax.jit
    def run(floats, rest):
        def f(x):
            values = jloss.CATALOGUE[name].public(**{n: {**x, **rest}[n] for n in inputs}, reduction="none")
            return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

        return jax.value_and_grad(f, has_aux=True)(floats)

    (_, values), gradients = run(floats, rest)
    oracle = ORACLES[name]
    for i in range(count):
        one = {n: np.asarray(v)[i] if n in subject.batched else v for n, v in inputs.items()}
        one = {n: v.astype(np.float64) if getattr(v, "dtype", None) == np.float32 else v for n, v in one.items()}
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = float(oracle.function(**one, **({"frozen": one} if oracle.frozen else {})))
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


@pytest.mark.parametrize("name", [n for n in LOSSES if "class" in jloss.CATALOGUE[n].domains.values() and not n.startswith("_")])
def test_label_out_of_range_is_nan_for_that_example_only(name):
    subject = case(name)
    labels = next(n for n, d in jloss.CATALOGUE[name].domains.items() if d == "class")
    if not any("k" in str(dims) for n, dims in jloss.CATALOGUE[name].inputs.items() if n != labels):
        pytest.skip("its labels name groups, not classes of an axis")
    inputs = subject.draw((4,))
    good = np.asarray(jloss.CATALOGUE[name].public(**inputs, reduction="none"))
    for wrong in (-1, -100, 99):
        bad = {**inputs, labels: np.where(np.arange(4).reshape((4,) + (1,) * (inputs[labels].ndim - 1)) == 1, wrong, inputs[labels]).astype(np.int32)}
        values = np.asarray(jloss.CATALOGUE[name].public(**bad, reduction="none"))
        assert np.isnan(values[1]), f"{name} gives {values[1]} for label {wrong}"
        np.testing.assert_array_equal(values[[0, 2, 3]], good[[0, 2, 3]])
        kept = jloss.CATALOGUE[name].public(**bad, where=jnp.array([True, False, True, True]))
        np.testing.assert_allclose(kept, good[[0, 2, 3]].mean(), rtol=1e-5)
