"""Energies and bounds of mutual information: sets over devices, empty sides, scores that exp cannot hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jloss

nan = jnp.nan
RNG = np.random.default_rng(7)
JOINT, MARGINAL = (jnp.asarray(RNG.normal(size=n), jnp.float32) for n in (8, 12))
JOINT_MASK, MARGINAL_MASK = jnp.asarray([1, 1, 0, 1, 0, 0, 1, 1], bool), jnp.asarray([0, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 1], bool)
BOUNDS = {
    "donsker_varadhan": lambda *a, **k: jloss.donsker_varadhan(*a, **k),
    "clipped": lambda *a, **k: jloss.donsker_varadhan(*a, clip=0.5, **k),
    "nwj": lambda *a, **k: jloss.nwj(*a, **k),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOUNDS)
def test_a_set_over_devices_is_the_set_on_one(name):
    mesh = jax.make_mesh((4,), ("i",), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    spread = jax.shard_map(lambda *a: BOUNDS[name](*a, negatives_axis_name="i"), mesh=mesh, in_specs=P("i"), out_specs=P())
    given = jnp.where(JOINT_MASK, JOINT, nan), jnp.where(MARGINAL_MASK, MARGINAL, nan), JOINT_MASK, MARGINAL_MASK
    got, wanted = (jax.jit(jax.value_and_grad(f, (0, 1)))(*given) for f in (spread, BOUNDS[name]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), got, wanted)
    alone = BOUNDS[name](JOINT[JOINT_MASK], MARGINAL[MARGINAL_MASK])
    np.testing.assert_allclose(got[0], alone, rtol=1e-5)


@pytest.mark.parametrize("name", BOUNDS)
def test_a_side_without_items_costs_nothing(name):
    none = jnp.zeros(12, bool)
    for side in (lambda x: BOUNDS[name](x, MARGINAL, None, none), lambda x: BOUNDS[name](x, jnp.zeros(0))):
        value, slope = jax.value_and_grad(side)(JOINT)
        assert value == 0
        assert not slope.any()


@pytest.mark.slow
def test_the_bound_of_constant_scores_is_zero():
    assert jloss.donsker_varadhan(jnp.full(3, 7.0), jnp.full(5, 7.0)) == 0
    assert jloss.nwj(jnp.ones(3), jnp.ones(5)) == 0  # its best scores of independent variables are 1


def test_scores_that_exp_cannot_hold():
    value = jloss.donsker_varadhan(jnp.array([1000.0]), jnp.array([1000.0, -1000.0]))
    np.testing.assert_allclose(value, -math.log(2), rtol=1e-5)
    value, slope = jax.value_and_grad(jloss.nwj, 1)(jnp.zeros(1), jnp.array([1000.0, 0.0]))
    assert value == jnp.inf
    assert not np.isnan(slope).any()


def test_clipped_scores_have_no_slope():
    slope = jax.grad(lambda t: jloss.donsker_varadhan(jnp.zeros(1), t, clip=1.0))(jnp.array([-2.0, -1.0, 0.5, 1.0, 3.0]))
    assert [bool(s) for s in slope] == [False, False, True, False, False]
    assert np.isnan(jloss.donsker_varadhan(jnp.zeros(1), jnp.array([nan, 0.0]), clip=1.0))


def test_no_noise_samples():
    value, slope = jax.value_and_grad(jloss.noise_contrastive_estimation)(1.0, 0.0, jnp.zeros(0), jnp.zeros(0))
    assert (value, slope) == (0.0, 0.0)


def test_noise_contrast_is_a_classifier_of_true_densities():
    """Scores that are the true log-densities give the odds p / (m q)."""
    p, q, m = 0.2, 0.5, 3
    got = jloss.noise_contrastive_estimation(math.log(p), math.log(q), jnp.full(m, math.log(0.1)), jnp.full(m, math.log(0.4)))
    wanted = -math.log(p / (p + m * q)) - m * math.log(m * 0.4 / (0.1 + m * 0.4))
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.slow
def test_learning_a_normalising_constant():
    """A model exp(c - x^2 / 2) of normal data learns c = -log sqrt(2 pi), with nothing to normalise it."""
    x, y = (jnp.asarray(RNG.normal(size=s), jnp.float32) * w for s, w in ((2000, 1.0), ((2000, 5), 2.0)))
    log_q = lambda v: -(v**2) / 8 - math.log(2 * math.sqrt(2 * math.pi))  # noqa: E731

    @jax.jit
    def slope(c):
        model = lambda v: c - v**2 / 2  # noqa: E731
        return jax.grad(lambda c: jloss.noise_contrastive_estimation(c - x**2 / 2, log_q(x), c - y**2 / 2, log_q(y)))(c) + 0 * model(0.0)

    low, high = -2.0, 0.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    np.testing.assert_allclose(low, -math.log(math.sqrt(2 * math.pi)), atol=0.08)


@pytest.mark.parametrize("weight", [{}, {"alpha": jnp.float32(0.0)}])
def test_energies_whose_squares_overflow_cost_nothing_without_their_weight(weight):
    value, slopes = jax.value_and_grad(jloss.contrastive_divergence, (0, 1))(jnp.float32(3e25), jnp.float32(1e25), **weight)
    np.testing.assert_allclose(value, 2e25, rtol=1e-6)
    assert slopes == (1, -1)


def test_energies_of_a_size_that_costs():
    value, slopes = jax.value_and_grad(lambda a, b: jloss.contrastive_divergence(a, b, alpha=0.5), (0, 1))(1.0, -2.0)
    assert (float(value), *map(float, slopes)) == (1 + 2 + 0.5 * 5, 2.0, -3.0)
