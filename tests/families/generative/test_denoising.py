"""Diffusion at the ends of its schedule, velocities, consistency, bounds: the limits, and which input has a gradient."""

import itertools
import math
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss
from jloss.generative.denoising import Prediction, Weighting
from tests.oracles.generative.denoising import weight

inf, nan = jnp.inf, jnp.nan
RNG = np.random.default_rng(5)
PREDICTIONS, WEIGHTINGS = typing.get_args(Prediction), typing.get_args(Weighting)
ONE = (1, 1, 2)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize(("prediction", "weighting"), [*itertools.product(PREDICTIONS, WEIGHTINGS)])
def test_weights_are_the_quotients_and_their_limits(prediction, weighting):
    lambdas = np.array([-inf, -1e4, -80.0, -20.0, -3.0, 0.0, math.log(5.0), 3.0, 20.0, 80.0, 1e4, inf])
    got = jloss.diffusion_weight(jnp.asarray(lambdas, jnp.float32), prediction, weighting)
    with np.errstate(over="ignore", under="ignore"):
        wanted = np.array([weight(x, prediction, weighting) for x in lambdas]).astype(np.float32)
    np.testing.assert_allclose(got, np.where(wanted > 3.4e38, inf, wanted), rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_p2_of_any_power(prediction):
    lambdas = jnp.array([-inf, -200.0, -5.0, 0.0, 5.0, 200.0, inf])
    for gamma, k in itertools.product((0.0, 0.5, 0.99, 1.0, 1.5), (0.0, 1.0, 30.0)):
        got = jloss.diffusion_weight(lambdas, prediction, "p2", p2_gamma=gamma, p2_k=k)
        with np.errstate(all="ignore"):
            wanted = np.array([weight(float(x), prediction, "p2", p2_gamma=gamma, p2_k=k) for x in lambdas]).astype(np.float32)
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-37, err_msg=f"{gamma} {k}")


@pytest.mark.slow
def test_the_same_error_costs_the_same_whatever_is_predicted():
    """An error of x0 is one of epsilon times -alpha / sigma, and one of v times -1 / sigma."""
    error, log_snr = normal(4, 3, 3, 1), jnp.array([-2.0, 0.0, 1.5, 4.0])
    alpha, sigma = (jnp.sqrt(jax.nn.sigmoid(s * log_snr))[:, None, None, None] for s in (1, -1))
    for weighting in WEIGHTINGS[1:]:
        values = [
            jloss.diffusion(e, jnp.zeros_like(e), log_snr, prediction=p, weighting=weighting, reduction="none")
            for p, e in (("x0", error), ("epsilon", error * alpha / sigma), ("v", error / sigma))
        ]
        np.testing.assert_allclose(values[1], values[0], rtol=1e-5)
        np.testing.assert_allclose(values[2], values[0], rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"prediction": "x"}, {"weighting": "snr+1"}])
def test_a_weight_that_there_is_not(wrong):
    (option,) = wrong
    with pytest.raises(ValueError, match=f"diffusion_weight: `{option}` must be one of"):
        jloss.diffusion_weight(jnp.zeros(2), **wrong)


@pytest.mark.slow
def test_nan_in_a_log_snr_shows():
    for prediction, weighting in itertools.product(PREDICTIONS, WEIGHTINGS):
        assert np.isnan(jloss.diffusion_weight(nan, prediction, weighting)), (prediction, weighting)


# ---------------------------------------------------------------- data


def value_and_slopes(loss, *inputs, **options):
    floats = tuple(i for i, x in enumerate(inputs) if jnp.issubdtype(jnp.result_type(x), jnp.floating))
    return jax.value_and_grad(lambda *given: loss(*given, **options), floats)(*inputs)


def test_an_infinite_weight_costs_infinity_unless_the_error_is_zero():
    for error, wanted in ((1.0, inf), (0.0, 0.0)):
        predictions = jnp.array([[[error, 0.0]]])
        value, slopes = value_and_slopes(jloss.diffusion, predictions, jnp.zeros(ONE), -inf, weighting="snr_plus_one")
        assert value == wanted
        assert all(np.isfinite(s).all() for s in slopes)
        value, slopes = value_and_slopes(jloss.flow_matching, predictions, jnp.zeros(ONE), 0.0, weighting="inverse_square")
        assert value == wanted
        assert all(np.isfinite(s).all() for s in slopes)
        value, slopes = value_and_slopes(jloss.edm, predictions, jnp.zeros(ONE), 0.0)
        assert value == wanted
        assert all(np.isfinite(s).all() for s in slopes)


