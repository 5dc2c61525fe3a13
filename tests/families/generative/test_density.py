"""Likelihoods of bins add up to one, in the tails, too, and keep their gradients where a floor would lose them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jloss
from jloss.generative._bins import _mills

GRID = (-1 + 2 * np.arange(256) / 255).astype(np.float32)


def grid(bins):
    return jnp.asarray(-1 + 2 * np.arange(bins) / (bins - 1), jnp.float32)


def logistic(mean, log_scale, targets, **options):
    """One channel, one component, all targets."""
    n = len(targets)
    shape = (n, 1, 1)
    return jloss.discretized_logistic_mixture(
        jnp.zeros((n, 1)), jnp.full(shape, mean), jnp.full(shape, log_scale), targets[:, None], reduction="none", **options
    )


def gaussian(mean, log_scale, targets, **options):
    n = len(targets)
    return jloss.discretized_gaussian_nll(jnp.full(n, mean), jnp.full(n, log_scale), targets, reduction="none", **options)


@pytest.mark.parametrize("bins", [2, 3, 256])
@pytest.mark.parametrize("law", [logistic, gaussian], ids=["logistic", "gaussian"])
@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, -6.0), (0.3, -2.0), (-1.4, 0.0), (5.0, 1.0), (0.1, 6.0)])
def test_all_values_together_are_certain(law, bins, mean, log_scale):
    np.testing.assert_allclose(jnp.sum(jnp.exp(-law(mean, log_scale, grid(bins), bins=bins))), 1.0, rtol=2e-5)


def test_two_bins_are_a_coin():
    np.testing.assert_allclose(logistic(0.5, 0.0, grid(2), bins=2), [math.log1p(math.exp(0.5)), math.log1p(math.exp(-0.5))], rtol=1e-6)


@pytest.mark.parametrize("log_scale", [-6.9, -3.0, 0.0, 7.0, 100.0])
def test_a_logistic_bin_far_out(log_scale):
    """The mass of the bin at 0 under a mean of 1: in the tail sigma(a) - sigma(b) is e^a - e^b."""
    s, h = math.exp(log_scale), 1 / 254
    value, slope = jax.value_and_grad(lambda m: logistic(m, log_scale, jnp.zeros(1), bins=255)[0])(1.0)
    a, b = (1 - h) / s, (1 + h) / s  # both edges below the mean: sigma(-a) - sigma(-b), and 1 - e^-(b - a)
    gap = math.log(-math.expm1(-2 * h / s)) if s < 1e6 else math.log(2 * h) - log_scale
    np.testing.assert_allclose(value, a + math.log1p(math.exp(-a)) + math.log1p(math.exp(-b)) - gap, rtol=1e-5)
    below, above = 1 / (1 + math.exp(-a)), math.exp(-b) / (1 + math.exp(-b))
    np.testing.assert_allclose(slope, (below - above) / s, rtol=1e-5, atol=1e-7 / s)


def test_a_floor_of_the_scale_has_no_slope():
    slope = jax.grad(lambda s: logistic(0.2, s, jnp.zeros(1), bins=255)[0])
    assert slope(-7.0) == 0
    assert slope(-9.0) == 0
    assert slope(-6.0) != 0


def test_channels_depend_on_those_before_them():
    """Coefficients in the order (1,0), (2,0), (2,1)."""
    x = GRID[[10, 100, 200]]
    coefficients = jnp.array([[0.3], [-0.7], [1.1]])
    a = np.tanh(np.array([0.3, -0.7, 1.1]))
    moved = np.array([0.1, 0.2 + a[0] * x[0], 0.3 + a[1] * x[0] + a[2] * x[1]], np.float32)
    scales = jnp.full((3, 1), -1.0)
    got = jloss.discretized_logistic_mixture(jnp.zeros(1), jnp.array([[0.1], [0.2], [0.3]]), scales, x, coefficients)
    wanted = sum(float(logistic(m, -1.0, jnp.asarray([v]))[0]) for m, v in zip(moved, x, strict=True))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize("coefficient", [0.0, 4.0, -8.0, 9.5, -12.4])
def test_a_coefficient_far_out_keeps_its_slope(coefficient):
    """What the second mean takes of the first channel hardly moves with a large coefficient: by 1 / cosh^2."""
    x, means, s, h = np.float32([0.6, -0.2]).astype(np.float64), np.float32([0.1, -0.4]).astype(np.float64), math.exp(-1), 1 / 255
    value, slope = jax.value_and_grad(jloss.discretized_logistic_mixture, 4)(
        jnp.zeros(1), jnp.float32(means)[:, None], jnp.full((2, 1), -1.0), jnp.float32(x), jnp.full((1, 1), coefficient)
    )
    gap = x - means - np.array([0, math.tanh(coefficient) * x[0]])
    above, below = (1 / (1 + np.exp(-(gap + side) / s)) for side in (h, -h))
    np.testing.assert_allclose(value, -np.sum(np.log(above - below)), rtol=1e-5)
    by_mean = (1 - above[1] - below[1]) / s
    np.testing.assert_allclose(slope[0, 0], by_mean * x[0] / math.cosh(coefficient) ** 2, rtol=1e-5)


@pytest.mark.slow
def test_a_component_without_weight_does_not_matter():
    means, scales = jnp.array([[0.0, 50.0]]), jnp.zeros((1, 2))
    value, slopes = jax.value_and_grad(jloss.discretized_logistic_mixture, (0, 1))(jnp.array([0.0, -jnp.inf]), means, scales, jnp.zeros(1))
    np.testing.assert_allclose(value, logistic(0.0, 0.0, jnp.zeros(1))[0], rtol=1e-6)
    assert all(np.isfinite(s).all() for s in slopes)


def test_coefficients_and_bins_that_do_not_fit():
    given = jnp.zeros(2), jnp.zeros((3, 2)), jnp.zeros((3, 2)), jnp.zeros(3)
    with pytest.raises(ValueError, match="`coefficients` must have 3 rows, one for each pair of 3 channels, got 2"):
        jloss.discretized_logistic_mixture(*given, jnp.zeros((2, 2)))
    with pytest.raises(ValueError, match="discretized_logistic_mixture: `bins` must be 2 or more, got 1"):
        jloss.discretized_logistic_mixture(*given, bins=1)
    with pytest.raises(ValueError, match="discretized_gaussian_nll: `bins` must be 2 or more, got 0"):
        jloss.discretized_gaussian_nll(0.0, 0.0, 0.0, bins=0)


# ---------------------------------------------------------------- the normal distribution


def exact_ratio(x):
    """``P(X > x)`` over the density, by a continued fraction of 400 terms in float64, or by erfc."""
    if x < 5:
        return math.sqrt(math.pi / 2) * math.exp(x * x / 2) * math.erfc(x / math.sqrt(2))
    r = x
    for n in range(400, 0, -1):
        r = x + n / r
    return 1 / r


def exact_tail(x):
    """``log P(X > x)``."""
    return math.log(exact_ratio(x)) - x * x / 2 - math.log(2 * math.pi) / 2


@pytest.mark.slow
@pytest.mark.parametrize("x64", [False, True])
def test_the_ratio_of_mills(x64):
    with jax.enable_x64(x64):
        x = jnp.concatenate([jnp.linspace(0, 8, 161), jnp.geomspace(8.0, 1e3, 20)])
        wanted = np.array([exact_ratio(float(v)) for v in x])
        np.testing.assert_allclose(_mills(x), wanted, rtol=1e-13 if x64 else 6e-7)
        slope, bend = jax.vmap(jax.grad(_mills)), jax.vmap(jax.grad(jax.grad(_mills)))
        near = np.asarray(x, np.float64)[:161]  # far out these differences have no digits
        slopes = near * wanted[:161] - 1
        np.testing.assert_allclose(slope(x)[:161], slopes, rtol=2e-11 if x64 else 1e-6)
        np.testing.assert_allclose(bend(x)[:161], wanted[:161] + near * slopes, rtol=1e-9 if x64 else 2e-5)


@pytest.mark.parametrize("deviations", [2, 3, 4, 10, 100, 1000])
def test_a_normal_bin_in_the_tail(deviations):
    """The bin at 0 of scale 1/100 under a mean so many deviations away; improved DDPM's code is 45 % too low at four."""
    s, h = 0.01, 1 / 254
    mean = deviations * s
    value, slope = jax.value_and_grad(lambda m: gaussian(m, math.log(s), jnp.zeros(1), bins=255)[0])(mean)
    near, far = deviations - h / s, deviations + h / s
    wanted = -(exact_tail(near) + math.log1p(-math.exp(exact_tail(far) - exact_tail(near))))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    density = [math.exp(-(x**2) / 2 - math.log(2 * math.pi) / 2 + wanted) if deviations < 30 else 0.0 for x in (near, far)]
    if deviations < 30:
        np.testing.assert_allclose(slope, (density[0] - density[1]) / s, rtol=1e-4)
    else:
        np.testing.assert_allclose(slope, near / s, rtol=1e-2)  # where a floor has no slope at all


