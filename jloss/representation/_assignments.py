"""Balanced assignments of items to prototypes, from a number for each prototype: nothing as large as all scores is held.

All is in units of the scores, and differences are taken before they are divided by `epsilon`: XLA may round a quotient in one place and
not in another, and of large scores the difference is an exponent that overflows.
"""

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from jloss._core.blocks import blocks_of
from jloss.numerics import below
from jloss.numerics.guards import log_odds_to_peak, log_total
from jloss.representation._sets import Items
from jloss.representation._tiles import Devices


def balance(given: Items, epsilon: Array | float, iterations: int, mesh: Devices) -> Array:
    """By how much the scores of each prototype are too high, such that less this all have about the same number of items.

    It is the sum of two: the highest score, which may be large, and the rest, whose digits that would swallow.
    """
    blocks, epsilon = blocks_of(lax.stop_gradient(given), 512), lax.stop_gradient(epsilon)

    def balanced(i: Any, taken: Array) -> Array:
        def asked(some: Items) -> tuple[Array, Array]:
            scores = _less(some, taken)
            odds = below(scores, jnp.where(i > 0, log_odds_to_peak(scores)[1], 0.0))
            rows = log_total(odds / epsilon)
            gaps, peak = log_odds_to_peak(odds, 0)
            logs = log_total(gaps / epsilon - jnp.where((i > 0) & (rows > -jnp.inf), rows, 0.0), 0)
            return jnp.where(logs > -jnp.inf, peak, -jnp.inf)[0], logs[0]

        peaks, logs = lax.map(asked, blocks)
        gaps, (peak,) = log_odds_to_peak(peaks, 0, axis_name=mesh.axis_name)
        (log,) = log_total(gaps / epsilon + logs, 0, axis_name=mesh.axis_name)
        log = jnp.where(log > -jnp.inf, epsilon * log, 0.0)
        return taken + jnp.stack([jnp.where(i > 0, 0.0, peak), jnp.where(i > 0, peak, 0.0) + log])

    nothing = mesh.total(jnp.zeros_like(given.vectors, shape=(2, *given.vectors.shape[1:])))  # of the devices of what is added to it
    return lax.fori_loop(0, iterations, balanced, nothing)


def assigned(some: Items, taken: Array, epsilon: Array | float) -> Array:
    """Assignments of items to prototypes; a constant."""
    scores = jnp.where(some.kept[:, None], _less(lax.stop_gradient(some), taken), 0.0)
    odds, _ = log_odds_to_peak(scores)
    powers = jnp.exp(odds / lax.stop_gradient(epsilon))
    return jnp.where(some.kept[:, None], powers / jnp.sum(powers, axis=1, keepdims=True), 0.0)


def _less(some: Items, taken: Array) -> Array:
    """The scores less what prototypes have too much."""
    first, rest = taken[:, None, :]
    return jnp.where(some.kept[:, None], some.vectors, -jnp.inf) - first - rest
