"""Divergences at their limits, bounds by samples, codes: numbers that can be checked by hand, and who gets which gradient."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from tests.compiled import AS_USERS

inf, nan = jnp.inf, jnp.nan
RNG = np.random.default_rng(4)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# ---------------------------------------------------------------- Gaussians


@pytest.mark.parametrize("shift", [1e-1, 1e-3, 1e-4])
def test_a_divergence_near_a_match_keeps_its_digits(shift):
    """v - 1 - log v is shift^2 / 2 + shift^3 / 6 + ...; in float32 the plain formula has no digit of 5e-9."""
    got = jloss.gaussian_kl(jnp.zeros(1), jnp.array([shift], jnp.float32))
    np.testing.assert_allclose(got, (math.expm1(shift) - shift) / 2, rtol=1e-5)


@pytest.mark.slow
def test_at_a_match_there_is_no_slope_but_a_curvature():
    def kl(x):
        return jloss.gaussian_kl(x[:2], x[2:])

    zeros = jnp.zeros(4)
    assert kl(zeros) == 0
    np.testing.assert_array_equal(jax.grad(kl)(zeros), zeros)
    np.testing.assert_allclose(jax.hessian(kl)(zeros), np.diag([1, 1, 0.5, 0.5]), atol=1e-6)


def test_a_variance_of_zero_is_infinitely_far():
    value, slopes = jax.value_and_grad(jloss.gaussian_kl, (0, 1))(jnp.array([0.5]), jnp.array([-inf]))
    assert value == inf
    np.testing.assert_allclose(slopes[0], [0.5])
    assert np.isfinite(slopes[1]).all()


def test_one_prior_alone_is_completed_by_zeros():
    m, v, p = normal(3), normal(3), normal(3)
    np.testing.assert_allclose(jloss.gaussian_kl(m, v, p), jloss.gaussian_kl(m - p, v), rtol=1e-6)
    np.testing.assert_allclose(jloss.gaussian_kl(m, v, None, p), jloss.gaussian_kl(m, v, jnp.zeros(3), p), rtol=1e-6)


def test_free_bits_are_per_dimension_and_have_no_gradient_below():
    means = jnp.array([2.0, 0.1, 1.0])  # 2, 0.005 and 0.5 nats
    value, slope = jax.value_and_grad(lambda m: jloss.gaussian_kl(m, jnp.zeros(3), free_bits=0.5))(means)
    np.testing.assert_allclose(value, 3.0, rtol=1e-6)
    np.testing.assert_array_equal(slope, [2.0, 0.0, 0.0])  # 0 at equality, too


@pytest.mark.slow
def test_balance_changes_gradients_only():
    q, p = (normal(3), normal(3)), (normal(3), normal(3))
    plain = jax.value_and_grad(lambda q, p: jloss.gaussian_kl(*q, *p), (0, 1))(q, p)
    value, (to_q, to_p) = jax.value_and_grad(lambda q, p: jloss.gaussian_kl(*q, *p, balance=0.8), (0, 1))(q, p)
    np.testing.assert_allclose(value, plain[0], rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.2 * b, rtol=1e-5), to_q, plain[1][0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 0.8 * b, rtol=1e-5), to_p, plain[1][1])
    for loss in (lambda: jloss.gaussian_kl(*q, balance=0.5), lambda: jloss.categorical_kl(normal(3), balance=0.5)):
        with pytest.raises(ValueError, match="`balance` needs a prior"):
            loss()


@pytest.mark.slow
def test_a_diagonal_covariance_is_the_sum_over_dimensions():
    m, v, pm, pv = (normal(5) for _ in range(4))
    factors = [jnp.diag(jnp.exp(x / 2)) + jnp.triu(jnp.full((5, 5), nan), 1) for x in (v, pv)]
    got = jax.jit(jax.value_and_grad(jloss.multivariate_gaussian_kl))(m, factors[0], pm, factors[1])
    wanted = jax.value_and_grad(jloss.gaussian_kl)(m, v, pm, pv)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), got, wanted)


def test_a_turned_gaussian_is_no_farther():
    """An orthogonal map of both distributions changes no divergence."""
    a, b = RNG.normal(size=(2, 4, 4)) + 2 * np.eye(4)
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    m, pm = RNG.normal(size=(2, 4))

    def kl(turn):
        factors = [np.linalg.cholesky(turn @ x @ x.T @ turn.T).astype(np.float32) for x in (a, b)]
        return jloss.multivariate_gaussian_kl((turn @ m).astype(np.float32), factors[0], (turn @ pm).astype(np.float32), factors[1])

    np.testing.assert_allclose(kl(turn), kl(np.eye(4)), rtol=1e-4)


@pytest.mark.slow
def test_a_singular_factor_is_infinitely_far_and_a_negative_one_is_none():
    singular = jnp.array([[0.0, 0.0], [1.0, 1.0]])
    value, slope = jax.value_and_grad(lambda m, f: jloss.multivariate_gaussian_kl(m, f), (0, 1))(jnp.ones(2), singular)
    assert value == inf
    assert all(np.isfinite(s).all() for s in slope)
    assert np.isnan(jloss.multivariate_gaussian_kl(jnp.ones(2), -jnp.eye(2)))


@pytest.mark.slow
def test_a_singular_prior_costs_infinity():
    value, slopes = jax.value_and_grad(jloss.multivariate_gaussian_kl, (0, 1, 2, 3))(
        jnp.ones(2), jnp.eye(2), jnp.zeros(2), jnp.diag(jnp.arange(2.0))
    )
    assert value == inf
    for slope in slopes:
        assert not np.any(slope)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [[0], [1], [2], [3], [0, 1], [2, 3], [0, 1, 2]])
def test_a_masked_prior_does_not_reach_what_data_share(shared):
    """Of a masked datum the prior is filled with zeros, which is singular."""
    every = [normal(2, 3), jnp.tril(normal(2, 3, 3)) + 3 * jnp.eye(3)[None], normal(2, 3), jnp.tril(normal(2, 3, 3)) + 3 * jnp.eye(3)[None]]
    some = [x[0] if i in shared else x.at[1].set(nan) for i, x in enumerate(every)]
    slopes = jax.grad(lambda *x: jloss.multivariate_gaussian_kl(*x, where=jnp.array([True, False])), (0, 1, 2, 3))(*some)
    alone = jax.grad(jloss.multivariate_gaussian_kl, (0, 1, 2, 3))(*(x[0] for x in every))
    for i, (got, want) in enumerate(zip(slopes, alone, strict=True)):
        np.testing.assert_allclose(got if i in shared else got[0], want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("thin", [1e-20, 1e-36])
@pytest.mark.parametrize("rest", [1.0, None])
def test_a_prior_too_thin_for_the_arithmetic_is_infinitely_far_without_a_slope_that_is_not_a_number(thin, rest):
    posterior = jnp.array([[1.0, 0.0], [0.5, 1.0]])
    prior = jnp.array([[rest or thin, 0.0], [0.3 * (rest or thin), thin]])
    value, slopes = jax.value_and_grad(jloss.multivariate_gaussian_kl, (0, 1, 2, 3))(jnp.ones(2), posterior, jnp.zeros(2), prior)
    assert value == inf
    assert not any(np.isnan(s).any() for s in slopes)


# ---------------------------------------------------------------- classes


@pytest.mark.slow
def test_classes_that_are_absent():
    both = jnp.array([0.0, 0.0, -inf])
    assert jloss.categorical_kl(both, both) == 0
    np.testing.assert_allclose(jloss.categorical_kl(both), math.log(1.5), rtol=1e-6)
    np.testing.assert_allclose(jloss.categorical_kl(both, jnp.zeros(3)), math.log(1.5), rtol=1e-6)
    value, slopes = jax.value_and_grad(jloss.categorical_kl, (0, 1))(jnp.zeros(3), both)
    assert value == inf
    assert all(np.isfinite(s).all() for s in slopes)
    value, slopes = jax.value_and_grad(jloss.categorical_kl, (0, 1))(both, jnp.array([0.0, 1.0, 2.0]))
    assert np.isfinite(value)
    assert all(np.isfinite(s).all() for s in slopes)


def test_a_match_of_classes_has_no_slope_at_all():
    z = jnp.array([300.0, 0.0, -2.0, -300.0])
    slopes = jax.grad(jloss.categorical_kl, (0, 1))(z, z)
    assert not any(s.any() for s in slopes)


# ---------------------------------------------------------------- bounds by samples


@pytest.mark.slow
def test_weights_of_zero():
    logs = jnp.array([0.0, -inf])
    value, slope = jax.value_and_grad(jloss.iwae)(logs)
    np.testing.assert_allclose(value, math.log(2), rtol=1e-6)
    np.testing.assert_array_equal(slope, [-1.0, 0.0])
    for alpha, wanted in ((0.5, 2 * math.log(2)), (1.0, inf), (2.0, inf)):
        value, slope = jax.value_and_grad(lambda z, a=alpha: jloss.iwae(z, alpha=a))(logs)
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
        assert np.isfinite(slope).all()


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["standard", "doubly_reparameterized"])
def test_no_weight_at_all(estimator):
    for mask, wanted in ((None, inf), (jnp.array([True, False]), inf), (jnp.zeros(2, bool), 0.0)):
        value, slope = jax.value_and_grad(lambda z, m=mask: jloss.iwae(z, m, estimator=estimator))(jnp.full(2, -inf))
        assert value == wanted
        np.testing.assert_array_equal(slope, [0.0, 0.0])


@pytest.mark.parametrize("alpha", [1 - 1e-4, 1 - 1e-6, 1.0, 1 + 1e-6])
def test_renyi_near_the_evidence_bound(alpha):
    logs = jnp.array([-3.0, 1.0, 0.5, -0.25, 2.0], jnp.float32)
    a, m, variance = 1 - alpha, float(jnp.mean(logs)), float(jnp.var(logs))
    np.testing.assert_allclose(jloss.iwae(logs, alpha=alpha), -(m + a * variance / 2), rtol=0, atol=5e-7)


def test_log_weights_that_exp_cannot_hold():
    for alpha in (0.0, 0.5, 1.0, 2.0):
        value, slope = jax.value_and_grad(lambda z, a=alpha: jloss.iwae(z, alpha=a))(jnp.array([-2000.0, -1000.0]))
        wanted = {0.0: 1000 + math.log(2), 0.5: 1000 + 2 * math.log(2), 1.0: 1500.0, 2.0: 2000 - math.log(2)}[alpha]
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
        np.testing.assert_allclose(jnp.sum(slope), -1.0, rtol=1e-5)


@pytest.mark.slow
def test_the_doubly_reparameterized_gradient():
    logs = normal(5)
    shares = np.asarray(jax.nn.softmax(logs))
    value, slope = jax.value_and_grad(lambda z: jloss.iwae(z, estimator="doubly_reparameterized"))(logs)
    np.testing.assert_allclose(value, jloss.iwae(logs), rtol=1e-6)
    np.testing.assert_allclose(slope, -(shares**2), rtol=1e-5)
    assert np.isnan(jloss.iwae(logs, estimator="doubly_reparameterized", alpha=0.5))


# ---------------------------------------------------------------- codes


def test_the_commitment_is_the_encoders():
    z, e = jnp.array([1.0, 2.0]), jnp.array([0.0, 0.0])
    to_z, to_e = jax.grad(jloss.vector_quantization, (0, 1))(z, e)
    np.testing.assert_allclose(to_z, [0.25, 0.5])
    np.testing.assert_allclose(to_e, [-1.0, -2.0])
    assert not jax.grad(jloss.vector_quantization, 1)(z, e, codebook=0.0).any()


@pytest.mark.slow
def test_codes_that_are_used_alike_are_0_and_none_is_below():
    """One less the exponential of an entropy was -1.5e-8 of five codes."""
    logits = 1e-4 * np.float32(np.random.default_rng(0).normal(size=(100, 6, 5)))
    assert 0 <= jloss.codebook_diversity(jnp.zeros((6, 5))) < 1e-14  # 0 on jax 0.10
    step = jax.jit(lambda x: jloss.codebook_diversity(x, reduction="none"))
    found = step.lower(logits).compile(AS_USERS)(logits)
    shares = np.exp(np.float64(logits)) / np.exp(np.float64(logits)).sum(-1, keepdims=True)
    np.testing.assert_allclose(found, 5 * np.sum((shares.mean(1) - 0.2) ** 2, -1) / 2, rtol=0.02)


@pytest.mark.slow
def test_one_hot_items_have_no_entropy():
    logits = jnp.where(jnp.eye(4, dtype=bool), 0.0, -inf)
    value, slope = jax.value_and_grad(jloss.information_maximization)(logits)
    np.testing.assert_allclose(value, -math.log(4), rtol=1e-6)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(jloss.codebook_diversity(logits), 0.0, atol=1e-6)
    np.testing.assert_allclose(jloss.codebook_diversity(logits[:1].repeat(3, 0)), 0.75, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("loss", [jloss.information_maximization, jloss.codebook_diversity])
def test_codes_over_devices(loss):
    logits, mask = normal(8, 5), jnp.asarray([1, 1, 0, 1, 0, 0, 1, 1], bool)
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    spread = jax.shard_map(lambda z, m: loss(z, m, negatives_axis_name="i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    got, wanted = (jax.jit(jax.value_and_grad(f))(jnp.where(mask[:, None], logits, nan), mask) for f in (spread, loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, wanted)
    assert loss(logits, jnp.zeros(8, bool)) == 0


def test_a_zero_code_is_orthogonal_to_itself():
    value, slope = jax.value_and_grad(jloss.codebook_orthogonality)(jnp.array([[0.0, 0.0], [0.0, 3.0]]))
    np.testing.assert_allclose(value, 1 / 4 - 1 / 2)
    assert np.isfinite(slope).all()
    assert not slope[0].any()
    wide, tall = normal(3, 7), normal(7, 3)
    for codes in (wide, tall):
        units = np.asarray(codes) / np.linalg.norm(codes, axis=1, keepdims=True)
        np.testing.assert_allclose(jloss.codebook_orthogonality(codes), np.mean((units @ units.T) ** 2) - 1 / len(units), rtol=1e-5)


# ---------------------------------------------------------------- other likelihoods


@pytest.mark.parametrize(
    ("logit", "target", "wanted"),
    [
        (0.0, 0.3, 0.0),
        (1e-3, 0.5, 1e-6 / 24),
        (inf, 1.0, -inf),
        (inf, 0.5, inf),
        (-inf, 0.0, -inf),
        (-inf, 0.25, inf),
        (1e4, 1.0, -9.2103404),
    ],
)
def test_the_continuous_bernoulli_at_its_limits(logit, target, wanted):
    value, slope = jax.value_and_grad(jloss.continuous_bernoulli_nll)(logit, target)
    np.testing.assert_allclose(value, wanted, rtol=1e-6)
    assert not np.isnan(slope)


def test_the_density_of_the_continuous_bernoulli_integrates_to_one():
    t = jnp.linspace(0, 1, 2001)
    for logit in (-30.0, -7.9, -8.1, -0.4, 0.0, 1e-3, 0.6, 12.0):
        density = jnp.exp(-jloss.continuous_bernoulli_nll(jnp.full_like(t, logit), t, reduction="none"))
        np.testing.assert_allclose(jnp.trapezoid(density, t), 1.0, rtol=1e-3)


@pytest.mark.parametrize("loss", [lambda x, y: jloss.optimal_sigma_nll(x, y, spatial_ndim=1, epsilon=0.0), jloss.vector_quantization])
def test_vectors_without_features_cost_nothing(loss):
    value, slope = jax.value_and_grad(loss)(jnp.zeros((3, 0)), jnp.zeros((3, 0)))
    assert value == 0
    assert slope.shape == (3, 0)


@pytest.mark.slow
def test_the_optimal_variance_is_the_optimum_of_the_gaussian_likelihood():
    p, y = normal(4, 4, 3), normal(4, 4, 3)
    variance = jnp.mean(jnp.square(p - y))
    nll = jnp.sum(0.5 * jnp.square(p - y) / variance + 0.5 * jnp.log(variance)) - 24
    np.testing.assert_allclose(jloss.optimal_sigma_nll(p, y), nll, rtol=1e-5)
    assert not jax.grad(jloss.optimal_sigma_nll)(p, p).any()
    assert not jax.grad(jloss.optimal_sigma_nll)(p, p, epsilon=0.0).any()


@pytest.mark.parametrize("k", [1e-6, 1e-3, 0.1, 1.0, 30.0, 1e4])
def test_the_von_mises_fisher_divergence_in_three_dimensions(k):
    """There it is k coth k - 1 + log(k / sinh k)."""
    if k < 0.05:
        wanted, slope = k**2 / 6 - k**4 / 60, k / 3 - k**3 / 15
    else:
        wanted = k / math.tanh(k) - 1 + math.log(2 * k) - k - math.log(-math.expm1(-2 * k))
        slope = 1 / k - k / math.sinh(k) ** 2 if k < 300 else 1 / k
    got = jax.value_and_grad(jloss.von_mises_fisher_kl)(k)
    np.testing.assert_allclose(got[0], wanted, rtol=5e-6, atol=3e-6 if k > 0.5 else 0)
    np.testing.assert_allclose(got[1], slope, rtol=2e-4)


@pytest.mark.parametrize("dimension", [2, 3, 50, 100])
@pytest.mark.parametrize("k", [1e6, 1e10, 1e19, 1e36])
def test_the_von_mises_fisher_divergence_of_large_concentrations(k, dimension):
    """There the density is a Gaussian's in d - 1 dimensions: by its normaliser, and half a nat for each."""
    n = dimension - 1
    wanted = math.lgamma(0.5) - math.lgamma(dimension / 2) - (n / 2 - 1) * math.log(2) + n / 2 * (math.log(k) - 1)
    got, slope = jax.value_and_grad(lambda k: jloss.von_mises_fisher_kl(k, dimension=dimension))(k)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    np.testing.assert_allclose(slope * k, n / 2, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3, 50, 1000, 100_000])
