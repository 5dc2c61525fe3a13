"""From one value per example to the mean over all devices."""

from typing import Any, overload

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core import backend
from jloss._core.arguments import check_array, check_static
from jloss._core.axes import per_example
from jloss._core.domains import arithmetic_dtype, check_chex, is_known
from jloss._core.signature import UNREDUCED, Reduction
from jloss._core.types import ArrayLike, AxisName, Parts, Whole, readable


@overload
def reduce(
    values: ArrayLike,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Whole = "mean",
    axis_name: AxisName = None,
) -> Array: ...
@overload
def reduce(
    values: ArrayLike,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    *,
    reduction: Parts,
    axis_name: AxisName = None,
) -> tuple[Array, Array]: ...
@overload
def reduce(
    values: ArrayLike, where: ArrayLike | None, weights: ArrayLike | None, reduction: Parts, axis_name: AxisName = None
) -> tuple[Array, Array]: ...
@readable
def reduce(
    values: ArrayLike,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduction: Reduction = "mean",
    axis_name: AxisName = None,
) -> Any:
    """Reduces one value per example, as every loss does; for losses of your own that are not written with `loss`.

    The mean is ``sum(w * l) / sum(w)`` over kept examples and over the devices of `axis_name`; 0 if nothing is kept.

    Args:
        values: One value per example.
        where: Boolean, one per example: the examples to keep.
        weights: One per example.
        reduction: ``"mean"``, ``"sum"``, ``"none"`` or ``"parts"``, the pair (total, mass).
        axis_name: The mesh axis or axes to sum over, inside `jax.shard_map`.

    >>> reduce(jnp.array([1.0, 2.0, 6.0]), weights=jnp.array([1.0, 1.0, 2.0]))
    Array(3.75, dtype=float32)
    """
    check_static("reduce", "reduction", reduction, Reduction)
    for argument, value in (("values", values), ("where", where), ("weights", weights)):
        check_array("reduce", argument, value, Array | None if argument != "values" else Array)
    numbers = jnp.asarray(values)
    check_chex(
        "assert_type",
        0 if jnp.issubdtype(numbers.dtype, jnp.complexfloating) else 0.0,
        float,
        message=lambda: f"reduce: `values` must be real numbers, got {numbers.dtype}{list(numbers.shape)}.",
        error=TypeError,
    )
    numbers = numbers.astype(arithmetic_dtype([numbers]))
    kept = None if where is None else per_example("reduce", "where", where, numbers.shape, "boolean")
    mass = None if weights is None else per_example("reduce", "weights", weights, numbers.shape, "number").astype(numbers.dtype)
    return reduce_values(numbers, *count_kept(kept, mass, reduction), mass, reduction, axis_name)


def rows_of(name: str, argument: str, inputs: Any, where: Any = None, weights: Any = None, **_: Any) -> Array:
    """The examples along the first axis of what a penalty is given; zeros for those that do not count, so that nothing they hold reaches
    a gradient. One of weight 0 counts, as in every loss, unless it holds NaN or infinity.
    """
    array = jnp.asarray(inputs)
    if not array.ndim:
        raise ValueError(f"{name}: `{argument}` has no axis of examples, the first one.")
    array = array if jnp.issubdtype(array.dtype, jnp.inexact) else array.astype(arithmetic_dtype([array]))
    keep = None if where is None else per_example(name, "where", where, array.shape[:1], "boolean")
    if weights is not None:
        usable = per_example(name, "weights", weights, array.shape[:1], "number") != 0
        usable = usable | jnp.all(jnp.isfinite(array), axis=tuple(range(1, array.ndim)))
        keep = usable if keep is None else keep & usable
    return array if keep is None else jnp.where(jnp.expand_dims(keep, tuple(range(1, array.ndim))), array, jnp.zeros_like(array))


def count_kept(where: Array | None, weights: Array | None, reduction: Any) -> tuple[Array | None, Array | None]:
    """`where`, and how many it keeps if that is the mass: an integer, since a float32 sum of ones stops growing at 2**24."""
    if where is None or weights is not None or reduction in ("none", "sum", UNREDUCED):
        return where, None
    return backend.count_true(where)


def reduce_values(
    values: Array,
    where: Array | None,
    count: Array | None,
    weights: Array | None,
    reduction: Any,
    axis_name: str | tuple[str, ...] | None = None,
    sorts: int = 0,
    lanes: bool = False,
) -> Any:
    """One value per example, reduced; `count` is how many there are, where the caller knows, the rest as in `backend.Sum`."""
    if reduction is UNREDUCED:
        return values, where, weights
    if reduction == "none":
        return keep_values(values, where, weights)[0]
    if lanes and weights is None:
        total = backend.sum_in_lanes(values, where)
    else:
        values, where, weights = keep_values(values, where, weights)
        total = backend.sum_in_lanes(values) if lanes else backend.sum_all(values)
    return reduce_total(total, values.size, where, count, weights, reduction, axis_name, sorts)


def keep_values(values: Array, where: Array | None, weights: Array | None) -> tuple[Array, Array | None, Array | None]:
    """The values times their weights, 0 where they do not count; where they count, and the weights of those that do."""
    if weights is not None:
        weights = weights.astype(values.dtype)
        harmless = (weights != 0) | jnp.isfinite(values)  # a weight of 0 removes what is not a number
        where = harmless if where is None else where & harmless
    if where is not None:
        values = backend.select(where, values, 0.0)
    if weights is not None:
        weights = backend.select(where, weights, 0.0)
        values = weights * values
    return values, where, weights


def reduce_total(
    total: Array, size: Any, where: Array | None, count: Array | None, weights: Array | None, reduction: Any, axis_name: Any, sorts: int = 0
) -> Any:
    """The total over `size` examples, over all devices, and over its mass; the rest is as in `reduce_values`."""
    if reduction == "sum":
        return total if axis_name is None else lax.psum(total, axis_name)
    every = where is None and is_known(size) and size > 0
    if every and weights is None and axis_name is None and reduction == "mean":  # a constant, which nothing has to trace
        number = np.asarray(size, total.dtype)
        return backend.late_mean(total, number, sorts) if sorts else lax.div(total, number)
    examples = jnp.asarray(size) if count is None else count
    mass = examples.astype(total.dtype) if weights is None else jnp.sum(weights)
    kept = mass != 0 if weights is None else jnp.any(weights != 0)
    if axis_name is not None:
        total, mass = lax.psum((total, mass), axis_name)
        kept = mass != 0 if weights is None else lax.psum(kept.astype(jnp.int32), axis_name) > 0
    if reduction == "parts":
        return total, mass
    if sorts and every and weights is None:
        return backend.late_mean(total, mass, sorts)
    return total / mass if every else mean_of(total, mass, kept)


def share_of_example(size: Any, count: Array | None, dtype: Any, axis_name: Any) -> Array:
    """What an example without weights is multiplied by in the mean over all devices; 0 if nothing is kept."""
    mass = jnp.asarray(size if count is None else count).astype(dtype)
    mass = mass if axis_name is None else lax.psum(mass, axis_name)
    return mean_of(jnp.ones_like(mass), mass, mass != 0)


def mean_of(total: Array, mass: Array, kept: Array) -> Array:
    """The total over the mass; 0 with gradient 0 where nothing is kept. Weights that cancel (a mass of 0) give inf or NaN."""
    return backend.select(kept, total / backend.select(kept, mass, 1.0), 0.0)
