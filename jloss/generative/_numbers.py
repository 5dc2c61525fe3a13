"""Arithmetic that the generative losses share: products with infinite weights, logarithms of hyperbolic functions, means of a datum."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import gram, select
from jloss.numerics import log1mexp, log_softmax, normalize
from jloss.numerics._special import softmax_entropy

# B(2n) / (2n (2n)!): the coefficients of y^2, y^4, ... in log(sinh(y/2) / (y/2)).
LOG_SINHC = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -691 / 15692092416000, 1 / 1046139494400)


def times(weight: Array | float, x: Array) -> Array:
    """The product of two numbers of 0 or more, where 0 times infinity is 0; an infinite one has gradient 0, not NaN."""
    endless, other = jnp.asarray(weight == jnp.inf), x == jnp.inf
    product = select(endless, 0.0, weight) * select(other, 0.0, x)
    return select((endless & (x > 0)) | (other & (weight > 0)), jnp.inf, product)


def log_sinhc(y: Array) -> Array:
    """``log(sinh(y/2) / (y/2))``: even, and to the last digit also near 0, where it is ``y**2 / 24``."""
    size = jnp.abs(y)
    near = size < 0.5
    far = select(near, 1.0, size)
    return select(near, _log_sinhc_series(select(near, y, 0.0)), far / 2 - jnp.log(far) + log1mexp(-far))


def log1mexp_small(y: Array, log_y: Array) -> Array:
    """``log(1 - exp(-y))`` of a positive number and its logarithm, which alone is known where `y` underflows."""
    near = y < 0.5
    series = log_y - y / 2 + _log_sinhc_series(select(near, y, 0.0))
    return select(near, series, jnp.log1p(-jnp.exp(-select(near, 1.0, y))))


def _log_sinhc_series(y: Array) -> Array:
    """For ``|y| < 0.5``."""
    square, terms = jnp.square(y), 7 if y.dtype == jnp.float64 else 4
    series = jnp.zeros_like(square)
    for coefficient in reversed(LOG_SINHC[:terms]):
        series = square * (coefficient + series)
    return series


def mean_or_zero(numbers: Array) -> Array:
    """The mean; 0 if there are no numbers."""
    return jnp.mean(numbers) if numbers.size != 0 else jnp.sum(numbers)


def probabilities_and_entropy(logits: Array) -> Array:
    """Of each row the probabilities of the classes, and at last their entropy."""
    return jnp.concatenate([jnp.exp(log_softmax(logits)), jax.vmap(softmax_entropy)(logits)[:, None]], axis=1)


def products_of_units(rows: Array, of_features: bool) -> Array:
    """The inner products of the unit vectors of rows with each other, or of the features of these."""
    units = normalize(rows).T if of_features else normalize(rows)
    return gram(lambda first, second: jnp.matmul(first, second.T, precision=lax.Precision.HIGHEST), units)