def test_no_concentration_is_the_uniform_distribution(dimension):
    value, slope = jax.value_and_grad(lambda k: jloss.von_mises_fisher_kl(k, dimension=dimension))(0.0)
    assert (value, slope) == (0.0, 0.0)
    near = jloss.von_mises_fisher_kl(0.1, dimension=dimension)
    np.testing.assert_allclose(near, 0.01 / (2 * dimension), rtol=5e-3)
    assert jloss.von_mises_fisher_kl(inf, dimension=dimension) == inf


def test_a_sphere_has_two_dimensions_at_least():
    with pytest.raises(ValueError, match="von_mises_fisher_kl: `dimension` must be 2 or more, got 1"):
        jloss.von_mises_fisher_kl(1.0, dimension=1)


def entropy_slope(of, logits):
    """The gradient of the mean of the entropies, less that of the mean, or of 1 - exp(entropy of the mean) / k."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    n, k = p.shape
    mean = p.mean(0)
    of_mean = p * (np.log(mean) - (p * np.log(mean)).sum(1, keepdims=True)) / n  # minus the gradient of its entropy
    if of is jloss.codebook_diversity:
        return np.exp(-(mean * np.log(mean)).sum()) / k * of_mean
    return of_mean - p * (np.log(p) - (p * np.log(p)).sum(1, keepdims=True)) / n


@pytest.mark.parametrize("loss", [jloss.codebook_diversity, jloss.information_maximization])
@pytest.mark.parametrize("rare", [20.0, 45.0, 80.0])
def test_a_rare_class_has_a_second_derivative(loss, rare):
    """The square of a probability of 1e-20 is 0 in float32, and 1 over it was NaN in all of the derivative."""
    logits, along = np.random.default_rng(0).normal(size=(2, 4, 5))
    logits[:, 1] -= rare
    given = np.float32(logits), np.float32(along)
    bend = jax.jit(lambda z, d: jax.jvp(jax.grad(loss), (z,), (d,))[1])(*given)
    logits, along = map(np.float64, given)
    wanted = (entropy_slope(loss, logits + 1e-5 * along) - entropy_slope(loss, logits - 1e-5 * along)) / 2e-5
    np.testing.assert_allclose(bend, wanted, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(bend[:, 1], wanted[:, 1], rtol=1e-3, atol=1e-36)