@pytest.mark.parametrize("log_scale", [0.0, 3.0, 8.0, 60.0])
def test_a_wide_normal_is_its_density_times_the_width(log_scale):
    """In float32 a difference of two distribution functions has no digit left from a scale of e^8 on."""
    z = 0.5 * math.exp(-log_scale)
    wanted = z * z / 2 + math.log(2 * math.pi) / 2 + log_scale - math.log(2 / 254)
    np.testing.assert_allclose(gaussian(0.5, log_scale, jnp.zeros(1), bins=255)[0], wanted, rtol=1e-5)


def test_the_end_bins_reach_to_infinity():
    low, high = gaussian(-1.0, 0.0, jnp.array([-1.0, 1.0]))
    np.testing.assert_allclose(low, -math.log(0.5 * math.erfc(-1 / 255 / math.sqrt(2))), rtol=1e-5)
    np.testing.assert_allclose(high, -exact_tail(2 - 1 / 255), rtol=1e-5)
    far = gaussian(-1e4, -5.0, jnp.array([-1.0, 1.0]))
    assert far[0] == 0
    assert far[1] > 1e11


@pytest.mark.slow
@pytest.mark.parametrize("log_scale", [-50.0, -1e4])
def test_a_scale_of_nothing(log_scale):
    values, slopes = jax.vmap(jax.value_and_grad(lambda m: gaussian(m, log_scale, jnp.zeros(1), bins=255)[0]))(jnp.array([0.0, 1e-3, 0.5]))
    np.testing.assert_array_equal(values[:2], [0.0, 0.0])
    assert values[2] > 1e30
    assert not np.isnan(slopes).any()


