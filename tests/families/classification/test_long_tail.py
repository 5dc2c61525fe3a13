"""Rare classes: the helpers, the peers, and the pairs of functions that count while they train."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jloss

RNG = np.random.default_rng(2)
LOGITS = jnp.asarray(RNG.normal(size=(8, 4)).astype(np.float32) * 2)
LABELS = jnp.array([0, 0, 0, 1, 2, 3, 0, 1])
BITS = jnp.asarray((RNG.uniform(size=(8, 4)) < 0.3).astype(np.float32))


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


@pytest.mark.slow
def test_class_balanced_weights():
    counts = np.array([5000, 500, 50, 5])
    effective = (1 - 0.999 ** counts.astype(float)) / (1 - 0.999)
    np.testing.assert_allclose(jloss.class_balanced_weights(counts, beta=0.999), 4 / effective / (1 / effective).sum(), rtol=1e-5)
    np.testing.assert_allclose(jloss.class_balanced_weights(counts, beta=0.0), 1, rtol=1e-6)
    inverse = 1 / counts
    np.testing.assert_allclose(jloss.class_balanced_weights(counts, beta=1.0), 4 * inverse / inverse.sum(), rtol=1e-6)
    np.testing.assert_allclose(jloss.class_balanced_weights(counts, beta=1 - 1e-9), 4 * inverse / inverse.sum(), rtol=1e-4)
    np.testing.assert_allclose(jloss.class_balanced_weights(jnp.array([10, 0, 10])), [1.5, 0, 1.5], rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jloss.class_balanced_weights)(counts, 0.99), jloss.class_balanced_weights(counts, 0.99), rtol=1e-4)
    with pytest.raises(ValueError, match="`beta` must be between 0 and 1, got 2"):
        jloss.class_balanced_weights(counts, beta=2)


@pytest.mark.slow
def test_class_balanced_weights_of_several_data_sets():
    """Each row of counts is one data set: its weights sum to the number of its classes."""
    counts = jnp.array([[2, 2, 0], [1, 10, 100]])
    weights = jloss.class_balanced_weights(counts, beta=0.9)
    np.testing.assert_allclose(weights.sum(-1), [3, 3], rtol=1e-6)
    np.testing.assert_allclose(weights[0], [1.5, 1.5, 0], rtol=1e-6)
    raw = 0.1 / (1 - 0.9 ** np.array([1.0, 10.0, 100.0]))
    np.testing.assert_allclose(weights[1], 3 * raw / raw.sum(), rtol=1e-5)
    np.testing.assert_allclose(jloss.ldam_margins(jnp.array([[16, 1], [1, 1]])).max(-1), [0.5, 0.5], rtol=1e-6)


@pytest.mark.slow
def test_ldam_margins():
    np.testing.assert_allclose(jloss.ldam_margins(jnp.array([10000, 16, 1])), [0.05, 0.25, 0.5], rtol=1e-6)
    np.testing.assert_allclose(jloss.ldam_margins(jnp.array([16, 0]), max_margin=1.0), [0.5, 1.0], rtol=1e-6)
    margins = jloss.ldam_margins(jnp.array([10000, 16, 1, 4]))
    np.testing.assert_allclose(jloss.ldam(LOGITS, LABELS, jnp.zeros(4), scale=2.0), jloss.cross_entropy(2 * LOGITS, LABELS), rtol=1e-6)
    assert jloss.ldam(LOGITS, LABELS, margins) > jloss.ldam(LOGITS, LABELS, 0 * margins)


@pytest.mark.slow
def test_logit_adjustment_is_balanced_softmax():
    """Values of the two formulas on the same logits, from the reference."""
    counts = jnp.array([100.0, 10.0, 1.0, 1.0])
    balanced = counts[None] * jnp.exp(LOGITS)
    wanted = -jnp.log(jnp.take_along_axis(balanced, LABELS[:, None], 1)[:, 0] / balanced.sum(1))
    for log_prior in (jnp.log(counts), jnp.log(counts / counts.sum())):
        np.testing.assert_allclose(jloss.logit_adjusted(LOGITS, LABELS, log_prior, reduction="none"), wanted, rtol=1e-5)
    np.testing.assert_allclose(jloss.logit_adjusted(LOGITS, LABELS, log_prior, tau=0.0), jloss.cross_entropy(LOGITS, LABELS), rtol=1e-6)


@pytest.mark.slow
def test_a_prior_of_minus_infinity_removes_a_class():
    log_prior = jnp.array([0.0, -jnp.inf, 0.0, 0.0])
    labels = jnp.where(LABELS == 1, 0, LABELS)
    for tau in (0.0, 1.0, 2.0):
        value, gradient = jax.value_and_grad(jloss.logit_adjusted)(LOGITS, labels, log_prior, tau=tau)
        rest = jloss.cross_entropy(LOGITS[:, jnp.array([0, 2, 3])], jnp.maximum(labels - 1, 0))
        np.testing.assert_allclose(value, rest, rtol=1e-6)
        np.testing.assert_array_equal(gradient[:, 1], 0)
    assert jloss.logit_adjusted(LOGITS[0], 1, log_prior) == np.inf


def test_one_prior_for_all_pixels():
    images, labels = jnp.asarray(RNG.normal(size=(2, 4, 3, 3)).astype(np.float32)), jnp.zeros((2, 3, 3), int)
    log_prior = jnp.log(jnp.array([0.4, 0.3, 0.2, 0.1]))
    wanted = jloss.logit_adjusted(jnp.moveaxis(images, 1, -1), labels, log_prior)
    np.testing.assert_allclose(jloss.logit_adjusted(images, labels, log_prior, axis=1), wanted, rtol=1e-6)


@pytest.mark.slow
def test_classes_split_over_devices():
    mesh = jax.make_mesh((2,), ("classes",), axis_types=(jax.sharding.AxisType.Auto,))
    row = jnp.array([0.1, 0.2, 0.3, 0.4])
    for loss, extra in ((jloss.logit_adjusted, jnp.log(row)), (jloss.ldam, row)):

        def split(logits, extra, loss=loss):
            return loss(logits, LABELS, extra, class_axis_name="classes")

        sharded = jax.shard_map(split, mesh=mesh, in_specs=(P(None, "classes"), P("classes")), out_specs=P())
        value, gradient = jax.jit(jax.value_and_grad(sharded))(LOGITS, extra)
        wanted, wanted_gradient = jax.value_and_grad(loss)(LOGITS, LABELS, extra)
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
        np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_second_derivative_of_asymmetric_without_a_clip():
    """At a probability of 1e-26 that of a logarithm that is not used was infinite, and 0 times it NaN."""
    second = jax.vmap(jax.grad(jax.grad(lambda x: jloss.asymmetric(x, 0.0, gamma_negative=2.0, clip=0.0))))
    x = np.float32([-80, -60, -45, -10, 0])
    p = np.exp(np.float64(x))
    np.testing.assert_allclose(second(x)[:4], 9 * p[:4] ** 3, rtol=1e-3, atol=1e-30)  # p^2 softplus(x) is about p^3
    assert np.isfinite(second(x)).all()


@pytest.mark.slow
def test_asymmetric():
    every = {"reduction": "none"}
    plain = jloss.asymmetric(LOGITS, BITS, gamma_positive=0.0, gamma_negative=0.0, clip=0.0, **every)
    np.testing.assert_allclose(plain, jloss.sigmoid_cross_entropy(LOGITS, BITS, **every), rtol=1e-5, atol=1e-7)
    focal = jloss.asymmetric(LOGITS, BITS, gamma_positive=2.0, gamma_negative=2.0, clip=0.0, **every)
    np.testing.assert_allclose(focal, jloss.sigmoid_focal(LOGITS, BITS, **every), rtol=1e-5, atol=1e-7)
    hard = jnp.array([jnp.inf, -jnp.inf, 1e4, -1e4, 1e4, -1e4, -200.0, -3.0])
    bits = jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    for options in ({}, {"gamma_positive": 0.0}, {"gamma_negative": 0.5}, {"clip": 0.0, "gamma_negative": 0.5}):
        value, gradient = jax.value_and_grad(lambda x, o=options: jloss.asymmetric(x, bits, reduction="sum", **o))(hard)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(jloss.asymmetric(jnp.array([-3.0]), jnp.array([0])), 0)  # p = 0.047 is free


def seesaw_by_hand(logits, labels, counts, p=0.8, q=2.0, epsilon=1e-2):
    counts = np.maximum(np.asarray(counts, float), 1)
    total = []
    for z, y in zip(np.asarray(logits, float), np.asarray(labels), strict=True):
        scores = np.exp(z) / np.exp(z).sum()
        pairs = [(counts[c] / counts[y], scores[c] / max(scores[y], epsilon)) for c in range(len(z))]
        factor = [min(1.0, n) ** p * max(1.0, s) ** q if c != y else 1.0 for c, (n, s) in enumerate(pairs)]
        total.append(-np.log(np.exp(z[y]) / sum(f * np.exp(v) for f, v in zip(factor, z, strict=True))))
    return np.array(total)


@pytest.mark.slow
def test_seesaw():
    criterion = jloss.seesaw()
    where = jnp.array([True] * 7 + [False])
    value, counts = jax.jit(criterion.apply)(criterion.init(4), LOGITS.at[7].set(jnp.nan), LABELS, where=where)
    np.testing.assert_array_equal(counts, [4, 1, 1, 1])
    np.testing.assert_allclose(value, seesaw_by_hand(LOGITS[:7], LABELS[:7], [4, 1, 1, 1]).mean(), rtol=1e-5)
    values, counts = criterion.apply(counts, LOGITS, LABELS, reduction="none")
    np.testing.assert_array_equal(counts, [8, 3, 2, 2])
    np.testing.assert_allclose(values, seesaw_by_hand(LOGITS, LABELS, counts), rtol=1e-5)
    _, same = criterion.apply(counts, LOGITS[:2], jnp.array([-1, 9]), reduction="none")
    np.testing.assert_array_equal(same, counts)

    scores, n = np.asarray(jax.nn.softmax(LOGITS)), np.asarray(counts) + np.bincount(LABELS, minlength=4)
    own = scores[np.arange(8), LABELS][:, None]
    factor = np.minimum(1, n / n[LABELS][:, None]) ** 0.8 * np.maximum(1, scores / np.maximum(own, 1e-2)) ** 2
    gradient = jax.grad(lambda z: criterion.apply(counts, z, LABELS)[0])(LOGITS)
    wanted = jax.grad(lambda z: jloss.cross_entropy(z + jnp.asarray(np.log(factor)), LABELS))(LOGITS)  # S is a constant
    np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_ghm():
    criterion = jloss.ghm(bins=10, momentum=0.0)
    value, state = jax.jit(criterion.apply)(criterion.init(), LOGITS, BITS)
    length = np.abs(sigmoid(LOGITS) - np.asarray(BITS))
    place = np.minimum((length * 10).astype(int), 9)
    counts = np.bincount(place.ravel(), minlength=10)
    np.testing.assert_array_equal(state.counts, counts)
    ce = np.asarray(jloss.sigmoid_cross_entropy(LOGITS, BITS, reduction="none"), float)
    np.testing.assert_allclose(value, (ce / counts[place]).sum() / (counts > 0).sum(), rtol=1e-5)  # = sum(N / (M R) ce) / N
    slow = jloss.ghm(bins=10, momentum=0.9)
    first, _ = slow.apply(slow.init(), LOGITS, BITS)
    np.testing.assert_allclose(first, value, rtol=1e-5)  # the start at 0 is corrected for
    where = jnp.ones((8, 4), bool).at[0, 0].set(False)
    value, masked = criterion.apply(criterion.init(), LOGITS.at[0, 0].set(jnp.nan), BITS, where=where)
    assert np.isfinite(value)
    assert masked.counts.sum() == 31
    value, empty = criterion.apply(state, LOGITS, BITS, where=jnp.zeros((8, 4), bool))
    assert value == 0
    assert np.isfinite(empty.counts).all()


@pytest.mark.slow
def test_equalized_focal():
    criterion = jloss.equalized_focal()
    value, state = jax.jit(criterion.apply)(criterion.init(4), LOGITS, BITS)
    np.testing.assert_allclose(value, jloss.sigmoid_focal(LOGITS, BITS, alpha=0.25), rtol=1e-6)
    slopes = np.abs(np.asarray(jax.grad(lambda z: jloss.sigmoid_focal(z, BITS, alpha=0.25, reduction="sum"))(LOGITS)))
    np.testing.assert_allclose(state.positive, (slopes * BITS).sum(0), rtol=1e-5)
    np.testing.assert_allclose(state.negative, (slopes * (1 - BITS)).sum(0), rtol=1e-5)
    state = state._replace(positive=jnp.array([1.0, 5.0, 0.0, 2.0]), negative=jnp.array([4.0, 4.0, 4.0, 0.0]))
    values, _ = criterion.apply(state, LOGITS, BITS, reduction="none")
    gammas = [2 + 8 * 0.75, 2.0, 10.0, 2.0]
    for j, g in enumerate(gammas):
        wanted = g / 2 * jloss.sigmoid_focal(LOGITS[:, j], BITS[:, j], alpha=0.25, gamma=g, reduction="none")
        np.testing.assert_allclose(values[:, j], wanted, rtol=1e-5, atol=1e-9)


STATEFUL = {
    "seesaw": (jloss.seesaw(), (4,), LABELS, jnp.arange(8) != 3),
    "ghm": (jloss.ghm(bins=5), (), BITS, jnp.arange(32).reshape(8, 4) % 5 != 0),
    "equalized_focal": (jloss.equalized_focal(), (4,), BITS, jnp.arange(32).reshape(8, 4) % 5 != 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATEFUL)
def test_in_a_sharded_training_step(name):
    criterion, sizes, targets, where = STATEFUL[name]
    state = criterion.init(*sizes)
    logits = jnp.where(jnp.broadcast_to(where.reshape(8, -1), (8, 4)), LOGITS, jnp.nan)

    def step(axis_name):
        def run(logits, state, targets, where):
            def total(logits):
                return criterion.apply(state, logits, targets, where=where, axis_name=axis_name)

            return total(logits)

        return run

    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.shard_map(step("data"), mesh=mesh, in_specs=(P("data"), P(), P("data"), P("data")), out_specs=P())
    many, one = (jax.jit(jax.value_and_grad(f, has_aux=True)) for f in (sharded, step(None)))
    for _ in range(2):
        (value, after), gradient = many(logits, state, targets, where)
        (wanted, wanted_after), wanted_gradient = one(logits, state, targets, where)
        np.testing.assert_allclose(value, wanted, rtol=1e-5)
        np.testing.assert_allclose(gradient, wanted_gradient, rtol=1e-4, atol=1e-7)
        assert np.isfinite(gradient).all()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after, wanted_after)
        state = after
