"""The loss of a temporal difference, and discounted targets."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import few, select, with_derivative_of
from jloss.numerics import pick
from jloss.reinforcement.returns import discounted

FEW_ACTIONS = 8  # are added one by one: as a sum over so short an axis their mean took CPUs 40% of the time of `retrace`


def error_loss(error: Array, delta: Array | float | None) -> Array:
    """Half the square, or the Huber loss, with slope `delta` beyond it."""
    if delta is None:
        return 0.5 * jnp.square(error)
    within = jnp.clip(error, -delta, delta)
    return within * (error - 0.5 * within)


def one_step_target(rewards: Array, discounts: Array, following: Array) -> Array:
    """What a value should be, given what follows: a constant for the gradient."""
    return lax.stop_gradient(rewards + discounted(discounts, following))


def expected(probs: Array, values: Array) -> Array:
    """The mean of values under probabilities; a value of probability 0 may be infinite."""
    if not 0 < probs.shape[-1] <= FEW_ACTIONS:
        return jnp.sum(_terms(probs, values), axis=-1)
    return functools.reduce(jnp.add, (_terms(probs[..., c], values[..., c]) for c in range(probs.shape[-1])))


def _terms(probs: Array, values: Array) -> Array:
    return probs * select(probs == 0, probs, values)


def of_action(values: Array, actions: Array) -> Array:
    """The value of the action of each step; NaN for one out of range. A few are selected one by one, as they are added."""
    count = values.shape[-1]
    if few() or not 0 < count <= FEW_ACTIONS:
        return jax.vmap(pick)(values, actions)

    def nan_outside(chosen: Array, actions: Array) -> Array:
        return chosen + select((actions >= 0) & (actions < count), jnp.zeros_like(chosen), jnp.nan)

    def selected(values: Array, actions: Array) -> Array:
        chosen = functools.reduce(lambda chosen, c: select(actions == c, values[..., c], chosen), range(1, count), values[..., 0])
        return nan_outside(chosen, actions)

    def summed(values: Array, actions: Array) -> Array:
        own = actions[..., None] == lax.broadcasted_iota(actions.dtype, values.shape, values.ndim - 1)
        return nan_outside(jnp.sum(jnp.where(own, values, 0.0), axis=-1), actions)

    return with_derivative_of(summed, selected)(values, actions)
