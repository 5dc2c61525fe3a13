"""Sums over the steps of a sequence that count."""

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select, sum_of_column
from jloss.numerics import safe_divide


def masked_steps(values: Array, mask: Array | None) -> Array:
    """Zeros in the steps that do not count, whatever they hold."""
    return values if mask is None else select(mask, values, mask.astype(values.dtype))


def mean_over_steps(values: Array, mask: Array | None) -> Array:
    """The mean of the steps that count; 0 if there is none."""
    if mask is None:
        return sum_of_column(values) / max(values.size, 1)
    return safe_divide(sum_of_column(masked_steps(values, mask)), jnp.sum(mask.astype(values.dtype)))