@pytest.mark.slow
@pytest.mark.parametrize("log_scale", [0.0, 3.0, -math.inf])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_mean_at_infinity_is_sure_of_the_last_bin(side, log_scale):
    """Of two components, equally likely, it has all of the last bin on its side and nothing of the others."""
    targets = jnp.array([side, 1 / 255, -side], jnp.float32)

    def loss(means, log_scales):
        return jax.vmap(lambda x: jloss.discretized_logistic_mixture(jnp.zeros(2), means, log_scales, x[None]))(targets)

    given = jnp.array([[side * math.inf, 0.0]]), jnp.array([[log_scale, 0.0]])
    other = np.asarray(logistic(0.0, 0.0, targets))
    np.testing.assert_allclose(loss(*given), math.log(2) - np.log(np.exp(-other) + np.eye(3)[0]), rtol=1e-5)
    for slope in jax.jacobian(loss, (0, 1))(*given):
        assert np.isfinite(slope).all()
        np.testing.assert_array_equal(slope[:, 0, 0], np.zeros(3))
    value, slope = jax.value_and_grad(lambda m: logistic(m, log_scale, -targets[:1])[0])(side * math.inf)
    assert value > 1e36
    assert slope == 0


def test_a_mean_and_a_scale_at_infinity_have_no_nan():
    for given in ((math.inf, math.inf), (-math.inf, 1e30), (math.inf, 80.0)):
        for target in (-1.0, 1 / 255, 1.0):
            value, slopes = jax.value_and_grad(lambda m, s, x=target: logistic(m, s, jnp.array([x]))[0], (0, 1))(*given)
            assert not np.isnan(value)
            assert not np.isnan(slopes).any()


@pytest.mark.slow
def test_second_derivatives_of_bins():
    """Of a density: 1 / s^2 of the normal one, and twice the density at the middle over the scale of the logistic one."""
    for law, wanted in ((gaussian, math.exp(-2)), (logistic, math.exp(-2) / 2)):
        curvature = jax.grad(jax.grad(lambda m, law=law: law(m, 1.0, jnp.zeros(1), bins=255)[0]))(0.0)
        np.testing.assert_allclose(curvature, wanted, rtol=1e-3)


# ---------------------------------------------------------------- flows and bits


def test_a_flow_that_scales():
    x, scale = jnp.array([1.0, -2.0]), 3.0
    np.testing.assert_allclose(
        jloss.flow_nll(x / scale, -2 * math.log(scale)),
        sum((v / 3) ** 2 / 2 for v in (1, 2)) + math.log(2 * math.pi) + 2 * math.log(3),
        rtol=1e-6,
    )


def test_bits_per_dimension():
    assert jloss.generative.bits_per_dimension(0.0, 12, bins=256) == 8
    np.testing.assert_allclose(jloss.generative.bits_per_dimension(jnp.array([math.log(256) * 12]), 12), [8.0], rtol=1e-6)
    with pytest.raises(ValueError, match="bits_per_dimension: `dimensions` and `bins` must be 1 or more, got 0 and 1"):
        jloss.generative.bits_per_dimension(0.0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [np.inf, -np.inf, 3.4e38, -3.4e38, 1e19, -1e19])
def test_a_normal_distribution_infinitely_far_away(mean):
    """All of its mass is in the last bin on its side, which costs nothing; any other costs infinity, and none has a gradient of NaN."""
    targets = jnp.array([-1.0, 1 / 255, 1.0])
    slopes = jax.jacobian(lambda *given: jloss.discretized_gaussian_nll(*given, reduction="none"), (0, 1, 2))
    given = jnp.full(3, mean, jnp.float32), jnp.full(3, -2.0), targets
    sure = np.sign(mean) == targets
    np.testing.assert_array_equal(jloss.discretized_gaussian_nll(*given, reduction="none"), np.where(sure, 0, np.inf))
    for gradient in slopes(*given):
        assert not np.isnan(gradient).any()
        assert not np.diag(gradient)[np.asarray(sure)].any()
    zeros = jnp.zeros((2, 2, 1))
    bound = functools.partial(jloss.variational_bound, log_variances=zeros, true_means=zeros, true_log_variances=zeros)
    value, gradient = jax.value_and_grad(lambda m: bound(m, targets=zeros + jnp.sign(m), first=jnp.array(True)))(zeros + mean)
    assert value == 0
    assert not gradient.any()