def test_a_datum_has_three_axes_unless_told_otherwise():
    p, y = normal(2, 4, 4, 3), normal(2, 4, 4, 3)
    log_snr = jnp.array([0.5, -1.0])
    each = jloss.diffusion(p, y, log_snr, weighting="min_snr", prediction="x0", reduction="none")
    assert each.shape == (2,)
    flat = jloss.diffusion(
        p.reshape(2, -1), y.reshape(2, -1), log_snr, weighting="min_snr", prediction="x0", reduction="none", spatial_ndim=1
    )
    np.testing.assert_allclose(each, flat, rtol=1e-6)
    np.testing.assert_allclose(flat, np.exp([0.5, -1.0]) * np.mean((np.asarray(p) - y) ** 2, axis=(1, 2, 3)), rtol=1e-5)
    with pytest.raises(ValueError, match=r"flow_matching: `predictions` has 2 axes, but needs at least 3"):
        jloss.flow_matching(jnp.zeros((8, 3)), jnp.zeros((8, 3)))


@pytest.mark.slow
def test_padding_is_removed_before_any_arithmetic():
    p, y = normal(5, 2), normal(5, 2)
    mask = jnp.arange(5)[:, None] * jnp.ones((1, 2), int) < 3
    holes = jnp.where(mask, p, nan), jnp.where(mask, y, inf)
    losses = {
        "diffusion": lambda p, y, m: jloss.diffusion(p, y, 0.3, m, weighting="sigmoid", spatial_ndim=2),
        "flow_matching": lambda p, y, m: jloss.flow_matching(p, y, 0.3, m, weighting="cosmap", spatial_ndim=2),
        "edm": lambda p, y, m: jloss.edm(p, y, 0.7, 0.2, m, spatial_ndim=2),
        "consistency_model": lambda p, y, m: jloss.consistency_model(p, y, 0.5, m, spatial_ndim=2),
    }
    for name, loss in losses.items():
        value, slope = jax.value_and_grad(loss)(*holes, mask)
        wanted, alone = jax.value_and_grad(loss)(p[:3], y[:3], None)
        np.testing.assert_allclose(value, wanted, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(slope[:3], alone, rtol=1e-5, err_msg=name)
        assert not slope[3:].any(), name
        nothing, slope = jax.value_and_grad(loss)(*holes, jnp.zeros_like(mask))
        assert nothing == (np.float32(0.2) if name == "edm" else 0), name
        assert not slope.any(), name


def test_what_is_constant_and_what_is_not():
    p, y = normal(*ONE), normal(*ONE)
    slopes = jax.grad(lambda p, y, s: jloss.diffusion(p, y, s, weighting="sigmoid"), (0, 1, 2))(p, y, 0.5)
    assert slopes[2] == 0
    np.testing.assert_allclose(slopes[0], -slopes[1])
    assert not jax.grad(lambda y: jloss.consistency_model(p, y))(y).any()
    assert jax.grad(lambda s: jloss.consistency_model(p, y, s))(0.5) < 0
    assert jax.grad(lambda s: jloss.variational_diffusion(p, y, s))(-2.0) < 0
    assert jax.grad(lambda s: jloss.edm(p, y, s))(0.5) == 0
    assert not jax.grad(lambda d: jloss.score_distillation(p, d))(y).any()


# ---------------------------------------------------------------- times and noise levels


@pytest.mark.parametrize(("t", "wanted"), [(0.0, 0.0), (1.0, 0.0), (1e-30, 0.0), (0.5, 4 / math.sqrt(2 * math.pi))])
def test_the_logit_normal_density_at_its_ends(t, wanted):
    got = jloss.flow_matching(jnp.ones(ONE), jnp.zeros(ONE), t, weighting="logit_normal")
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_the_logit_normal_density_integrates_to_one():
    t = jnp.linspace(0, 1, 4001)
    for location, scale in ((0.0, 1.0), (1.0, 0.5)):
        error = jnp.ones((4001, 1))
        density = jloss.flow_matching(
            error, 0 * error, t, weighting="logit_normal", location=location, scale=scale, spatial_ndim=1, reduction="none"
        )
        np.testing.assert_allclose(jnp.trapezoid(density, t), 1.0, rtol=1e-3)


def test_a_weight_of_time_needs_the_time():
    with pytest.raises(ValueError, match='flow_matching: `time` must be given with `weighting="cosmap"`'):
        jloss.flow_matching(jnp.ones(ONE), jnp.zeros(ONE), weighting="cosmap")


def test_the_best_uncertainty_is_the_logarithm_of_the_error():
    p, y = normal(*ONE), normal(*ONE)
    plain = float(jloss.edm(p, y, 0.7))
    slope = jax.grad(lambda u: jloss.edm(p, y, 0.7, u))(math.log(plain))
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)
    for u in (-1e4, 1e4):
        value, slopes = value_and_slopes(jloss.edm, p, p, 0.7, u)
        assert value == u
        assert slopes[3] == 1


