"""Zeros, limits and peers of the divergences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jloss
from tests.compiled import AS_USERS
from tests.peers import agree, draws

OF_PROBABILITIES = {
    "js_divergence": [{}, {"beta": 0.0}, {"beta": 1.0}],
    "renyi_divergence": [{}, {"alpha": 0.0}, {"alpha": 1.0}, {"alpha": 0.999}, {"alpha": 3.0}],
    "alpha_divergence": [{}, {"alpha": 0.0}, {"alpha": 1.0}, {"alpha": -1.0}, {"alpha": 2.0}],
    "hellinger": [{}],
    "total_variation": [{}],
    "chi_squared": [{}],
    "wasserstein_1d": [{}, {"p": 2}],
}
P = np.array([[0.2, 0.5, 0.3, 0.0], [0.2, 0.5, 0.3, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.7, 0.3, 0.0, 0.0]], np.float32)
Q = np.array([[0.2, 0.5, 0.3, 0.0], [0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]], np.float32)


def distributions(*shape, seed=0):
    return [np.asarray(jax.nn.softmax(x)) for x in draws(shape, shape, seed=seed)]


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_PROBABILITIES)
def test_zeros_give_no_nan(name):
    loss = getattr(jloss, name)

    def finite_part(inputs, static):
        values = loss(**inputs, **dict(static), reduction="none")
        return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), values

    run = jax.jit(jax.value_and_grad(finite_part, has_aux=True), static_argnums=1)
    first, second = jloss.CATALOGUE[name].inputs
    for options in OF_PROBABILITIES[name]:
        traced = {n: jnp.float32(v) for n, v in options.items() if isinstance(v, float)}
        static = tuple((n, v) for n, v in options.items() if n not in traced)
        (_, values), gradients = run({first: P, second: Q, **traced}, static)
        assert not np.isnan(values).any()
        assert float(values[0]) == pytest.approx(0.0, abs=1e-7)
        assert all(np.isfinite(g).all() for g in gradients.values()), (options, gradients)


def test_kl_with_zeros():
    log_predictions = jnp.log(jnp.asarray(Q))
    values = jloss.kl_divergence(log_predictions, P, reduction="none")
    np.testing.assert_allclose(values[0], 0.0, atol=1e-7)
    assert np.isinf(np.asarray(values[1:4])).all()  # the prediction excludes what happens
    for loss, targets in ((jloss.kl_divergence, P), (jloss.kl_divergence_with_log_targets, jnp.log(jnp.asarray(P)))):
        first, second = jax.grad(lambda lp, t, loss=loss: loss(lp, t, where=np.arange(5) % 4 == 0, reduction="sum"), argnums=(0, 1))(
            log_predictions, targets
        )
        np.testing.assert_allclose(first[0], -P[0], rtol=1e-6)  # -targets, 0 for the absent class
        np.testing.assert_allclose(first[4], -P[4], rtol=1e-6)
        assert np.isfinite(second).all()
    both_absent = jnp.array([0.0, -jnp.inf])
    assert float(jloss.kl_divergence_with_log_targets(both_absent, both_absent)) == 0.0


@pytest.mark.slow
def test_reverse_kl_exchanges_the_arguments():
    p, q = distributions(6, 5)
    np.testing.assert_allclose(jloss.reverse_kl_divergence(np.log(p), q), jloss.kl_divergence(np.log(q), p), rtol=1e-5)
    assert float(jloss.reverse_kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0]))) == math.inf


VALUE_AND_SLOPES = {
    loss: jax.jit(jax.value_and_grad(lambda p, q, a, loss=loss: loss(p, q, alpha=a), argnums=(0, 1, 2)))
    for loss in (jloss.renyi_divergence, jloss.alpha_divergence)
}


@pytest.mark.slow
def test_limits_of_renyi_and_alpha():
    p, q = distributions(6, 5, seed=2)
    kl = jloss.kl_divergence(np.log(q), p)
    reverse = jloss.kl_divergence(np.log(p), q)
    for loss, order, wanted in (
        (jloss.renyi_divergence, 1.0, kl),
        (jloss.alpha_divergence, 1.0, kl),
        (jloss.alpha_divergence, 0.0, reverse),
    ):
        at, slopes = VALUE_AND_SLOPES[loss](p, q, jnp.float32(order))
        np.testing.assert_allclose(at, wanted, rtol=2e-5)
        for beside in (order - 1e-4, order + 1e-4):
            near, others = VALUE_AND_SLOPES[loss](p, q, jnp.float32(beside))
            np.testing.assert_allclose(near, at, rtol=5e-4)
            np.testing.assert_allclose(others[2], slopes[2], rtol=5e-3)
    for loss in VALUE_AND_SLOPES:  # float32 against the formula in float64 beside the limit
        alpha = float(np.float32(1 - 1e-6))
        total = np.sum(p.astype(np.float64) ** alpha * q.astype(np.float64) ** (1 - alpha), axis=-1) / p.astype(np.float64).sum(-1) ** alpha
        total /= q.astype(np.float64).sum(-1) ** (1 - alpha)
        wanted = np.mean(np.log(total) / (alpha - 1))
        np.testing.assert_allclose(VALUE_AND_SLOPES[loss](p, q, jnp.float32(alpha))[0], wanted, rtol=1e-4)


@pytest.mark.parametrize("beta", [0.5, 0.1])
def test_the_jensen_shannon_divergence_of_what_is_close_keeps_its_digits(beta):
    """It was -1e-7 where it is 1e-9: what both Kullback-Leibler divergences have of the first order cancels between them."""
    rng = np.random.default_rng(0)
    p = np.float32(rng.dirichlet(np.ones(10), 100))
    q = p * (1 + np.float32(1e-4) * np.float32(rng.normal(size=p.shape)))
    step = jax.jit(lambda p, q: jloss.js_divergence(p, q, beta=beta, reduction="none"))
    found = step.lower(p, q).compile(AS_USERS)(p, q)
    wide, gap = np.float64(p), np.float64(q) - p
    np.testing.assert_allclose(found, np.sum(0.5 * beta * (1 - beta) * gap**2 / (wide + (1 - beta) * gap), -1), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.5, 2.0, 5.0])
def test_the_renyi_divergence_of_a_match_is_0(alpha):
    """The difference of two logarithms was -4e-7 for a third of all distributions, in optimised code and without."""
    p = np.float32(np.random.default_rng(0).dirichlet(np.ones(10), 100))
    step = jax.jit(lambda p, q: jloss.renyi_divergence(p, q, alpha=alpha, reduction="none"))
    compiled = step.lower(p, p).compile(AS_USERS)
    np.testing.assert_array_equal(compiled(p, p), 0.0)
    q = p * (1 + np.float32(1e-3) * np.float32(np.random.default_rng(1).normal(size=p.shape)))
    a, b = np.float64(p), np.float64(q)
    wanted = np.log(np.sum(a**alpha * b ** (1 - alpha), -1) / np.sum(a, -1)) / (alpha - 1)
    np.testing.assert_allclose(compiled(p, q), wanted, atol=2e-7)


def slopes_of_renyi(p, q, alpha):
    """Of ``log(sum p**a q**(1-a) / sum p) / (a - 1)`` in `p` and `q`, where both exist: above order 1 and at 0, where p**0 is 1 or 0."""
    inside = (p > 0) & (q > 0)
    ratio = np.where(inside, p, 0.0) / np.where(inside, q, 1.0)
    if alpha == 0:
        return np.full(p.shape, 1 / p.sum()), np.where(p > 0, -1.0, 0.0) / q[p > 0].sum()
    total = np.sum(q * ratio**alpha)
    return (alpha * ratio ** (alpha - 1) / total - 1 / p.sum()) / (alpha - 1), -(ratio**alpha) / total


@pytest.mark.parametrize("alpha", [0.0, 1.1, 1.2, 1.5, 2.0, 3.0])
def test_renyi_has_its_slope_where_a_probability_is_0(alpha):
    """In a `p` of 0 it was -0.2 for -1 where all ratios are near 1; in a `q` of 0 at order 0 it was 0."""
    pairs = [([0.0, 0.3, 0.7], [0.2, 0.3, 0.5]), ([0.0, 0.3, 0.7], [0.05, 0.6, 0.35]), ([0.0, 0.01, 0.99], [0.2, 0.6, 0.2])]
    pairs += [([0.2, 0.3, 0.5], [0.0, 0.3, 0.7]), ([0.2, 0.79, 0.01], [0.0, 0.3, 0.7])] if alpha == 0 else []
    for p, q in pairs:
        _, (in_p, in_q, _) = VALUE_AND_SLOPES[jloss.renyi_divergence](np.float32(p), np.float32(q), jnp.float32(alpha))
        wanted_in_p, wanted_in_q = slopes_of_renyi(np.array(p), np.array(q), alpha)
        occurs = (np.array(p) > 0) | (alpha > 0)  # at order 0 the value jumps in a `p` of 0
        np.testing.assert_allclose(in_p[occurs], wanted_in_p[occurs], rtol=1e-5)
        np.testing.assert_allclose(in_q, wanted_in_q, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0, 1.1, 2.0])
def test_renyi_in_a_class_that_both_lack(alpha):
    """More of it costs ``log(1 + p) / (1 - alpha)`` below order 1, at a match and elsewhere, and infinity from there on: 0 is given."""
    for q in ([0.0, 0.3, 0.7], [0.0, 0.35, 0.65], [0.0, 0.9, 0.1]):
        _, (in_p, in_q, _) = VALUE_AND_SLOPES[jloss.renyi_divergence](np.float32([0.0, 0.3, 0.7]), np.float32(q), jnp.float32(alpha))
        np.testing.assert_allclose(in_p[0], 1 / (1 - alpha) if alpha < 1 else 0.0, rtol=1e-5)
        assert in_q[0] == 0


@pytest.mark.parametrize("alpha", [1e-3, 1e-5, 1e-8, 1e-20])
def test_the_alpha_divergence_keeps_the_digits_of_a_tiny_order(alpha):
    """It divided by one minus one minus `alpha`: at 1e-5 a thousandth off, at 1e-8 infinite."""
    value, (_, in_q, in_alpha) = VALUE_AND_SLOPES[jloss.alpha_divergence](np.float32([0, 1]), np.float32([0.25, 1]), jnp.float32(alpha))
    np.testing.assert_allclose(value, 0.25 / np.float32(alpha), rtol=1e-6)
    np.testing.assert_allclose(in_q, [1 / np.float32(alpha), 0.0], rtol=1e-6, atol=1e-6)
    if alpha > 1e-18:
        np.testing.assert_allclose(in_alpha, -0.25 / np.float64(np.float32(alpha)) ** 2, rtol=1e-6)


@pytest.mark.slow
def test_renyi_joins_its_two_forms():
    p, q = distributions(6, 5, seed=2)
    for edge in (0.75, 1.25):
        low, high = (VALUE_AND_SLOPES[jloss.renyi_divergence](p, q, jnp.float32(edge + s)) for s in (-1e-6, 1e-6))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), low, high)


@pytest.mark.slow
def test_relations():
    p, q = distributions(6, 5, seed=4)
    np.testing.assert_allclose(jloss.alpha_divergence(p, q, reduction="none"), 4 * jloss.hellinger(p, q, reduction="none") ** 2, rtol=1e-5)
    np.testing.assert_allclose(2 * jloss.alpha_divergence(p, q, alpha=2.0), jloss.chi_squared(p, q), rtol=1e-5)
    halves = jloss.renyi_divergence(p, q, reduction="none")
    np.testing.assert_allclose(halves, -2 * np.log1p(-(np.asarray(jloss.hellinger(p, q, reduction="none")) ** 2)), rtol=1e-5)
    with jax.enable_x64(True):  # the limits, extrapolated from two steps towards them
        p, q = (np.asarray(x, np.float64) for x in (p, q))
        p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)

        def limit(end):
            near, far = (jloss.js_divergence(p, q, beta=abs(end - step)) / (step * (1 - step)) for step in (1e-6, 2e-6))
            return 2 * near - far

        np.testing.assert_allclose(limit(0), jloss.kl_divergence(np.log(q), p), rtol=1e-6)
        np.testing.assert_allclose(limit(1), jloss.kl_divergence(np.log(p), q), rtol=1e-6)


@pytest.mark.slow
def test_confident_distributions_with_tiny_probabilities():
    p = jnp.array([1.0 - 1e-7, 1e-30, 1e-25, 1e-7])
    both = jnp.stack([p, p]), jnp.stack([p, p[::-1]])
    for loss in (jloss.chi_squared, jloss.itakura_saito, jloss.alpha_divergence, jloss.hellinger, jloss.js_divergence):
        pull = jax.jit(lambda p, q, loss=loss: (loss(p, q, reduction="none"), jax.grad(loss, argnums=(0, 1))(p, q)))
        values, gradients = pull(*both)
        assert float(values[0]) == pytest.approx(0.0, abs=1e-12)
        assert not np.isnan(values).any()
        assert not any(np.isnan(g).any() for g in gradients), loss


def test_generalized_kl_of_small_differences():
    target = np.float64(1000.0)
    logs = np.log(target) + 1e-3
    with jax.enable_x64(True):
        wanted = float(jloss.generalized_kl_divergence(jnp.array([logs]), jnp.array([target])))
    got = jloss.generalized_kl_divergence(jnp.array([logs], jnp.float32), jnp.array([target], jnp.float32))
    exact = target * (math.expm1(float(np.float32(logs)) - math.log(1000.0)) - (float(np.float32(logs)) - math.log(1000.0)))
    np.testing.assert_allclose(got, exact, rtol=2e-3)  # the logarithm itself is rounded to 5e-7
    np.testing.assert_allclose(wanted, 1000 * (math.expm1(1e-3) - 1e-3), rtol=1e-9)
    assert float(got) >= 0


@pytest.mark.slow
def test_wasserstein_powers():
    stats = pytest.importorskip("scipy.stats")
    p, q = distributions(4, 7, seed=5)
    places = np.arange(7)
    for row in range(4):
        wanted = stats.wasserstein_distance(places, places, p[row], q[row])
        np.testing.assert_allclose(jloss.wasserstein_1d(p[row], q[row]), wanted, rtol=1e-4)
    far = jloss.wasserstein_1d(jnp.eye(9)[2], jnp.eye(9)[7], p=3)
    np.testing.assert_allclose(far, 5.0, rtol=1e-6)
    assert float(jloss.wasserstein_1d(p, q, p=1)) <= float(jloss.wasserstein_1d(p, q, p=2)) <= float(jloss.wasserstein_1d(p, q, p=5))
    same = jax.grad(lambda p: jloss.wasserstein_1d(p, q[0], p=2))(q[0])
    assert not np.asarray(same).any()
    with pytest.raises(ValueError, match="wasserstein_1d: `p` must be 1 or more, got 0"):
        jloss.wasserstein_1d(p, q, p=0)


@pytest.mark.slow
def test_axis():
    p, q = distributions(3, 6, 5)
    for loss in (jloss.js_divergence, jloss.wasserstein_1d, jloss.renyi_divergence):
        values = loss(p, q, reduction="none")
        assert values.shape == (3, 6)
        np.testing.assert_allclose(loss(np.moveaxis(p, -1, 1), np.moveaxis(q, -1, 1), axis=1, reduction="none"), values, rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "in_logs"),
    [
        (jloss.kl_divergence, optax.losses.kl_divergence, False),
        (jloss.kl_divergence_with_log_targets, optax.losses.kl_divergence_with_log_targets, True),
        (jloss.generalized_kl_divergence, optax.losses.generalized_kl_divergence, False),
    ],
)
def test_optax(ours, theirs, in_logs):
    p, q = distributions(8, 5)
    targets = np.log(p) if in_logs else p
    got = jax.value_and_grad(ours, argnums=(0, 1))(np.log(q), targets)
    wanted = jax.value_and_grad(lambda a, b: jnp.mean(theirs(a, b)), argnums=(0, 1))(np.log(q), targets)
    jax.tree.map(lambda g, w: np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-6), got, wanted)


@pytest.mark.slow
def test_where_optax_and_torch_give_nan():
    log_predictions, targets = jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.0, 0.0])
    assert np.isnan(jax.grad(optax.losses.kl_divergence, argnums=1)(log_predictions, targets)).any()
    assert np.isfinite(jax.grad(jloss.kl_divergence, argnums=1)(log_predictions, targets)).all()
    torch = pytest.importorskip("torch")
    value = torch.nn.functional.kl_div(torch.tensor([0.0, -torch.inf]), torch.tensor([1.0, 0.0]), reduction="sum")
    assert torch.isnan(value)
    assert float(jloss.kl_divergence(jnp.array([0.0, -jnp.inf]), targets)) == 0.0


def test_torch():
    functional = pytest.importorskip("torch.nn.functional")
    p, q = distributions(8, 5)
    agree(jloss.kl_divergence, lambda a, b: functional.kl_div(a, b, reduction="batchmean"), np.log(q), p)
    agree(
        jloss.kl_divergence_with_log_targets,
        lambda a, b: functional.kl_div(a, b, reduction="batchmean", log_target=True),
        np.log(q),
        np.log(p),
    )


def test_scipy():
    distance = pytest.importorskip("scipy.spatial.distance")
    p, q = distributions(6, 5, seed=6)
    wanted = [distance.jensenshannon(a, b) ** 2 for a, b in zip(p.astype(np.float64), q.astype(np.float64), strict=True)]
    np.testing.assert_allclose(jloss.js_divergence(p, q, reduction="none"), wanted, rtol=1e-4)


def test_total_variation_has_no_gradient_at_a_match():
    p = jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_array_equal(jax.grad(jloss.total_variation)(p, p), [0, 0, 0])
    np.testing.assert_allclose(jax.grad(jloss.total_variation)(p, jnp.array([0.2, 0.4, 0.4])), [0, -0.5, 0.5])
