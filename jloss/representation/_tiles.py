"""Log-sum-exps over rows and columns of a similarity matrix that need not exist: in tiles, over devices, in a ring.

Where every logit is small enough for `exp` itself (unit vectors and a scale up to 40), one exponential serves a row and a
column, and no maximum is looked for. Elsewhere maxima are; `lax.cond` chooses, so that a learned scale may grow.

A tile is a block of rows with a block of columns. What it adds to its rows and columns are sums, so that its derivative needs
no other tile: each is computed twice, for the value and for the gradient. Where a chunk size is given the vectors are
normalised in the tile, and there is no second copy of them.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jloss._core.chunks import _varying as varying
from jloss._core.domains import is_known
from jloss._core.pairs import largest_of_tiles, value_of_tiles
from jloss.numerics import logsumexp, normalize, safe_log
from jloss.representation._sets import Items, dot, number_of, sum_where

Among = Callable[[Items, Items], Array]  # (rows, columns) -> which columns count in the sum of a row
RowSums = tuple[Array, Array]  # log sum exp over those `among` it, sum of the logits of those `numerator`
Sides = Literal["rows", "both", "triangle"]
BLOCK = 512  # rows and columns of a tile
UNTILED_ITEMS = 4096  # so many items are compared at once, where no chunk size is given: a matrix of 67 MB


class Logits(NamedTuple):
    """The logits of all rows with all columns, of each row with its own column, and whether they are small enough for `exp`."""

    of: Among
    own: Among
    small: Array | bool


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

    def number(self, keep: Array | None, each: Array) -> Array:
        """How many are kept on all devices; where all are, no device counts or asks."""
        if keep is None and self.axis_name is not None:
            return number_of(None, each) * lax.psum(1, self.axis_name)
        return self.total(number_of(keep, each))

    def mean(self, values: Array, keep: Array | None) -> Array:
        """The mean of the kept values of all devices, all by default; 0 if there is none."""
        return self.total(sum_where(values, keep)) / jnp.maximum(self.number(keep, values), 1).astype(values.dtype)


def devices_of(name: str, chunk_size: int | None, axis_name: str | tuple[str, ...] | None, ring: bool) -> Devices:
    """The options of a contrastive loss, checked."""
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"{name}: `chunk_size` must be 1 or more, got {chunk_size}.")
    if ring and not isinstance(axis_name, str):
        raise ValueError(f"{name}: `ring` needs one mesh axis in `negatives_axis_name`, got {axis_name!r}.")
    return Devices(axis_name, ring)


def cosine_logits(scale: Array | float, chunk_size: int | None) -> Logits:
    """``scale * cos``."""

    def own(rows: Items, columns: Items) -> Array:
        return scale * jnp.sum(rows.vectors * columns.vectors, axis=1)

    return Logits(lambda rows, columns: scale * cosines(rows, columns, chunk_size), own, is_small(scale))


def cosines(rows: Items, columns: Items, chunk_size: int | None) -> Array:
    """All cosines; of unit vectors, but where a chunk size asks for little memory: there the vectors are normalised tile by tile."""
    if chunk_size is None:
        return dot(rows.vectors, columns.vectors)
    return dot(jax.checkpoint(normalize)(rows.vectors), jax.checkpoint(normalize)(columns.vectors))


def is_small(scale: Array | float) -> Array | bool:
    """Whether exp, its square and their sums over any set stay inside the range of the dtype; known of a scale that is."""
    dtype = jnp.result_type(scale)
    most = 0.45 * math.log(jnp.finfo(dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.float32).max)
    return jnp.abs(scale) <= most if isinstance(scale, Array) or np.ndim(scale) else bool(np.abs(scale) <= most)


def either(small: Array | bool, quick: Callable[..., Any], slow: Callable[..., Any], *given: Any) -> Any:
    """`lax.cond`; where the answer is known, what is not asked for is not traced: half of the time to the first gradient."""
    return lax.cond(small, quick, slow, *given) if isinstance(small, Array) else (quick if small else slow)(*given)


def same_item(rows: Items, columns: Items) -> Array:
    """The column of the same item."""
    return both_kept(rows, columns) & (rows.index[:, None] == columns.index[None, :])


def both_kept(rows: Items, columns: Items) -> Array:
    """All kept columns."""
    return rows.kept[:, None] & columns.kept[None, :]


def other_items(rows: Items, columns: Items) -> Array:
    """All kept columns but the row itself."""
    return both_kept(rows, columns) & (rows.index[:, None] != columns.index[None, :])


def positives(rows: Items, columns: Items) -> Array:
    """Other kept columns with the row's label."""
    return other_items(rows, columns) & (rows.labels[:, None] == columns.labels[None, :])


