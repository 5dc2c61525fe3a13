"""Sorting, where the order is a constant for the gradient, and what stands in for it in short rows.

CPUs sort plain integers several times as fast as floats, or as integers that carry a payload. So there the number, a flag and the
place of the number are one 64-bit integer; elsewhere `lax.sort` carries them along.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.backend import by_platform, few, on_one_cpu
from jloss._core.domains import is_known

LARGE = 1 << 14  # numbers from which sorting the rows of an example is worth two programs, whose temporaries are smaller, too
LARGER = 1 << 18  # and from which any rows are worth many
PARTS = 12
SHORT = 128  # numbers of a row, up to which CPUs compare each with each in less time than they sort
AT_ONCE = 8  # with how many of them at once


def ascending(x: Array) -> Array:
    """Numbers of 0 or more in ascending order, NaN last: their bits order as they do."""
    if few():
        return lax.sort(lax.stop_gradient(x))
    bits = lax.bitcast_convert_type(lax.stop_gradient(x), jnp.dtype(f"int{8 * x.dtype.itemsize}"))
    return lax.bitcast_convert_type(by_platform(bits, cpu=_in_parts(lax.sort), default=lax.sort), x.dtype)


def order_of(keys: Array) -> Array:
    """The places of the numbers along the last axis in ascending order; of equal numbers the first comes first.

    `lax.sort` itself cannot be differentiated where the batch is explicitly sharded; ``x[order_of(x)]`` can.
    """
    return _ranked(keys, None)[1]


def inverse_of(order: Array) -> Array:
    """The rank of each place in an order."""
    return by_place(order, _places(order, jnp.int32))


def by_rank(function: Callable[[Array], Array], keys: Array, flags: Array) -> Array:
    """`function` of the flags in ascending order of their keys along the last axis, put back in place. At a tie False comes first."""
    ranked, place = _ranked(keys, flags)
    return by_place(place, function(ranked))


def by_place(places: Array, x: Array) -> Array:
    """``result[..., places[i]] = x[..., i]`` for places that are a permutation of the last axis."""

    def scattered(places: Array, x: Array) -> Array:
        put = jnp.vectorize(lambda i, x: jnp.zeros_like(x).at[i].set(x, unique_indices=True), signature="(n),(n)->(n)")
        return put(places, x)

    def carried(places: Array, x: Array) -> Array:
        return lax.sort((places, x), num_keys=1)[1]

    return by_platform(places, x, cpu=scattered, default=carried)


def if_short(row: Array, *rows: Array, cpu: Callable[..., Array], default: Callable[..., Array]) -> Array:
    """What `default` makes of rows without their gradients; of short ones CPUs get it from `cpu`, which compares, by `sum_over_others`."""
    rows = lax.stop_gradient((row, *rows))
    return by_platform(*rows, cpu=cpu, default=default) if is_known(row.size) and 0 < row.size <= SHORT else default(*rows)


def sum_over_others(term: Callable[..., Array], each: Sequence[Array], others: Sequence[Array]) -> Array:
    """The sum of ``term(*each, *other)`` for each number of a row, over all others of a row, without a table of all pairs.

    `multilabel_margin` of 10485 rows of 100 takes 8 ms for 23 by sorting, `entmax15` of 8192 of 128 12 for 25.
    """
    size = others[0].shape[-1]
    width = min(AT_ONCE, max(1, size // 3))  # there is a loop, or XLA would compute it all in each place in which it is needed
    rest = size % width or width

    def block(start: Any, count: int) -> Array:
        some = [lax.dynamic_slice_in_dim(x, start, count) for x in others]
        terms = (term(*each, *(lax.index_in_dim(x, i, keepdims=False) for x in some)) for i in range(count))
        return functools.reduce(lax.add, terms)

    def add(i: Any, total: Array) -> Array:
        return total + block(rest + i * width, width)

    return lax.fori_loop(0, (size - rest) // width, add, block(0, rest))


def _ranked(keys: Array, flags: Array | None) -> tuple[Any, Array]:
    """The flags, if any, in ascending order of the keys, and their places."""

    def carried(keys: Array, flags: Array | None) -> tuple[Any, Array]:
        told = few()  # a place as the last key: then no two are equal, and a compiler that sorts them as it likes (IREE) has no choice
        if flags is None:
            return None, lax.sort((keys, _places(keys, jnp.int32)), num_keys=1 + told)[1]
        _, flags, place = lax.sort((keys, flags, _places(keys, jnp.int32)), num_keys=2 + told)
        return flags, place

    def packed(keys: Array, flags: Array | None) -> tuple[Any, Array]:
        bits = lax.bitcast_convert_type(jnp.where(keys == 0, 0.0, keys), jnp.int32)
        bits = jnp.where(jnp.isnan(keys), 0x7FFFFFFF, jnp.where(bits < 0, bits ^ 0x7FFFFFFF, bits))
        with jax.enable_x64(True):
            low = _places(keys, jnp.int64) if flags is None else (flags.astype(jnp.int64) << 31) | _places(keys, jnp.int64)
            ranked = lax.sort((bits.astype(jnp.int64) << 32) | low)
            return None if flags is None else (ranked >> 31) & 1 == 1, (ranked & 0x7FFFFFFF).astype(jnp.int32)

    keys = lax.stop_gradient(keys)
    return by_platform(keys, flags, cpu=_in_parts(packed), default=carried) if keys.dtype == jnp.float32 else carried(keys, flags)


def _in_parts(sort: Callable[..., Any]) -> Callable[..., Any]:
    """`sort` of rows, without a gradient. Many are programs side by side: XLA of jaxlib 0.10 sorts all rows of an array on one core.

    Of few programs one often waits for the other, by chance. 10485 rows of 100: 15 ms for 26, in two parts 27; 21 of 65536: 68 to
    80 ms for 110, in two parts either.
    """
    if jax.__version_info__ >= (0, 12):
        return sort

    def side_by_side(*arrays: Array | None, of_example: bool = False) -> Any:
        rows = next(x for x in arrays if x is not None)
        if not is_known(*rows.shape) or len(rows) < 2 or rows.size < (LARGE if of_example else LARGER):
            return sort(*arrays)
        count = min(PARTS if rows.size >= LARGER else 2, len(rows))
        cuts = [len(rows) * i // count for i in range(count + 1)]
        parts = [sort(*jax.tree.map(lambda x, at=at: x[at], arrays)) for at in map(slice, cuts, cuts[1:])]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *parts)

    def in_parts(*arrays: Array | None) -> Any:
        if any(x.ndim > 1 for x in arrays if x is not None):
            return side_by_side(*arrays, of_example=True)
        if not on_one_cpu():  # of a batch that devices share, a part would be gathered
            return sort(*arrays)
        one = jax.custom_batching.custom_vmap(lambda *arrays: sort(*arrays))

        @one.def_vmap
        def over_batch(size: int, is_batched: Any, *arrays: Array | None) -> tuple[Any, Any]:
            whole = [x if x is None or at else jnp.broadcast_to(x, (size, *x.shape)) for x, at in zip(arrays, is_batched, strict=True)]
            found = side_by_side(*whole)
            return found, jax.tree.map(lambda _: True, found)

        return one(*arrays)

    return in_parts


def _places(keys: Array, dtype: type) -> Array:
    """The number of each place along the last axis, split over devices as the keys are."""
    return jnp.zeros_like(keys, dtype) + lax.broadcasted_iota(dtype, keys.shape, keys.ndim - 1)
