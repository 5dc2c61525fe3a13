"""Weights: a smooth function of each of them, also where it is 0; what they protect from; what they sum to. And `jloss.reduce`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.transforms import chunked, hardest, linear_head, tilted, trimmed

P, T = jnp.array([1.0, 2.0, 3.0]), jnp.zeros(3)  # squared errors of 1, 4 and 9
TRANSFORMED = [
    jloss.squared_error,
    chunked(jloss.squared_error),
    chunked(jloss.squared_error, backward="recompute"),
    tilted(jloss.squared_error),
    hardest(jloss.squared_error, 1.0),
    trimmed(jloss.squared_error, 0.0),
]


@pytest.mark.parametrize("loss", TRANSFORMED, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(
    ("reduction", "weights", "slopes"),
    [
        ("sum", [0.0, 0.0, 0.0], [1.0, 4.0, 9.0]),
        ("sum", [1.0, 0.0, 2.0], [1.0, 4.0, 9.0]),
        ("none", [0.0, 0.0, 0.0], [1.0, 4.0, 9.0]),
        ("mean", [1.0, 0.0, 1.0], [-2.0, -0.5, 2.0]),  # (l - 5) / 2
        ("mean", [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),  # nothing is kept
    ],
)
def test_the_gradient_in_weights(loss, reduction, weights, slopes):
    gradient = jax.grad(lambda w: jnp.sum(loss(P, T, weights=w, reduction=reduction)))(jnp.array(weights))
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6)


@pytest.mark.parametrize("backward", ["cached", "recompute"])
def test_the_gradient_in_weights_of_a_linear_head(backward):
    hidden, kernel, labels = jnp.array([[1.0, 0.0], [0.0, 1.0]]), jnp.array([[2.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0])
    head = linear_head(jloss.cross_entropy, backward=backward)
    gradient = jax.grad(lambda w: head(hidden, kernel, labels, weights=w, reduction="sum"))(jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(gradient, [np.log1p(np.exp(-2.0)), np.log1p(np.exp(1.0))], rtol=1e-6)  # logits (2, 0) and (0, 1)


@pytest.mark.slow
def test_weights_that_start_at_0_can_be_learned():
    """Learning to reweight: the gradient of a step of training in the weights with which it is made, at weights of 0."""

    def after_a_step(weights):
        slope = jax.grad(
            lambda theta: jloss.squared_error(theta * jnp.ones(3), jnp.array([1.0, 2.0, 3.0]), weights=weights, reduction="sum")
        )
        return slope(jnp.float32(0))

    np.testing.assert_allclose(jax.jacobian(after_a_step)(jnp.zeros(3)), [-2.0, -4.0, -6.0], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(
    "loss",
    [jloss.squared_error, jloss.cosine_distance, jloss.giou, chunked(jloss.squared_error), hardest(jloss.squared_error, 1.0)],
    ids=lambda loss: loss.__name__,
)
def test_a_weight_of_0_removes_what_is_no_number(loss, bad):
    shape = (3,) if not any(loss.__jloss__.inputs.values()) else (3, 4)
    x = np.abs(np.random.default_rng(0).normal(size=shape)).astype(np.float32)
    x = np.cumsum(x, axis=-1) if len(shape) == 2 else x
    y, broken = 0.5 * x, x.copy()
    broken[1] = bad
    weights = jnp.array([1.0, 0.0, 1.0])
    value, slopes = jax.value_and_grad(lambda x, w: loss(x, y, weights=w), (0, 1))(jnp.array(broken), weights)
    wanted = jax.value_and_grad(lambda x: loss(x, y[::2]))(jnp.array(x[::2]))
    np.testing.assert_allclose(value, wanted[0], rtol=1e-5)
    np.testing.assert_allclose(slopes[0][::2], wanted[1], rtol=1e-5, atol=1e-7)
    assert not np.any(slopes[0][1])
    assert np.isfinite(slopes[1]).all()
    assert slopes[1][1] == 0


def test_a_weight_of_0_removes_a_label_out_of_range():
    logits, labels, weights = jnp.array([[1.0, 0.0], [0.0, 3.0]]), jnp.array([0, -100]), jnp.array([1.0, 0.0])
    value, slopes = jax.value_and_grad(lambda z, w: jloss.cross_entropy(z, labels, weights=w), (0, 1))(logits, weights)
    np.testing.assert_allclose(value, np.log1p(np.exp(-1.0)), rtol=1e-6)
    assert not np.any(slopes[0][1])
    assert np.isfinite(slopes[1]).all()


def test_an_absent_class_is_no_reason_to_lose_the_gradient_in_its_weight():
    logits, labels = jnp.array([[0.0, 0.0, -jnp.inf]]), jnp.array([0])
    gradient = jax.grad(lambda w: jloss.cross_entropy(logits, labels, weights=w, reduction="sum"))(jnp.zeros(1))
    np.testing.assert_allclose(gradient, [np.log(2.0)], rtol=1e-6)


@pytest.mark.parametrize("loss", TRANSFORMED[:4], ids=lambda loss: loss.__name__)
def test_weights_that_cancel_are_no_mean(loss):
    p = jnp.array([1.0, 2.0])
    assert not np.isfinite(loss(p, jnp.zeros(2), weights=jnp.array([1.0, -1.0])))
    np.testing.assert_allclose(loss(p, jnp.zeros(2), weights=jnp.array([1.0, -0.5])), (1 - 2) / 0.5, rtol=1e-6)


def test_equal_losses_under_weights_that_cancel_are_no_mean_either():
    assert np.isnan(jloss.squared_error(jnp.ones(2), jnp.zeros(2), weights=jnp.array([1.0, -1.0])))


def test_weights_that_sum_to_less_than_1():
    np.testing.assert_allclose(jloss.huber(jnp.ones(1), jnp.zeros(1), weights=jnp.array([0.5])), 0.5, rtol=1e-6)


# ---------------------------------------------------------------- jloss.reduce


@pytest.mark.parametrize(
    ("values", "keywords", "wanted"),
    [
        (jnp.array([True, False, True, True]), {}, 0.75),
        (jnp.array([True, False, True, True]), {"where": jnp.array([True, True, False, False])}, 0.5),
        (jnp.array([True, False]), {"weights": jnp.array([1.0, 3.0])}, 0.25),
        (jnp.array([1, 2, 3]), {"weights": jnp.array([0.5, 0.5, 1.0])}, 2.25),
        (jnp.array([1.0, 3.0]), {"weights": jnp.array([1, 3])}, 2.5),
        (jnp.ones(70_000, jnp.float16), {}, 1.0),
        (jnp.ones(4, jnp.float16), {"weights": jnp.full(4, 30_000.0)}, 1.0),
        ([1.0, 2.0], {}, 1.5),
    ],
)
def test_reduce(values, keywords, wanted):
    mean = jloss.reduce(values, **keywords)
    assert mean.dtype == jnp.float32
    np.testing.assert_allclose(mean, wanted, rtol=1e-6)


def test_reduce_counts_257_of_bfloat16():
    total, mass = jloss.reduce(jnp.ones(257, jnp.bfloat16), reduction="parts")
    assert (total.dtype, float(total), float(mass)) == (jnp.float32, 257.0, 257.0)


@pytest.mark.parametrize(
    ("error", "keywords", "message"),
    [
        (ValueError, {"where": np.ones((8, 1), bool)}, r"reduce: `where` has shape \(8, 1\), but there is one value per example: \(8,\)"),
        (ValueError, {"weights": np.ones((8, 8))}, r"reduce: `weights` has shape \(8, 8\)"),
        (TypeError, {"where": np.ones(8)}, "reduce: `where` must be boolean, got float"),
        (TypeError, {"where": "all"}, "reduce: `where` must be an array"),
        (ValueError, {"reduction": "avg"}, "reduce: `reduction` must be one of"),
    ],
)
def test_reduce_checks_what_it_is_given(error, keywords, message):
    with pytest.raises(error, match=message):
        jloss.reduce(jnp.ones(8), **keywords)


def test_reduce_takes_no_complex_values():
    with pytest.raises(TypeError, match="reduce: `values` must be real numbers, got complex64"):
        jloss.reduce(jnp.ones(2, jnp.complex64))