def no_columns(rows: Items, columns: Items) -> Array:
    """No column."""
    return jnp.zeros((rows.index.shape[0], columns.index.shape[0]), bool)


def negatives(rows: Items, columns: Items) -> Array:
    """Kept columns with another label."""
    return both_kept(rows, columns) & (rows.labels[:, None] != columns.labels[None, :])


# ---------------------------------------------------------------- two sets, or one with itself


def one_sided(
    rows: Items,
    columns: Items,
    logits: Logits,
    denominator: Among,
    numerator: Among,
    chunk_size: int | None,
    mesh: Devices,
    finish: Callable[[Array, Array], Array],
) -> Array:
    """``finish(denominator, numerator)``, the sums of each local row over the columns of all devices."""
    direct = numerator is same_item and chunk_size is None
    own = logits.own(rows, columns) if direct else None
    drawing = no_columns if direct else numerator

    def end(found: RowSums, _: RowSums) -> Array:
        return finish(found[0], found[1] if own is None else own)

    if mesh.axis_name is None:
        return of_sums(end, rows, columns, logits, denominator, drawing, chunk_size, "rows")

    def local(columns: Items) -> RowSums:
        return row_sums(rows, columns, logits, denominator, drawing, chunk_size, "rows")[0]

    found = over_devices(local, columns, _merged, mesh)
    return end(found, found)


def two_sided(
    rows: Items, columns: Items, logits: Logits, chunk_size: int | None, mesh: Devices, finish: Callable[[Array, Array, Array], Array]
) -> Array:
    """``finish(by_row, own, by_column)``: log sum exp of each local row over the columns of all devices, its own logit, and log sum exp
    of each local column over all rows."""
    direct = chunk_size is None
    mine = logits.own(rows, columns) if direct else None

    def end(by_row: RowSums, by_column: RowSums) -> Array:
        return finish(by_row[0], by_row[1] if mine is None else mine, by_column[0])

    if mesh.axis_name is None:
        return of_sums(end, rows, columns, logits, both_kept, no_columns if direct else same_item, chunk_size, "both")

    def local(columns: Items) -> tuple[RowSums, Array]:
        by_row, by_column = row_sums(rows, columns, logits, both_kept, no_columns if direct else same_item, chunk_size, "both")
        return by_row, by_column[0]

    def visit(shard: tuple[Items, Array], by_row: RowSums) -> tuple[tuple[Items, Array], RowSums]:
        columns, by_column = shard
        more_row, more_column = local(columns)
        return (columns, _add_logs(by_column, more_column)), _merged(by_row, more_row)

    if mesh.ring:  # the columns and what is known of them travel together, and are complete when they are home again
        by_row, by_column = local(columns)
        (_, by_column), by_row = rotate_ring(visit, (columns, by_column), by_row, mesh)
        by_column = to_next_device(by_column, mesh)
    else:
        by_row, by_column = local(_gathered(columns, mesh))
        if mesh.axis_name is not None:
            by_column = logsumexp(by_column[None, :], axis=0, axis_name=mesh.axis_name)[columns.index]
    return end(by_row, (by_column, by_column))


def symmetric(
    given: Items, logits: Logits, denominator: Among, numerator: Among, chunk_size: int | None, finish: Callable[[Array, Array], Array]
) -> Array:
    """`one_sided` of a set with itself on this device: a tile serves its rows and its columns."""
    n = given.index.shape[0]
    few = chunk_size is None and not (is_known(n) and n > 2 * BLOCK)
    sides: Sides = "rows" if few else "triangle"
    size = None if few else chunk_size or BLOCK
    return of_sums(lambda found, _: finish(*found), given, given, logits, denominator, numerator, size, sides)


def over_devices(function: Callable[[Items], Any], columns: Items, merge: Callable[[Any, Any], Any], mesh: Devices) -> Any:
    """`function` of the columns of all devices: of all at once, or merged shard by shard."""
    if not mesh.ring:
        return function(_gathered(columns, mesh))
    first = function(columns)
    return rotate_ring(lambda columns, found: (columns, merge(found, function(columns))), columns, first, mesh)[1]


