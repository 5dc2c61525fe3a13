"""Balanced assignments of items to prototypes, from a number for each prototype: nothing as large as all scores is held."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.blocks import blocks_of
from jloss.numerics import logsumexp
from jloss.representation._sets import Items
from jloss.representation._tiles import Devices


def balance(given: Items, epsilon: Array | float, iterations: int, mesh: Devices) -> Array:
    """How often each prototype is asked for (a logarithm), such that less this all have about the same number of items.

    It is the sum of two: what the scores alone ask for, which may be large, and the rest, whose digits that would swallow.
    """
    blocks = blocks_of(lax.stop_gradient(given), 512)

    def balanced(i: Any, taken: Array) -> Array:
        def asked(some: Items) -> Array:
            logs = _logs(some, taken, epsilon)
            rows = logsumexp(logs, axis=1, keepdims=True)
            return logsumexp(logs - jnp.where((i > 0) & (rows > -jnp.inf), rows, 0.0), axis=0)

        more = logsumexp(lax.map(asked, blocks), axis=0, axis_name=mesh.axis_name)
        return taken.at[jnp.minimum(i, 1)].add(jnp.where(more > -jnp.inf, more, 0.0))

    nothing = mesh.total(jnp.zeros_like(given.vectors, shape=(2, *given.vectors.shape[1:])))  # of the devices of what is added to it
    return lax.fori_loop(0, iterations, balanced, nothing)


def assigned(some: Items, taken: Array, epsilon: Array | float) -> Array:
    """Assignments of items to prototypes; a constant."""
    logs = _logs(lax.stop_gradient(some), taken, epsilon)
    return jnp.where(some.kept[:, None], jax.nn.softmax(jnp.where(some.kept[:, None], logs, 0.0), axis=1), 0.0)


def _logs(some: Items, taken: Array, epsilon: Array | float) -> Array:
    first, rest = taken[:, None, :]
    return jnp.where(some.kept[:, None], some.vectors / lax.stop_gradient(epsilon), -jnp.inf) - first - rest