def test_edm_is_diffusion_with_its_weight():
    """sigma = 1 / sqrt(snr): the weight snr + sigma_data**-2 of x0."""
    p, y = normal(*ONE), normal(*ONE)
    np.testing.assert_allclose(
        jloss.edm(p, y, 1.0, sigma_data=1.0), jloss.diffusion(p, y, 0.0, prediction="x0", weighting="snr_plus_one"), rtol=1e-6
    )


# ---------------------------------------------------------------- consistency and mean flows


@pytest.mark.parametrize("size", [1e-8, 1e-6, 1e-3, 1.0])
def test_the_pseudo_huber_distance_of_small_errors(size):
    """In float32 sqrt(q + c^2) - c is 0 or noise for errors that are small beside c."""
    error = jnp.full((4, 4, 3), size)
    c = 0.00054 * math.sqrt(48)
    value, slope = jax.value_and_grad(jloss.consistency_model)(error, jnp.zeros((4, 4, 3)))
    q = 48 * size**2
    np.testing.assert_allclose(value, q / (math.sqrt(q + c * c) + c), rtol=1e-5)
    np.testing.assert_allclose(slope, np.full((4, 4, 3), size / math.sqrt(q + c * c)), rtol=1e-5)


def test_without_an_offset_it_is_the_distance():
    value, slope = jax.value_and_grad(jloss.consistency_model)(jnp.array([[[3.0, 4.0]]]), jnp.zeros(ONE), c=0.0)
    np.testing.assert_allclose(value, 5.0)
    np.testing.assert_allclose(slope, [[[0.6, 0.8]]], rtol=1e-6)
    match = jax.grad(jloss.consistency_model)(jnp.ones(ONE), jnp.ones(ONE), c=0.0)
    assert not match.any()


@pytest.mark.slow
def test_a_mean_flow_through_jvp():
    """u(z, r, t) = a z: along the flow du/dt = a v, so the target is v - (t - r) a v; a step of the paper's algorithm under jit."""
    z, v = normal(8, 3), normal(8, 3)
    r, t = jnp.full(8, 0.25), jnp.linspace(0.3, 1.0, 8)

    def u(a, z, r, t):
        return a * z

    @jax.jit
    def step(a):
        out, du = jax.jvp(lambda z, r, t: u(a, z, r, t), (z, r, t), (v, jnp.zeros(8), jnp.ones(8)))
        return jloss.mean_flow(out, v, du, t - r, spatial_ndim=1)

    value, slope = jax.value_and_grad(step)(0.5)
    target = np.asarray(v) - np.asarray(t - r)[:, None] * 0.5 * np.asarray(v)
    error = 0.5 * np.asarray(z) - target
    q = np.sum(error**2, axis=1)
    np.testing.assert_allclose(value, np.mean(q / (q + 0.01)), rtol=1e-5)
    np.testing.assert_allclose(slope, np.mean(2 * np.sum(error * np.asarray(z), axis=1) / (q + 0.01)), rtol=1e-4)


@pytest.mark.slow
def test_a_network_that_has_diverged_is_seen():
    """The weight of a mean flow is 0 where the error overflows; the product would be a loss of 0."""
    far, zeros = jnp.full(ONE, 1e25), jnp.zeros(ONE)
    for output in (far, jnp.full(ONE, inf)):
        assert jloss.diffusion(output, zeros, jnp.array(1.0), weighting="min_snr") == inf
        assert jloss.flow_matching(output, zeros, jnp.array(0.5), weighting="cosmap") == inf
        assert jloss.edm(output, zeros, jnp.array(1.0)) == inf
        assert jloss.denoising_score_matching(output, zeros, jnp.array(1.0)) == inf
        assert jloss.mean_flow(output, zeros, zeros, jnp.array(0.5)) == inf
        assert jloss.consistency_model(output, zeros) == inf
    assert np.isfinite(jax.grad(jloss.mean_flow)(far, zeros, zeros, jnp.array(0.5))).all()
    assert np.isfinite(jax.grad(jloss.consistency_model)(far, zeros)).all()


def test_a_mean_flow_without_an_offset():
    zeros = jnp.zeros(ONE)
    value, slopes = value_and_slopes(jloss.mean_flow, zeros, zeros, zeros, 0.5, epsilon=0.0)
    assert value == 0
    assert not any(np.any(s) for s in slopes)


