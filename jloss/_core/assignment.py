"""The cheapest pairing of the rows and columns of a matrix: Hungarian assignment under jit, on every platform."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from jloss._core.domains import arithmetic_dtype, is_known


def match(cost: Array, mask: Array | None = None) -> Array:
    """For each target the index of its prediction in the one-to-one assignment of least total cost; -1 if it has none.

    A target has none where `mask` is False, and if there are more targets than predictions. Costs that are NaN or infinite
    count as worse than every other. The result is an integer array without gradient; exact up to rounding, by shortest
    augmenting paths in compiled code, in time proportional to the targets that exist.

    Args:
        cost: ``(..., n, m)``, of pairing a prediction with a target.
        mask: ``(..., m)``, boolean: which targets exist.

    >>> match(jnp.array([[8.0, 4.0], [5.0, 2.0], [9.0, 6.0]]), mask=jnp.array([True, True]))
    Array([1, 0], dtype=int32)

    References:
        Jonker and Volgenant, A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems, 1987.
        https://doi.org/10.1007/BF02278710
    """
    cost = jnp.asarray(cost)
    shape = (*cost.shape[:-2], *cost.shape[-1:])
    exists = jnp.ones(shape, bool) if mask is None else jnp.asarray(mask)
    if cost.ndim < 2 or exists.shape != shape:
        raise ValueError(f"match: expected cost(..., n, m), mask(..., m), got cost{cost.shape}, mask{exists.shape}.")
    return _match(lax.stop_gradient(cost), exists)


@jax.jit
def _match(cost: Array, exists: Array) -> Array:
    one = _assign
    for _ in range(cost.ndim - 2):
        one = jax.vmap(one)
    return one(cost, exists)


def _assign(cost: Array, exists: Array) -> Array:
    """`match` of one set. Every target in turn takes its prediction along the path that costs the others least."""
    n, m = cost.shape
    if n == 0 or m == 0:
        return jnp.full(m, -1, jnp.int32)
    cost = cost.astype(arithmetic_dtype([cost]))
    usable = jnp.isfinite(cost) & exists[None, :]
    cost = cost - jnp.min(cost, where=usable, initial=jnp.inf)
    worst = 1 + 2 * jnp.max(cost, where=usable, initial=0)
    cost = jnp.where(usable, cost, worst).T
    left = max(m - n, 0) if is_known(n, m) else m
    spare = jnp.broadcast_to((n + 1) * worst, (m, left))  # for whom no prediction is left
    cost = jnp.concatenate([cost, spare], axis=1)
    zeros, unassigned = _zeros(cost, cost.dtype), _zeros(cost, jnp.int32) - 1
    start = _State(zeros[:, 0], zeros[0], unassigned[0], unassigned[:, 0])
    state, _ = lax.scan(functools.partial(_add_target, cost), start, (jnp.arange(m, dtype=jnp.int32), exists))
    return jnp.where(state.prediction < n, state.prediction, -1)


def _zeros(like: Array, dtype: DTypeLike) -> Array:
    """Zeros that vary over devices and batches as `like` does, for the carries of loops."""
    return jnp.isnan(like).astype(dtype)


class _State(NamedTuple):
    """Of the assignment: the prices that prove it optimal, and who has whom (-1: unassigned)."""

    target_price: Array
    price: Array
    owner: Array  # of each prediction
    prediction: Array  # of each target


def _add_target(cost: Array, state: _State, new: tuple[Array, Array]) -> tuple[_State, None]:
    """Dijkstra from a new target to the nearest free prediction; a target that does not exist changes nothing."""
    target, exists = new
    blank = _zeros(cost[0], cost.dtype)
    unassigned = _zeros(cost[0], jnp.int32) - 1

    def is_searching(search: _Search) -> Array:
        return (search.free < 0) & ~jnp.all(search.done)

    def visit(search: _Search) -> _Search:
        at = search.target
        reach = search.length + cost[at] - state.target_price[at] - state.price
        nearer = ~search.done & (reach < search.distance)
        distance = jnp.where(nearer, reach, search.distance)
        nearest = lax.argmin(jnp.where(search.done, jnp.inf, distance), 0, jnp.int32)
        owner = state.owner[nearest]
        return _Search(
            distance=distance,
            came_from=jnp.where(nearer, at, search.came_from),
            done=search.done | (jnp.arange(cost.shape[1], dtype=jnp.int32) == nearest),
            target=jnp.where(owner < 0, at, owner),
            length=distance[nearest],
            free=jnp.where(owner < 0, nearest, -1),
        )

    start = _Search(blank + jnp.inf, unassigned, jnp.isnan(cost[0]) | ~exists, target - unassigned[0] - 1, blank[0], unassigned[0])
    search = lax.while_loop(is_searching, visit, start)
    gain = jnp.where(search.done & exists, search.length - search.distance, 0.0)
    has_one = state.prediction >= 0
    target_gain = jnp.where(has_one, gain[jnp.where(has_one, state.prediction, 0)], 0.0)
    is_new = (jnp.arange(cost.shape[0], dtype=jnp.int32) == target) & exists

    def is_swapping(path: tuple[Array, Array, Array]) -> Array:
        return path[2] >= 0

    def swap(path: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        owner, prediction, at = path
        taker = search.came_from[at]
        left = prediction[taker]
        return owner.at[at].set(taker), prediction.at[taker].set(at), jnp.where(taker == target, -1, left)

    owner, prediction, _ = lax.while_loop(is_swapping, swap, (state.owner, state.prediction, search.free))
    target_price = state.target_price + target_gain + jnp.where(is_new, search.length, 0.0)
    return _State(target_price, state.price - gain, owner, prediction), None


class _Search(NamedTuple):
    """Of one target for a free prediction."""

    distance: Array  # of each prediction, as far as known
    came_from: Array  # the target from which each prediction is reached
    done: Array  # whose distance is final
    target: Array  # from which the search goes on
    length: Array  # of the path so far
    free: Array  # what was sought, or -1
