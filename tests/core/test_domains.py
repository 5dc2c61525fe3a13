"""What may be an integer: targets, and options that are numbers; keys of both kinds; and gradients at exactly 0."""

import functools
from typing import Literal, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jloss
from jloss import Reduce
from jloss.testing import Case, check, hard_samples, samples
from tests.cases import LOSSES, mostly_slow

REAL = {"real", "positive", "nonnegative", "unit", "above_minus_one", "one_or_more", "box", "prob"}


def targets_of(name):
    """The inputs behind the first that are real numbers and have a batch."""
    entry = jloss.CATALOGUE[name]
    return [n for n in list(entry.inputs)[1:] if entry.domains[n] in REAL]


@pytest.mark.parametrize("name", mostly_slow([name for name in LOSSES if targets_of(name)]))
def test_integer_targets_are_numbers(name):
    """As integers they give what they give as floats; predictions stay floating."""
    entry = jloss.CATALOGUE[name]
    inputs = samples(entry.public, batch=(2,))
    whole = {n: np.round(np.abs(np.asarray(inputs[n]))).astype(np.int32) for n in targets_of(name)}
    whole |= {n: v + np.array([0, 0, 2, 2], np.int32) for n, v in whole.items() if entry.domains[n] == "box"}
    floats = {n: v.astype(np.float32) for n, v in whole.items()}
    value = jax.jit(lambda given: entry.public(**{**inputs, **given}))
    np.testing.assert_array_equal(value(whole), value(floats))
    first = next(iter(entry.inputs))
    if entry.domains[first] == "real":
        with pytest.raises(TypeError, match=f"`{first}` must be floating, got int32"):
            entry.public(**{**inputs, first: np.asarray(inputs[first]).astype(np.int32)})


@pytest.mark.parametrize("targets", [jnp.array([True, False]), jnp.array([1, 0], jnp.uint8), np.array([1, 0]), [1, 0]])
def test_any_kind_of_integer(targets):
    np.testing.assert_allclose(jloss.squared_error(jnp.array([3.0, 1.0]), targets), 2.5, rtol=1e-6)  # errors of 2 and 1


def test_integers_take_the_dtype_of_the_predictions():
    with jax.enable_x64(True):
        exact = jloss.absolute_error(np.array([2.0**24]), np.array([2**24 + 1]))
        assert (exact.dtype, float(exact)) == (jnp.float64, 1.0)
        assert jloss.absolute_error(np.array([1.0], np.float32), np.array([2])).dtype == jnp.float32


def test_one_hot_integers():
    logits, one_hot = jnp.array([[1.0, 0.0]]), jnp.array([[0, 1]])
    np.testing.assert_allclose(jloss.soft_cross_entropy(logits, one_hot), np.log1p(np.exp(1.0)), rtol=1e-6)


def whole_options(name):
    return {n: round(v) or 1 for n, v in jloss.CATALOGUE[name].options.items() if isinstance(v, float) and v == round(v)}


@pytest.mark.parametrize("name", mostly_slow([name for name in LOSSES if whole_options(name)]))
def test_whole_numbers_for_options(name):
    """A Python int for an option that is a number."""
    public, options = jloss.CATALOGUE[name].public, whole_options(name)
    inputs = samples(public, batch=(2,))
    np.testing.assert_array_equal(public(**inputs, **options), public(**inputs, **{n: float(v) for n, v in options.items()}))


def test_words_and_numbers_as_static_options():
    @jloss.loss("(),()->()", "real real")
    def power(predictions: Array, targets: Array, *, p: Literal[1, 2] = 2, **reduce: Unpack[Reduce]) -> Array:
        return jnp.abs(predictions - targets) ** p

    assert float(power(jnp.array([3.0]), jnp.zeros(1), p=1)) == 3
    assert float(power(jnp.array([3.0]), jnp.zeros(1))) == 9
    for wrong in (3, 1.0, True, "1"):
        with pytest.raises(ValueError, match=r"power: `p` must be one of \(1, 2\)"):
            power(jnp.ones(1), jnp.zeros(1), p=wrong)


@pytest.mark.parametrize("bad", [np.array([1, None]), np.array(["a", "b"]), np.array(["2026-01-01"] * 2, "datetime64[D]")])
@pytest.mark.parametrize("argument", ["predictions", "targets", "weights", "delta"])
def test_an_array_that_holds_no_numbers(bad, argument):
    given = {"predictions": jnp.ones(2), "targets": jnp.ones(2), argument: bad}
    with pytest.raises(TypeError, match=f"huber: `{argument}` must be an array of numbers, got one of dtype"):
        jloss.huber(given.pop("predictions"), given.pop("targets"), **given)


KEYED = [name for name, entry in jloss.CATALOGUE.items() if "key" in entry.domains.values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in KEYED if name in LOSSES])
def test_keys_of_both_kinds(name):
    entry = jloss.CATALOGUE[name]
    (key,) = (n for n, d in entry.domains.items() if d == "key")
    inputs = samples(entry.public, batch=(2,))
    raw = jax.random.PRNGKey(3)
    for old, new in ((raw, jax.random.key(3)), (jax.random.split(raw, 2), jax.random.split(jax.random.key(3), 2))):
        values = [entry.public(**{**inputs, key: k}, reduction="none") for k in (old, new)]
        np.testing.assert_array_equal(*values)


