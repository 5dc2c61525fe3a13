"""Log-sum-exps over rows and columns of a similarity matrix that need not exist: in blocks, over devices, in a ring.

Where every logit is small enough for `exp` itself (unit vectors and a scale up to 40), one exponential serves a row and a
column, and no maximum is looked for. Elsewhere maxima are; `lax.cond` chooses, so that a learned scale may grow.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._chunk import chunked_map
from jloss._math import logsumexp, safe_log
from jloss._sets import Items, dot

Among = Callable[[Items, Items], Array]  # (rows, columns) -> which columns count in the sum of a row
BLOCK = 512  # rows that are compared at once


class Devices(NamedTuple):
    """Where the columns are: on this device alone, or over a mesh axis, gathered or visited around a ring."""

    axis_name: str | tuple[str, ...] | None
    ring: bool

    def globally(self, given: Items, labels_too: bool = True) -> Items:
        """The items with indices (and labels that are indices) counted over all devices."""
        if self.axis_name is None:
            return given
        device = lax.axis_index(self.axis_name).astype(given.index.dtype)
        n = given.index.shape[0]
        labels = given.labels + n * device.astype(given.labels.dtype) if labels_too else given.labels
        return given._replace(index=given.index + n * device, labels=labels, kept=given.kept & (device >= 0))

    def total(self, x: Array) -> Array:
        """The sum over devices."""
        return x if self.axis_name is None else lax.psum(x, self.axis_name)

    def mean(self, values: Array, keep: Array) -> Array:
        """The mean of the kept values of all devices; 0 if there is none."""
        total = self.total(jnp.sum(jnp.where(keep, values, 0)))
        count = self.total(jnp.sum(keep, dtype=jnp.int32)).astype(values.dtype)
        return total / jnp.maximum(count, 1)


def devices(name: str, chunk_size: int | None, axis_name: str | tuple[str, ...] | None, ring: bool) -> Devices:
    """The options of a contrastive loss, checked."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"{name}: `chunk_size` must be 1 or more, got {chunk_size}.")
    if ring and not isinstance(axis_name, str):
        raise ValueError(f"{name}: `ring` needs one mesh axis in `negatives_axis_name`, got {axis_name!r}.")
    return Devices(axis_name, ring)


def both_kept(rows: Items, columns: Items) -> Array:
    """All kept columns."""
    return rows.kept[:, None] & columns.kept[None, :]


def others(rows: Items, columns: Items) -> Array:
    """All kept columns but the row itself."""
    return both_kept(rows, columns) & (rows.index[:, None] != columns.index[None, :])


def positives(rows: Items, columns: Items) -> Array:
    """Other kept columns with the row's label."""
    return others(rows, columns) & (rows.labels[:, None] == columns.labels[None, :])


def negatives(rows: Items, columns: Items) -> Array:
    """Kept columns with another label."""
    return both_kept(rows, columns) & (rows.labels[:, None] != columns.labels[None, :])


# ---------------------------------------------------------------- two sets


def two_sided(rows: Items, columns: Items, scale: Array | float, chunk_size: int | None, where: Devices) -> tuple[Array, Array]:
    """Of ``scale * rows @ columns.T`` of all devices: log sum exp of each local row, and of each local column."""
    if where.ring:
        return _ring_two_sided(rows, columns, scale, chunk_size, where)
    own = jnp.arange(columns.index.shape[0])
    if where.axis_name is not None:
        own = own + columns.index.shape[0] * lax.axis_index(where.axis_name).astype(own.dtype)
        columns = _gathered(columns, where)
    by_row, by_column = _two_sided(rows, columns, scale, chunk_size)
    if where.axis_name is None:
        return by_row, by_column
    return by_row, logsumexp(by_column[None, :], axis=0, axis_name=where.axis_name)[own]


def one_sided(rows: Items, columns: Items, scale: Array | float, among: Among, chunk_size: int | None, where: Devices) -> Array:
    """Log sum exp of each local row over those columns of all devices that are `among` it."""

    def local(columns: Items) -> Array:
        def safe(rows: Items, columns: Items, scale: Array | float, size: int | None) -> Array:
            return _by_rows(lambda block: _masked_logsumexp(block, columns, scale, among), rows, size)

        def quick(rows: Items, columns: Items, scale: Array | float) -> Array:
            return safe_log(jnp.sum(_exponentials(rows, columns, scale, among), axis=1))

        if chunk_size is not None:
            return safe(rows, columns, scale, chunk_size)
        slow = jax.checkpoint(lambda rows, columns, scale: safe(rows, columns, scale, BLOCK))
        return lax.cond(is_small(scale), quick, slow, rows, columns, scale)

    return over_devices(local, columns, _add_logs, where)


