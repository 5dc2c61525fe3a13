"""Dynamic programmes over time: one scan that keeps only its states, and the pieces that sequence losses share."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import Array, lax

State = TypeVar("State")


def recursion(
    step: Callable[[State, Any], State],
    state: State,
    rows: Any,
    *,
    chunk_size: int | None = None,
    prepare: Callable[..., Any] | None = None,
) -> State:
    """``step(state, row)`` over the leading axis of `rows`.

    The gradient keeps one state per row and computes the rest of a step again; with `chunk_size` it keeps one state per chunk.
    `prepare(*rows)` turns the rows of a chunk into what the steps read, again inside the chunk.
    """
    light = jax.checkpoint(step, prevent_cse=False)

    def run(state: State, rows: Any) -> State:
        read = rows if prepare is None else prepare(*rows)
        return lax.scan(lambda state, row: (light(state, row), None), state, read)[0]

    if chunk_size is None:
        return run(state, rows)
    run = jax.checkpoint(run, prevent_cse=False)
    count = jax.tree.leaves(rows)[0].shape[0]
    whole = count - count % chunk_size
    chunks = jax.tree.map(lambda x: x[:whole].reshape(-1, chunk_size, *x.shape[1:]), rows)
    state = lax.scan(lambda state, chunk: (run(state, chunk), None), state, chunks)[0]
    return run(state, jax.tree.map(lambda x: x[whole:], rows)) if whole < count else state


def log_normalizer(logits: Array) -> tuple[Array, Array]:
    """The pair ``log sum exp(logits - peak)``, ``peak`` over the last axis, which is kept.

    Like `_math.log_partition`, but the gradient computes the exponentials again: an array as large as the logits is not kept.
    """
    peak = jnp.max(lax.stop_gradient(logits), axis=-1, keepdims=True)
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    total = jax.checkpoint(lambda logits, peak: jnp.sum(jnp.exp(logits - peak), axis=-1, keepdims=True))(logits, peak)
    return jnp.log(total), peak


def inside(length: Array, size: int) -> Array:
    """Which of `size` steps come before `length`."""
    return jnp.arange(size, dtype=length.dtype) < length
