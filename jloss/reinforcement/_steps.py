"""Sums over the steps of a sequence that count."""

import jax.numpy as jnp
from jax import Array

from jloss._core.backend import select
from jloss.numerics import safe_divide


def masked_steps(values: Array, mask: Array | None) -> Array:
    """Zeros in the steps that do not count, whatever they hold."""
    return values if mask is None else jnp.where(mask, values, jnp.zeros_like(values))


def mean_over_steps(values: Array, mask: Array | None) -> Array:
    """The mean of the steps that count; 0 if there is none."""
    values, kept = (values, jnp.ones_like(values)) if mask is None else (select(mask, values, 0.0), mask.astype(values.dtype))
    return safe_divide(jnp.sum(values), jnp.sum(kept))