# ---------------------------------------------------------------- bounds


@pytest.mark.slow
def test_the_first_step_is_a_likelihood_and_the_others_are_divergences():
    m, v, tm, tv = (normal(2, 2, 1) for _ in range(4))
    x = jnp.array([-1.0, 1.0, 1 / 255, -3 / 255]).reshape(2, 2, 1)
    first = jloss.variational_bound(m, v, m * nan, tv * nan, x, True)
    nats = jloss.discretized_gaussian_nll(m, v / 2, x)
    np.testing.assert_allclose(first, nats / math.log(2), rtol=1e-5)
    later = jloss.variational_bound(m, v, tm, tv, x * nan, False)
    kl = jloss.gaussian_kl(tm.ravel(), tv.ravel(), m.ravel(), v.ravel())
    np.testing.assert_allclose(later, kl / 4 / math.log(2), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_a_datum_without_numbers_costs_nothing(first):
    assert jloss.variational_bound(*jnp.zeros((5, 0, 2, 3)), first) == 0


@pytest.mark.slow
def test_the_term_that_is_not_taken_reaches_no_gradient():
    def slopes(first, *inputs):
        return jax.grad(lambda *given: jloss.variational_bound(*given, first), (0, 1, 2, 3, 4))(*inputs)

    m, v, tm, tv, x = (normal(2, 2, 1) for _ in range(5))
    holes = jnp.full((2, 2, 1), nan)
    for got in (slopes(False, m, v, tm, tv, holes), slopes(True, m, v, holes, holes, x)):
        assert all(np.isfinite(s).all() for s in got)
    fixed = jax.grad(lambda m: jloss.variational_bound(m, v, tm, tv, x, False, fixed_means=True))(m)
    assert not fixed.any()


@pytest.mark.slow
def test_a_mixed_batch_over_devices():
    given = [normal(8, 2, 2, 1) for _ in range(5)]
    first = jnp.arange(8) % 3 == 0
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])

    def loss(*inputs):
        return jloss.variational_bound(*inputs)

    spread = jax.shard_map(lambda *a: jloss.variational_bound(*a, axis_name="i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    got, wanted = (jax.jit(jax.value_and_grad(f))(*given, first) for f in (spread, loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, wanted)


def test_the_bound_in_discrete_steps_is_that_of_the_slope():
    """expm1(log_snr_s - log_snr_t) T / 2 of the squared error, as in VDM's code."""
    p, y, s, t, steps = normal(*ONE), normal(*ONE), 1.5, 0.7, 100
    slope = steps * (1 - math.exp(s - t))
    np.testing.assert_allclose(
        jloss.variational_diffusion(p, y, slope), 0.5 * steps * math.expm1(s - t) * np.sum((np.asarray(p) - y) ** 2), rtol=1e-5
    )


# ---------------------------------------------------------------- scores


def test_a_direction_is_the_gradient():
    d, x = normal(4, *ONE), normal(4, *ONE)
    value, slope = jax.value_and_grad(jloss.score_distillation)(x, d)
    np.testing.assert_allclose(value, np.sum(np.asarray(d) ** 2) / 8, rtol=1e-6)
    np.testing.assert_allclose(slope, d / 4, rtol=1e-6)


def test_no_noise_at_all():
    value, slope = jax.value_and_grad(jloss.denoising_score_matching)(normal(*ONE), jnp.array([[[3.0, 4.0]]]), 0.0)
    assert value == 12.5
    assert not slope.any()


def test_score_matching_of_a_gaussian_through_jvp():
    """The score -a x of N(0, 1/a): the losses are a^2 |x|^2 / 2 - a d, minimal at a = 1 / var; the sliced form agrees in the mean."""
    x = normal(4096, 2)
    signs = jnp.asarray(RNG.choice([-1.0, 1.0], (4096, 2)), jnp.float32)

    @jax.jit
    def losses(a):
        score = lambda x: -a * x  # noqa: E731
        s, along = jax.jvp(score, (x,), (signs,))
        exact = jloss.score_matching(s, jnp.sum(signs * along, axis=1), spatial_ndim=1)
        return exact, jloss.sliced_score_matching(s, along, signs, spatial_ndim=1)

    exact, sliced = losses(0.8)
    squares = np.mean(np.sum(np.asarray(x) ** 2, axis=1))
    np.testing.assert_allclose(exact, 0.32 * squares - 1.6, rtol=1e-4)
    np.testing.assert_allclose(sliced, exact, atol=0.06)
    slope = jax.grad(lambda a: losses(a)[0])(2 / squares)
    np.testing.assert_allclose(slope, 0.0, atol=1e-5)
