"""Arithmetic that is computed another way than jax does it, beside NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jloss.numerics import _special

RNG = np.random.default_rng(0)
Y, X = (np.float32(RNG.normal(size=100_000) * 10 ** RNG.uniform(-9, 9, 100_000)) for _ in range(2))


def test_angle_to_five_units_in_the_last_place():
    axes = np.float32([[0, 1], [0, -1], [1, 0], [-1, 0], [1, 1], [1, -1], [-1, -1], [0, 2e-19], [1e-30, -1e30], [np.inf, 1], [1, -np.inf]])
    y, x = np.concatenate([Y, axes[:, 0]]), np.concatenate([X, axes[:, 1]])
    wanted = np.arctan2(y.astype(np.float64), x)
    got = np.asarray(jax.jit(_special.angle)(y, x))
    assert got.dtype == np.float32
    assert np.max(np.abs(got - wanted) / np.spacing(np.abs(wanted).astype(np.float32))) < 5


@pytest.mark.parametrize("y", [0.0, 0.3, -2.0, np.nan])
@pytest.mark.parametrize("x", [1.0, -0.7])
def test_angle_has_the_derivatives_of_arctan2(y, x):
    def derivatives(f):
        return [
            d(f, (0, 1))(jnp.float32(y), jnp.float32(x)) for d in (jax.grad, jax.hessian, lambda f, at: jax.jacfwd(jax.hessian(f, at), at))
        ]

    jax.tree.map(np.testing.assert_array_equal, derivatives(_special.angle), derivatives(jnp.arctan2))
    assert np.isnan(_special.angle(jnp.float32(y), jnp.float32(x))) == np.isnan(y)


def test_angle_in_double_precision_is_arctan2():
    with jax.enable_x64(True):
        np.testing.assert_array_equal(_special.angle(jnp.float64(0.3), jnp.float64(-0.7)), np.arctan2(0.3, -0.7))
