"""Noise-robust losses: limits, peers, saturated logits, and the memory of early learning."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jloss

RNG = np.random.default_rng(1)
LOGITS = jnp.asarray(RNG.normal(size=(6, 5)).astype(np.float32) * 3)
LABELS = jnp.array([0, 4, 2, 1, 3, 3])
HOT = jax.nn.one_hot(LABELS, 5)


@pytest.mark.slow
def test_limits():
    ce = jloss.cross_entropy(LOGITS, LABELS, reduction="none")
    p = jnp.exp(-ce)
    every = {"reduction": "none"}
    np.testing.assert_allclose(jloss.generalized_cross_entropy(LOGITS, LABELS, q=0.0, **every), ce, rtol=1e-6)
    np.testing.assert_allclose(jloss.generalized_cross_entropy(LOGITS, LABELS, q=1e-6, **every), ce, rtol=1e-4)
    np.testing.assert_allclose(jloss.generalized_cross_entropy(LOGITS, LABELS, q=1.0, **every), 1 - p, rtol=1e-5)
    np.testing.assert_allclose(
        jloss.symmetric_cross_entropy(LOGITS, LABELS, **every), 0.1 * ce + jloss.reverse_cross_entropy(LOGITS, LABELS, **every), rtol=1e-6
    )
    np.testing.assert_allclose(
        jloss.normalized_focal(LOGITS, LABELS, gamma=0.0, **every), jloss.normalized_cross_entropy(LOGITS, LABELS, **every), rtol=1e-5
    )
    np.testing.assert_allclose(jloss.bi_tempered_logistic(LOGITS, HOT, t1=1.0, t2=1.0, **every), ce, rtol=1e-5, atol=1e-6)
    near = jloss.bi_tempered_logistic(LOGITS, HOT, t1=1 - 1e-4, t2=1 + 1e-4, **every)
    np.testing.assert_allclose(near, ce, rtol=5e-3)


def test_reverse_cross_entropy_of_an_improbable_label_has_its_gradient():
    """Minus 4 p (1 - p) in the label's logit; from 1 - p, as float32 has it, it was 3 % off at p = 3e-7 and 0 at 2e-8."""
    logits = jnp.array([[0.0, 15.0], [0.0, 18.0], [0.0, 60.0]])
    slope = jax.grad(jloss.reverse_cross_entropy)(logits, jnp.zeros(3, int), reduction="sum")
    p = 1 / (1 + np.exp([15.0, 18.0, 60.0]))
    np.testing.assert_allclose(slope[:, 0], -4 * p * (1 - p), rtol=1e-5)


def test_symmetric_cross_entropy_without_the_first_term_is_the_reverse_one():
    logits, label = np.float32([-18, 0]), np.int32(0)
    gradient = jax.grad(lambda z: jloss.symmetric_cross_entropy(z, label, alpha=0.0, beta=1.0))(logits)
    wanted = jax.grad(lambda z: jloss.reverse_cross_entropy(z, label))(logits)
    assert wanted[1] > 6e-8
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)