def over_devices(function: Callable[[Items], Any], columns: Items, merge: Callable[[Any, Any], Any], where: Devices) -> Any:
    """`function` of the columns of all devices: of all at once, or merged shard by shard."""
    if not where.ring:
        return function(_gathered(columns, where))
    first = function(columns)
    return _walk(lambda columns, found: (columns, merge(found, function(columns))), columns, first, where)[1]


def is_small(scale: Array | float) -> Array:
    """Whether exp, its square and their sums over any set stay inside the range of the dtype."""
    return jnp.abs(scale) <= 0.45 * jnp.log(jnp.finfo(jnp.result_type(scale)).max)


def _two_sided(rows: Items, columns: Items, scale: Array | float, chunk_size: int | None) -> tuple[Array, Array]:
    def quick(rows: Items, columns: Items, scale: Array | float) -> tuple[Array, Array]:
        powers = _exponentials(rows, columns, scale, both_kept)
        return safe_log(jnp.sum(powers, axis=1)), safe_log(jnp.sum(powers, axis=0))

    def slow(rows: Items, columns: Items, scale: Array | float) -> tuple[Array, Array]:
        logits = jnp.where(both_kept(rows, columns), scale * dot(rows.vectors, columns.vectors), -jnp.inf)
        return logsumexp(logits, axis=1), logsumexp(logits, axis=0)

    def block(rows: Items, columns: Items, scale: Array | float) -> tuple[Array, Array]:
        return lax.cond(is_small(scale), quick, slow, rows, columns, scale)

    def chunked(rows: Items, columns: Items, scale: Array | float, size: int) -> tuple[Array, Array]:
        n = rows.index.shape[0]
        if n <= size:
            return jax.checkpoint(block)(rows, columns, scale)
        count = -(-n // size)
        each = -(-n // count)
        split = jax.tree.map(lambda x: _padded(x, count * each).reshape(count, each, *x.shape[1:]), rows)

        def step(found: Array, rows: Items) -> tuple[Array, Array]:
            by_row, by_column = block(rows, columns, scale)
            return _add_logs(found, by_column), by_row

        nothing = jnp.full_like(columns.vectors[:, 0], -jnp.inf) + 0 * rows.vectors[0, 0]
        by_column, by_row = lax.scan(jax.checkpoint(step), nothing, split)
        return by_row.reshape(-1)[:n], by_column

    if chunk_size is not None:
        return chunked(rows, columns, scale, chunk_size)
    careful = jax.checkpoint(lambda rows, columns, scale: chunked(rows, columns, scale, BLOCK))
    return lax.cond(is_small(scale), quick, careful, rows, columns, scale)


def _ring_two_sided(rows: Items, columns: Items, scale: Array | float, chunk_size: int | None, where: Devices) -> tuple[Array, Array]:
    """The columns and what is known of them travel together, and are complete when they are home again."""

    def visit(guest: tuple[Items, Array], by_row: Array) -> tuple[tuple[Items, Array], Array]:
        columns, by_column = guest
        more_row, more_column = _two_sided(rows, columns, scale, chunk_size)
        return (columns, _add_logs(by_column, more_column)), _add_logs(by_row, more_row)

    by_row, by_column = _two_sided(rows, columns, scale, chunk_size)
    (_, by_column), by_row = _walk(visit, (columns, by_column), by_row, where)
    return by_row, _next(by_column, where)


def _walk(visit: Callable[[Any, Any], tuple[Any, Any]], guest: Any, found: Any, where: Devices) -> tuple[Any, Any]:
    """Sends `guest` once around the ring; ``visit(guest, found)`` on every other device.

    The derivative walks again, in legs of about the root of the ring's length: it keeps the guests of one leg and of the
    first device of every leg, not those of all devices.
    """
    steps = lax.psum(1, where.axis_name) - 1
    leg = max(1, math.isqrt(steps))

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        guest, found = carry
        return visit(_next(guest, where), found), None

    def legs(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        return lax.scan(jax.checkpoint(step), carry, None, length=leg)

    carry = lax.scan(jax.checkpoint(legs), (guest, found), None, length=steps // leg)[0]
    return lax.scan(jax.checkpoint(step), carry, None, length=steps % leg)[0]


def _next(tree: Any, where: Devices) -> Any:
    size = lax.psum(1, where.axis_name)
    ring = [(i, (i + 1) % size) for i in range(size)]
    return jax.tree.map(lambda x: lax.ppermute(x, where.axis_name, ring), tree)


def _gathered(columns: Items, where: Devices) -> Items:
    if where.axis_name is None:
        return columns
    return jax.tree.map(lambda x: lax.all_gather(x, where.axis_name, tiled=True), columns)


# ---------------------------------------------------------------- one set with itself


def symmetric(given: Items, scale: Array | float, among: Among, chunk_size: int | None, attract: bool = False) -> tuple[Array, Array]:
    """Of each item log sum exp over those `among` it, and (with `attract`) the sum of the logits of its positives.

    Each pair of blocks is computed once, for its rows and its columns. The blocks stand in a circle, of odd length; in round k
    every block meets the one k places further, so that all have met after half the circle.
    """
    n = given.index.shape[0]
    size = chunk_size or (n if n <= 2 * BLOCK else BLOCK)
    count = -(-n // size)
    count += 1 - count % 2
    each = -(-n // count)
    blocks = jax.tree.map(lambda x: _padded(x, count * each).reshape(count, each, *x.shape[1:]), given)
    blocks = blocks._replace(index=jnp.arange(count * each, dtype=given.index.dtype).reshape(count, each))
    small = is_small(scale)

    def circle(meet: Callable[..., Any], start: Any) -> Any:
        """Adds (or whatever the carry does) what the meetings of all pairs of blocks give to rows and to columns."""

        def round_(found: Any, k: Array) -> tuple[Any, None]:
            partners = jax.tree.map(lambda x: jnp.roll(x, -k, axis=0), (blocks, peaks))
            to_rows, to_columns = lax.map(jax.checkpoint(lambda pair: meet(*pair, k == 0)), (blocks, peaks, *partners))
            return jax.tree.map(lambda f, r, c: f + r + jnp.roll(c, k, axis=0), found, to_rows, to_columns), None

        return lax.scan(jax.checkpoint(round_), start, jnp.arange(count // 2 + 1))[0]

    def meet(rows: Items, row_peak: Array, columns: Items, column_peak: Array, same: Array) -> Any:
        def sums(logits: Array, chosen: Array) -> tuple[Array, Array]:
            def quick(logits: Array) -> tuple[Array, Array]:
                powers = jnp.where(chosen, jnp.exp(logits), 0)
                return jnp.sum(powers, axis=1), jnp.sum(powers, axis=0)

            def slow(logits: Array) -> tuple[Array, Array]:
                logits = jnp.where(chosen, logits, -jnp.inf)
                return jnp.sum(jnp.exp(logits - row_peak[:, None]), axis=1), jnp.sum(jnp.exp(logits - column_peak[None, :]), axis=0)

            return lax.cond(small, lambda x: quick(jnp.where(small, x, 0)), slow, logits)

        logits = scale * dot(rows.vectors, columns.vectors)
        right, left = sums(logits, among(rows, columns))
        if not attract:
            return (right,), (jnp.where(same, 0, left),)
        drawn = jnp.where(positives(rows, columns), logits, 0)
        return (right, jnp.sum(drawn, axis=1)), (jnp.where(same, 0, left), jnp.where(same, 0, jnp.sum(drawn, axis=0)))

    zero = jnp.zeros_like(blocks.vectors[:, :, 0])
    peaks = zero
    peaks = lax.stop_gradient(lax.cond(small, lambda *_: zero, lambda blocks, scale: _peaks(blocks, scale, among), blocks, scale))
    found = circle(meet, (zero, zero) if attract else (zero,))
    lse = (safe_log(found[0]) + peaks).reshape(-1)[:n]
    return lse, found[1].reshape(-1)[:n] if attract else lse


def _peaks(blocks: Items, scale: Array | float, among: Among) -> Array:
    """The largest logit of each item among those that count; 0 where none does."""
    columns = jax.tree.map(lambda x: lax.stop_gradient(x.reshape(-1, *x.shape[2:])), blocks)

    def block(rows: Items) -> Array:
        logits = lax.stop_gradient(scale) * dot(lax.stop_gradient(rows.vectors), columns.vectors)
        peak = jnp.max(jnp.where(among(rows, columns), logits, -jnp.inf), axis=1)
        return jnp.where(peak > -jnp.inf, peak, 0)

    return lax.map(block, blocks)


# ---------------------------------------------------------------- blocks


def _exponentials(rows: Items, columns: Items, scale: Array | float, among: Among) -> Array:
    scale = jnp.where(is_small(scale), scale, 0)  # under vmap over scales both branches run
    return jnp.where(among(rows, columns), jnp.exp(scale * dot(rows.vectors, columns.vectors)), 0)


def _masked_logsumexp(rows: Items, columns: Items, scale: Array | float, among: Among) -> Array:
    return logsumexp(jnp.where(among(rows, columns), scale * dot(rows.vectors, columns.vectors), -jnp.inf), axis=1)


def _by_rows(function: Callable[[Items], Any], rows: Items, size: int | None) -> Any:
    n = rows.index.shape[0]
    if size is None or n <= size:
        return function(rows)
    return chunked_map(lambda block, *_: function(block), rows, chunk_size=size)


def _add_logs(x: Array, y: Array) -> Array:
    return logsumexp(jnp.stack([x, y]), axis=0)


def _padded(x: Array, size: int) -> Array:
    return jnp.pad(x, [(0, size - x.shape[0])] + [(0, 0)] * (x.ndim - 1))