# ---------------------------------------------------------------- where networks start


@pytest.mark.parametrize(
    ("loss", "inputs", "slope"),
    [
        (jloss.logistic, (0.0, 1.0), -0.5),
        (jloss.logistic, (0.0, -1.0), 0.5),
        (jloss.coral, (np.zeros(3), 1), [-0.5, 0.5, 0.5]),
        (jloss.corn, (np.zeros(3), 1), [-0.5, 0.5, 0.0]),
        (jloss.asymmetric, (0.0, 1.0), -0.25 - 0.25 * np.log(2)),  # of -(1 - p) log p, at p = 1/2
        (jloss.sigmoid_cross_entropy, (0.0, 1.0), -0.5),
    ],
)
def test_the_first_step_under_a_head_of_zeros(loss, inputs, slope):
    gradient = jax.grad(lambda x: loss(x, *map(jnp.asarray, inputs[1:])))(jnp.asarray(inputs[0], jnp.float32))
    np.testing.assert_allclose(gradient, slope, rtol=1e-6)


@pytest.mark.parametrize("x", [0.0, -0.0, 1e-30, -1e-30, 3.0, -3.0, 1e4, -1e4])
def test_softplus(x):
    """Its derivatives are those of log(1 + exp(x)): the logistic function s, and s (1 - s)."""
    from jloss.numerics import softplus

    s = 1 / (1 + np.exp(-np.float64(np.clip(x, -700, 700))))
    np.testing.assert_allclose(jax.grad(softplus)(jnp.float32(x)), s, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(jax.grad(jax.grad(softplus))(jnp.float32(x)), s * (1 - s), rtol=1e-6, atol=1e-30)


def test_the_gradient_in_a_count_of_0():
    """Of predictions - targets log predictions, by the targets: -log predictions, at 0, too."""
    slope = jax.grad(lambda t: jloss.poisson_nll(jnp.float32(2), t, log_input=False, epsilon=0.0))(jnp.float32(0))
    np.testing.assert_allclose(slope, -np.log(2), rtol=1e-6)
    slope = jax.grad(lambda t: jloss.poisson_nll(jnp.float32(0), t, log_input=False, epsilon=0.0))(jnp.float32(0))
    assert slope == 0


WITH_BLANK = [name for name in LOSSES if "blank" in jloss.CATALOGUE[name].options]


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BLANK)
def test_no_label_of_a_sample_is_the_blank(name):
    loss = getattr(jloss, name)
    for blank in (0, 2, -1):
        drawn = samples(loss, batch=(50,), options={"blank": blank})
        assert set(np.unique(drawn["labels"])) == set(range(5)) - {blank % 5}
        assert np.isfinite(loss(**drawn, blank=blank, reduction="none")).all()
        hard, _ = hard_samples(loss, options={"blank": blank})
        assert blank % 5 not in hard["labels"]
        assert len(np.unique(hard["labels"])) > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_BLANK)
def test_a_loss_with_a_blank_keeps_the_laws_on_samples_of_any_blank(name):
    laws = ["gradient_is_the_derivative", "hard_points_have_no_nan", "label_out_of_range_is_nan"]
    report = check(Case(getattr(jloss, name), {"blank": -1}), laws=laws)
    assert report, report


@pytest.mark.parametrize(
    ("key", "got"), [(0, "0"), (jnp.zeros(2, jnp.int32), "int32[2]"), (jnp.zeros(3, jnp.uint32), "uint32[3]"), (np.zeros(2), "float64[2]")]
)
def test_what_is_no_random_key_is_named(key, got):
    x = jnp.ones((3, 2))
    for name, call in (("sigreg", jloss.sigreg), ("jacobian_penalty", functools.partial(jloss.jacobian_penalty, jnp.square))):
        with pytest.raises(TypeError) as error:
            call(x, key)
        # Of a loss it is an array of jax already.
        shown = {"0": ("0", "int32[]"), "float64[2]": ("float64[2]", "float32[2]")}.get(got, (got,))
        assert str(error.value) in [f"{name}: `key` must be a random key, as of jax.random.key(0), got {word}." for word in shown]
    with pytest.raises(ValueError, match="jacobian_penalty: `key` must be one random key"):
        jloss.jacobian_penalty(jnp.square, x, jax.random.split(jax.random.key(0), 3))


def test_integers_of_64_bits_are_numbers_also_where_jax_has_32():
    """Half of each would be dropped: 2**40 nanoseconds would be 0."""
    targets = np.array([2**40, -(2**40), 3])
    np.testing.assert_allclose(jloss.absolute_error(np.zeros(3, np.float32), targets, reduction="none"), np.abs(targets), rtol=1e-6)
    np.testing.assert_allclose(jloss.poisson_nll(np.ones(3, np.float32), targets=targets, reduction="none"), np.e - targets, rtol=1e-6)
    mean = jloss.absolute_error(np.array([1.0, 3.0], np.float32), np.zeros(2), weights=np.array([2**40, 2**40]))
    np.testing.assert_allclose(mean, 2, rtol=1e-6)
