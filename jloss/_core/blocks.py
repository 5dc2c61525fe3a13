"""Sums over blocks of rows, each computed again for its gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.chunks import _vary, _varying_axes


def blocks_of(rows: Any, size: int) -> Any:
    """Blocks of about `size` rows, arrays with one leading axis more; one block if there are few rows, or no such blocks of equal size."""
    n = jax.tree.leaves(rows)[0].shape[0]
    count = next((c for c in range(-(-n // size), -(-2 * n // size)) if n % c == 0), 1) if isinstance(n, int) and n else 1
    return jax.tree.map(lambda a: a.reshape(count, a.shape[0] // count, *a.shape[1:]) if count > 1 else a[None], rows)


def sum_over_blocks(function: Callable[[Any], Array], rows: Any, size: int, beside: Array | None = None) -> Array:
    """The sum of ``function(some)``, an array that does not grow with the rows, over blocks of about `size` rows; each is computed again
    for its gradient. At once if there are few rows, or no such blocks of equal size. `beside` is what else the function holds on to."""
    blocks = blocks_of(rows, size)
    if jax.tree.leaves(blocks)[0].shape[0] == 1:
        return function(rows)
    start = jax.tree.map(lambda a: a[0], blocks)
    kind, axes = jax.eval_shape(function, start), _varying_axes(function, start)
    (zeros,) = [_vary(jnp.zeros(kind.shape, kind.dtype), axes)] if beside is None else _nothing([kind], beside, axes)
    return lax.scan(lambda total, some: (total + jax.checkpoint(function)(some), None), zeros, blocks)[0]


def _nothing(kinds: Sequence[Any], beside: Array, axes: frozenset[str]) -> list[Array]:
    """Zeros of the mesh of an array `beside`: a number, a constant, is otherwise of none, and no loop takes it on an explicit mesh."""
    zero = jnp.sum(beside[:0])
    return [_vary(jnp.zeros(a.shape, a.dtype), axes) + zero.astype(a.dtype) for a in kinds]