@pytest.mark.slow
def test_robust_losses_are_symmetric_over_the_labels():
    """The sum over all labels is a constant: what makes them tolerant of uniform noise."""
    over = {"reduction": "none", "axis": -1}
    wide, labels = jnp.repeat(LOGITS[:, None], 5, axis=1), jnp.tile(jnp.arange(5), (6, 1))
    np.testing.assert_allclose(jloss.normalized_cross_entropy(wide, labels, **over).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(jloss.normalized_focal(wide, labels, **over).sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(jloss.reverse_cross_entropy(wide, labels, **over).sum(1), 4 * 4, rtol=1e-5)


@pytest.mark.slow
def test_agrees_with_keras_where_keras_is_finite():
    os.environ.setdefault("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    if not hasattr(keras.losses, "CategoricalGeneralizedCrossEntropy"):
        pytest.skip("this keras lacks the loss")
    p = jax.nn.softmax(LOGITS)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        theirs = keras.losses.CategoricalGeneralizedCrossEntropy(q=0.5, reduction=None)(np.asarray(LABELS), np.asarray(p))
    np.testing.assert_allclose(jloss.generalized_cross_entropy(LOGITS, LABELS, q=0.5, reduction="none"), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("generalized_cross_entropy", {}),
        ("symmetric_cross_entropy", {}),
        ("reverse_cross_entropy", {}),
        ("normalized_cross_entropy", {}),
        ("normalized_focal", {"gamma": 0.5}),
    ],
)
def test_absent_classes_and_certain_labels(name, options):
    loss = jloss.CATALOGUE[name].public
    logits = jnp.array([[1.0, -jnp.inf, 2.0], [1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.5, -jnp.inf, -jnp.inf]])

    def total(x):
        values = loss(x, jnp.zeros(4, int), reduction="none", **options)
        return values.sum(), values

    (_, values), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(logits)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(values[0], loss(jnp.array([1.0, 2.0]), 0, **options), rtol=1e-6)
    np.testing.assert_allclose(values[1::2], 0, atol=1e-6)
    assert gradient[0, 1] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normalized_cross_entropy", "normalized_focal"])
def test_a_quotient_of_infinite_surprisals_is_its_limit(name):
    loss, inf = jloss.CATALOGUE[name].public, jnp.inf
    logits = jnp.array([[0.0, inf, 1.0, 2.0], [inf, 0.0, 1.0, 2.0], [0.0, inf, -inf, 1.0], [inf, inf, inf, inf], [1e20, 0.0, 0.0, -inf]])
    labels = jnp.array([0, 0, 0, 2, 1])
    values, pull = jax.vjp(lambda z: loss(z, labels, reduction="none"), logits)
    np.testing.assert_allclose(values, [1 / 3, 0, 1 / 2, 1 / 4, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(pull(jnp.ones(5))[0], 0, atol=1e-12)
    value, gradient = jax.value_and_grad(loss)(jnp.array([-inf, 0.0, 2.0]), 0)
    assert value == inf
    assert np.isfinite(gradient).all()
    assert gradient[0] < 0 < gradient[2]


@pytest.mark.slow
def test_bi_tempered_is_bounded_and_its_second_derivative_is_right():
    wrong = jnp.array([[-1e4, 1e4, 0.0], [1e4, 0.0, -jnp.inf]])

    value, gradient = jax.jit(jax.value_and_grad(lambda z: jloss.bi_tempered_logistic(z, jnp.eye(3)[:2], reduction="sum")))(wrong)
    assert np.isfinite(value)
    assert value < 12
    assert np.isfinite(gradient).all()
    with jax.enable_x64(True):
        z, y = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.0, 1.0, 0.0])

        def slope(z):
            return jax.grad(jloss.bi_tempered_logistic)(z, y, t2=1.5)

        moved = jax.jit(jax.vmap(slope))
        up, down = (moved(z[None] + h * jnp.eye(3)) for h in (1e-5, -1e-5))
        curvature = jax.jit(jax.jacfwd(slope))(z)
        np.testing.assert_allclose(curvature, (up - down) / 2e-5, atol=1e-8)
        np.testing.assert_allclose(up.sum(1), 0, atol=1e-12)  # as p does not depend on a shift
        few, many = (jloss.bi_tempered_logistic(z, y, t2=1.5, iterations=n) for n in (5, 60))
        np.testing.assert_allclose(few, many, rtol=1e-9)


def test_options_out_of_range():
    with pytest.raises(ValueError, match=r"^generalized_cross_entropy: `q` must be between 0 and 1, got 1"):
        jloss.generalized_cross_entropy(LOGITS, LABELS, q=1.5)
    with pytest.raises(ValueError, match=r"^bi_tempered_logistic: `t2` must be 1 or more, got 0"):
        jloss.bi_tempered_logistic(LOGITS, HOT, t2=0.5)
    with pytest.raises(ValueError, match=r"^bi_tempered_logistic: `iterations` must be 0 or more, got -1"):
        jloss.bi_tempered_logistic(LOGITS, HOT, iterations=-1)


@pytest.mark.slow
def test_early_learning_remembers():
    criterion = jloss.early_learning(strength=3.0, beta=0.7)
    state = criterion.init(8, 5)
    where = jnp.array([True, True, True, True, True, False])
    logits = LOGITS.at[5].set(jnp.nan)
    at = jnp.array([0, 2, 4, 6, 99, 1])
    value, state = jax.jit(criterion.apply)(state, logits, LABELS, at, where=where)
    belief = np.clip(np.asarray(jax.nn.softmax(LOGITS[:5]), np.float64), 1e-4, 1 - 1e-4)
    memory = 0.3 * belief / belief.sum(1, keepdims=True)
    p = np.asarray(jax.nn.softmax(LOGITS[:5]), np.float64)
    wanted = -np.log(p[np.arange(5), LABELS[:5]]) + 3 * np.log(1 - (memory * p).sum(1))
    np.testing.assert_allclose(value, wanted.mean(), rtol=1e-5)
    np.testing.assert_allclose(state.memory[jnp.array([0, 2, 4, 6])], memory[:4], rtol=1e-5)
    np.testing.assert_array_equal(state.memory[jnp.array([1, 3, 5, 7])], 0)

    def second(logits, state):
        return criterion.apply(state, logits, LABELS[:5], at[:5])[0]

    gradients = jax.grad(second, argnums=(0, 1))(LOGITS[:5], state)
    assert float(jnp.abs(gradients[0]).sum()) > 0
    np.testing.assert_array_equal(gradients[1].memory, 0)


@pytest.mark.slow
def test_early_learning_over_devices_is_early_learning():
    criterion = jloss.early_learning()
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    at, where = jnp.array([5, 3, 1, 0, 2, 4]), jnp.array([True, False, True, True, True, True])

    def step(state, logits, labels, at, where):
        return criterion.apply(state, logits, labels, at, where=where, axis_name="data")

    sharded = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(P(), *[P("data")] * 4), out_specs=P()))
    state = criterion.init(6, 5)
    got = sharded(sharded(state, LOGITS, LABELS, at, where)[1], LOGITS, LABELS, at, where)
    single = criterion.apply(criterion.apply(state, LOGITS, LABELS, at, where=where)[1], LOGITS, LABELS, at, where=where)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, single)


@pytest.mark.parametrize("t1", [0.0, 0.5, 0.8])
def test_a_target_of_zero_has_the_slope_of_its_bounded_logarithm(t1):
    """That of y (log_t y - log_t p) - y^(2 - t) / (2 - t) at 0 from above, which is -p^(1 - t) / (1 - t)."""
    logits, target = np.array([2.0, -1.0, 0.5]), np.array([1.0, 0.0, 0.0])
    p = np.exp(logits) / np.exp(logits).sum()
    with jax.enable_x64(True):
        slope = jax.grad(lambda y: jloss.bi_tempered_logistic(logits, y, t1=t1, t2=1.0))(target)
    np.testing.assert_allclose(slope[1:], -(p[1:] ** (1 - t1)) / (1 - t1), rtol=1e-9)
    at_one = jax.grad(lambda t1: jloss.bi_tempered_logistic(jnp.asarray(logits), jnp.asarray(target), t1=t1))(1.0)
    assert np.isfinite(at_one)
    of_kl = jax.grad(lambda y: jloss.bi_tempered_logistic(jnp.asarray(logits), y, t1=1.0))(jnp.asarray(target))
    np.testing.assert_array_equal(of_kl[1:], 0)  # that of y log y is infinite
