"""Sums over the tokens of a sequence that count, and over devices that share them."""

import jax.numpy as jnp
from jax import Array, lax


def sum_over(value: Array, axis_name: str | None) -> Array:
    return value if axis_name is None else lax.psum(value, axis_name)


def masked_steps(values: Array, mask: Array | None) -> Array:
    """Zeros (class 0) in the steps that do not count."""
    return values if mask is None else jnp.where(jnp.expand_dims(mask, range(1, values.ndim)), values, jnp.zeros_like(values))


def over_steps(values: Array, mask: Array | None) -> tuple[Array, Array]:
    """The sum over the steps that count, and their number."""
    if mask is None:
        return jnp.sum(values), jnp.asarray(values.shape[0]).astype(values.dtype)
    return jnp.sum(jnp.where(mask, values, 0.0)), jnp.sum(mask.astype(values.dtype))
