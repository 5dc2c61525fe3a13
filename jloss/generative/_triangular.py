"""Triangular matrices, by products and quotients alone, which are the same on every platform."""

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import select


def below_diagonal(matrix: Array, offset: int = 0) -> Array:
    """The lower triangle, zeros above it (`jnp.tril` does not know how a batch is sharded)."""
    return jnp.where(column_less_row(matrix) <= offset, matrix, 0.0)


def diagonal(matrix: Array) -> Array:
    """The diagonal (`jnp.diagonal` depends on the platform)."""
    return jnp.sum(jnp.where(column_less_row(matrix) == 0, matrix, 0.0), axis=1)


def column_less_row(matrix: Array) -> Array:
    """For each entry how far it lies above the diagonal."""
    row, column = (lax.broadcasted_iota(jnp.int32, matrix.shape, axis) for axis in (0, 1))
    return column - row


def forward_substitution(lower: Array, right: Array) -> Array:
    """The X of ``lower X = right``, by halves: products and quotients alone, the same on every platform."""
    n = lower.shape[0]
    if n == 0:
        return right
    if n == 1:
        scale = 1 / select(lower == 0, 1.0, lax.stop_gradient(lower))  # first, as the derivative would square a tiny number
        return right * scale / (lower * scale)
    half = n // 2
    top = forward_substitution(lower[:half, :half], right[:half])
    product = jnp.matmul(lower[half:, :half], top, precision=lax.Precision.HIGHEST)
    return jnp.concatenate([top, forward_substitution(lower[half:, half:], right[half:] - product)])