def rotate_ring(visit: Callable[[Any, Any], tuple[Any, Any]], shard: Any, found: Any, mesh: Devices) -> tuple[Any, Any]:
    """Sends `shard` once around the ring; ``visit(shard, found)`` on every other device.

    The derivative walks again, in legs of about the root of the ring's length: it keeps the guests of one leg and of the
    first device of every leg, not those of all devices.
    """
    steps = lax.psum(1, mesh.axis_name) - 1
    leg = max(1, math.isqrt(steps))

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        shard, found = carry
        return visit(to_next_device(shard, mesh), found), None

    def legs(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], None]:
        return lax.scan(jax.checkpoint(step), carry, None, length=leg)

    carry = lax.scan(jax.checkpoint(legs), (shard, found), None, length=steps // leg)[0]
    return lax.scan(jax.checkpoint(step), carry, None, length=steps % leg)[0]


def to_next_device(tree: Any, mesh: Devices) -> Any:
    size = lax.psum(1, mesh.axis_name)
    ring = [(i, (i + 1) % size) for i in range(size)]
    return jax.tree.map(lambda x: lax.ppermute(x, mesh.axis_name, ring), tree)


def _gathered(columns: Items, mesh: Devices) -> Items:
    if mesh.axis_name is None:
        return columns
    return jax.tree.map(lambda x: lax.all_gather(x, mesh.axis_name, tiled=True), columns)


# ---------------------------------------------------------------- tiles


def of_sums(
    finish: Callable[[RowSums, RowSums], Array],
    rows: Items,
    columns: Items,
    logits: Logits,
    denominator: Among,
    numerator: Among,
    chunk_size: int | None,
    sides: Sides,
) -> Array:
    """``finish(by_row, by_column)`` of the sums on this device, with a derivative that holds no tile but one."""
    sizes = rows.index.shape[0], columns.index.shape[0]
    if not (needs_tiles(chunk_size, rows, columns) and is_known(*sizes) and min(sizes) > 0):
        return finish(*row_sums(rows, columns, logits, denominator, numerator, chunk_size, sides))
    size = tile_side(chunk_size, columns) or BLOCK
    return of_parts(lambda right, left: finish(right[0], left[0]), (rows,), (columns,), logits, denominator, numerator, size, sides)


def of_parts(
    finish: Callable[[list[RowSums], list[RowSums]], Array],
    rows: tuple[Items, ...],
    columns: tuple[Items, ...],
    logits: Logits,
    denominator: Among,
    numerator: Among,
    size: int,
    sides: Sides,
) -> Array:
    """The same of sets in parts, such as two views of each item: a tile is of some items, in all parts."""
    triangle = sides == "triangle"

    def joined(given: Any, new: Array) -> Items:
        vectors, rest = given
        kept = (rest.kept & new[:, None]).reshape(-1)
        joint = jnp.stack(vectors, axis=1).reshape(kept.size, vectors[0].shape[1])
        return Items(joint, rest.labels.reshape(-1), kept, rest.index.reshape(-1))

    def apart(*each: tuple[Array, Array]) -> tuple[list[Array], list[Array]]:
        right = [x.reshape(-1, len(rows)) for x, _ in each]
        return right, [] if sides == "rows" else [x.reshape(-1, len(columns)) for _, x in each]

    def peaks(row: Any, column: Any, *new: Array) -> Any:
        some, others = joined(row, new[0]), joined(column, new[1])
        values = jnp.where(denominator(some, others), logits.of(some, others), -jnp.inf)
        return apart((jnp.max(values, axis=1), jnp.max(values, axis=0)))

    def looked_for(rows: Any, columns: Any) -> Any:
        found = largest_of_tiles(peaks, rows, columns, size, triangle)
        return jax.tree.map(lambda x: jnp.where(x > -jnp.inf, x, 0.0), found)

    def tile(row: Any, column: Any, *new: Array) -> Any:
        some, others = joined(row[0], new[0]), joined(column[0], new[1])
        values = logits.of(some, others)
        ways = functools.partial(quick_where, logits.small), functools.partial(slow, sides=sides)
        sums = either(logits.small, *ways, values, denominator(some, others), row[1].reshape(-1), column[1].reshape(-1))
        return apart(sums, draw(values, numerator(some, others)))

    def logs(sums: list[Array], peak: Array, count: int) -> list[RowSums]:
        found = safe_log(sums[0]) + peak
        return [(found[:, k], sums[1][:, k]) for k in range(count)]

    def after(by_row: list[Array], by_column: list[Array]) -> Array:
        right = logs(by_row, row_peaks, len(rows))
        return finish(right, right if sides == "rows" else logs(by_column, column_peaks, len(columns)))

    given = [_in_rows(parts) for parts in (rows, columns)]
    zeros = [_filled(rest.kept, 0).astype(vectors[0].dtype) for vectors, rest in given]

    def nothing(*_: Any) -> Any:
        return [zeros[0]], [] if sides == "rows" else [zeros[1]]

    found = lax.stop_gradient(either(logits.small, nothing, looked_for, *given))
    row_peaks, column_peaks = found[0][0], zeros[1] if sides == "rows" else found[1][0]
    return value_of_tiles(tile, after, (given[0], row_peaks), (given[1], column_peaks), size, triangle)


def _in_rows(parts: tuple[Items, ...]) -> tuple[list[Array], Items]:
    """The vectors of each part, and what else there is of an item in a row: the loop over a tile then reads it where it is."""
    rest = [x._replace(vectors=jnp.zeros((x.index.shape[0], 0), x.vectors.dtype)) for x in parts]
    return [x.vectors for x in parts], jax.tree.map(lambda *x: jnp.stack(x, axis=1), *rest)


def row_sums(
    rows: Items, columns: Items, logits: Logits, denominator: Among, numerator: Among, chunk_size: int | None, sides: Sides
) -> tuple[RowSums, RowSums]:
    """Of each row, and of each column (which means nothing for "rows")."""
    size = tile_side(chunk_size, columns)

    def whole(rows: Items, columns: Items) -> tuple[RowSums, RowSums]:
        values = logits.of(rows, columns)
        right, left = quick_where(logits.small, values, denominator(rows, columns))
        drawn = draw(values, numerator(rows, columns))
        return (safe_log(right), drawn[0]), (safe_log(left), drawn[1])

    def tiled(rows: Items, columns: Items) -> tuple[RowSums, RowSums]:
        def tile(row: tuple[Items, Array], column: tuple[Items, Array]) -> tuple[RowSums, RowSums]:
            values = logits.of(row[0], column[0])
            powers = functools.partial(quick_where, logits.small), functools.partial(slow, sides=sides)
            right, left = either(logits.small, *powers, values, denominator(row[0], column[0]), row[1], column[1])
            drawn = draw(values, numerator(row[0], column[0]))
            return (right, drawn[0]), (left, drawn[1])

        row_peak, column_peak = peaks_of(rows, columns, logits, denominator, size, sides)
        right, left = reduce_tiles(tile, (rows, row_peak), (columns, column_peak), size, sides)
        return (safe_log(right[0]) + row_peak, right[1]), (safe_log(left[0]) + column_peak, left[1])

    if needs_tiles(chunk_size, rows, columns):
        return tiled(rows, columns)
    return either(logits.small, whole, jax.checkpoint(tiled), rows, columns)


def draw(values: Array, chosen: Array) -> tuple[Array, Array]:
    """The sums of the chosen values."""
    drawn = jnp.where(chosen, values, 0.0)
    return jnp.sum(drawn, axis=1), jnp.sum(drawn, axis=0)


def quick_where(small: Array | bool, values: Array, chosen: Array, *_: Array) -> tuple[Array, Array]:
    """The sums of the exponentials of the chosen values, which are small; under `vmap` over scales both branches of a `cond` run."""
    powers = jnp.where(chosen, jnp.exp(values if small is True else jnp.where(small, values, 0.0)), 0.0)
    return jnp.sum(powers, axis=1), jnp.sum(powers, axis=0)


def slow(values: Array, chosen: Array, row_peak: Array, column_peak: Array, sides: Sides) -> tuple[Array, Array]:
    """The same, of rows and of columns less their peaks."""
    values = jnp.where(chosen, values, -jnp.inf)
    by_row = jnp.sum(jnp.exp(values - row_peak[:, None]), axis=1)
    return by_row, _filled(values[0], 0) if sides == "rows" else jnp.sum(jnp.exp(values - column_peak[None, :]), axis=0)


def peaks_of(rows: Items, columns: Items, logits: Logits, denominator: Among, size: int | None, sides: Sides) -> tuple[Array, Array]:
    """The largest logit of each row and of each column; zeros where they are small."""

    def peaks(rows: Items, columns: Items) -> tuple[Array, Array]:
        def tile(rows: Items, columns: Items) -> tuple[Array, Array]:
            values = jnp.where(denominator(rows, columns), lax.stop_gradient(logits.of(rows, columns)), -jnp.inf)
            return jnp.max(values, axis=1), jnp.max(values, axis=0)

        found = reduce_tiles(tile, lax.stop_gradient(rows), lax.stop_gradient(columns), size, sides, jnp.maximum, -jnp.inf)
        return jax.tree.map(lambda x: jnp.where(x > -jnp.inf, x, 0.0), found)

    zeros = jax.tree.map(lambda x: _filled(x, 0), jax.eval_shape(peaks, rows, columns))
    return lax.stop_gradient(either(logits.small, lambda *_: zeros, peaks, rows, columns))


def needs_tiles(chunk_size: int | None, rows: Items, columns: Items) -> bool:
    """Whether the matrix is never held. A set of unknown size is taken for a small one."""
    n, m = rows.index.shape[0], columns.index.shape[0]
    return chunk_size is not None or (is_known(n, m) and n * m > UNTILED_ITEMS**2)


def tile_side(chunk_size: int | None, columns: Items) -> int | None:
    """Rows and columns of a tile that is no larger than a chunk of rows with all columns; None for all of them."""
    m = columns.index.shape[0]
    if not is_known(m):
        return chunk_size
    return BLOCK if chunk_size is None else max(chunk_size, min(BLOCK, math.isqrt(chunk_size * m)))


def reduce_tiles(
    tile: Callable[[Any, Any], tuple[Any, Any]],
    rows: Any,
    columns: Any,
    size: int | None,
    sides: Sides = "rows",
    merge: Callable[[Array, Array], Array] = jnp.add,
    start: float = 0,
) -> tuple[Any, Any]:
    """What all tiles give to each row and to each column, merged; a tile is computed again for its gradient.

    "rows": columns get nothing. "triangle": rows and columns are the same set; tiles below the diagonal are left out, since those
    above give to both.
    """
    n, m = (jax.tree.leaves(given)[0].shape[0] for given in (rows, columns))
    row_blocks = _blocks(rows, size)
    column_blocks = row_blocks if sides == "triangle" else _blocks(columns, size)
    row_numbers, column_numbers = (jnp.arange(jax.tree.leaves(blocks)[0].shape[0]) for blocks in (row_blocks, column_blocks))
    shapes = jax.eval_shape(tile, *(jax.tree.map(lambda x: x[0], blocks) for blocks in (row_blocks, column_blocks)))
    nothing = jax.tree.map(lambda x: _filled(x, start), shapes)

    def outer(to_columns: Any, given: Any) -> tuple[Any, Any]:
        row, i = given

        def inner(to_row: Any, given: Any) -> tuple[Any, Any]:
            column, j = given
            if sides == "triangle":
                right, left = lax.cond(j < i, lambda *_: nothing, tile, row, column)
                left = jax.tree.map(lambda x: jnp.where(i == j, jnp.asarray(start, x.dtype), x), left)
            else:
                right, left = tile(row, column)
            return jax.tree.map(merge, to_row, right), None if sides == "rows" else left

        to_row, left = lax.scan(jax.checkpoint(inner, prevent_cse=False), nothing[0], (column_blocks, column_numbers))
        return jax.tree.map(merge, to_columns, left), to_row

    each = None if sides == "rows" else jax.tree.map(lambda x: jnp.broadcast_to(x, (column_numbers.shape[0], *x.shape)), nothing[1])
    to_columns, to_rows = lax.scan(jax.checkpoint(outer, prevent_cse=False), each, (row_blocks, row_numbers))
    right = jax.tree.map(lambda x: x.reshape(-1)[:n], to_rows)
    if sides == "rows":
        return right, jax.tree.map(lambda x: _filled(x, start, m), shapes[1])
    left = jax.tree.map(lambda x: x.reshape(-1)[:m], to_columns)
    if sides == "triangle":
        right = left = jax.tree.map(merge, right, left)
    return right, left


def _filled(like: Any, value: float, size: int | None = None) -> Array:
    """An array of one number that varies over devices as `like` does."""
    full = jnp.full(like.shape if size is None else (size,), value, like.dtype)
    axes = varying(like)
    return lax.pcast(full, tuple(sorted(axes)), to="varying") if axes else full


def _blocks(given: Any, size: int | None) -> Any:
    """The items in equal blocks of at most `size`; padding is not kept."""
    n = jax.tree.leaves(given)[0].shape[0]
    count = 1 if size is None else -(-n // size)
    each = size if size is not None and not is_known(n) else -(-n // count)

    def split(x: Array) -> Array:
        x = x if count * each == n else jnp.pad(x, [(0, count * each - n)] + [(0, 0)] * (x.ndim - 1))
        return x.reshape(count, each, *x.shape[1:])

    return jax.tree.map(split, given)


def _merged(x: RowSums, y: RowSums) -> RowSums:
    return _add_logs(x[0], y[0]), x[1] + y[1]


def _add_logs(x: Array, y: Array) -> Array:
    return logsumexp(jnp.stack([x, y]), axis=0)
