"""The pairs of a set: which are positive, how similar and how far, a block of rows at a time.

Rows are compared with columns, so that a large set never holds more than a block of rows times the set.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec

import jax
import jax.numpy as jnp
from jax import Array, lax

from jloss._core.chunks import chunked_map
from jloss._core.domains import is_known
from jloss._core.pairs import map_over_rows, sum_over_partners, sum_over_rows, sum_over_rows_sharing
from jloss.numerics import inverse_norm, normalize, safe_divide, safe_sqrt

P = ParamSpec("P")

SENSIBLE = 1 << 14  # So many products are worth a step.
UNBLOCKED_PARTNERS = 2048  # So many items and their partners are held at once.
UNBLOCKED_ITEMS = 512  # A set of so many items is not cut into blocks.


class Items(NamedTuple):
    """The items of a set, or a block of them."""

    vectors: Array  # (n,d); zero where not kept
    labels: Array  # (n,)
    kept: Array  # (n,)
    index: Array  # type: ignore[assignment]  # (n,); hides tuple.index


def items(embeddings: Array, labels: Array | None = None, mask: Array | None = None, unit: bool = False) -> Items:
    """The items of a set; what the mask drops becomes a zero vector, whatever it held."""
    index = jnp.arange(embeddings.shape[0])
    kept = jnp.ones_like(index, bool) if mask is None else mask
    vectors = embeddings if mask is None else jnp.where(kept[:, None], embeddings, 0.0)
    return Items(normalize(vectors) if unit else vectors, index if labels is None else labels, kept, index)


def unit_distance(first: Array, second: Array) -> Array:
    """Half the squared distance of the unit vectors; 1 where one of them is zero."""
    a, b = inverse_norm(first), inverse_norm(second)
    absent = [jnp.squeeze(jnp.where(lax.stop_gradient(inverse) == 0, 0.5, 0.0).astype(first.dtype), -1) for inverse in (a, b)]
    return 0.5 * jnp.sum(jnp.square(first * a + second * -b)) + absent[0] + absent[1]


def pairs(rows: Any, columns: Any) -> tuple[Array, Array]:
    """Which (row, column) are positive, and which negative; an item is neither to itself."""
    kept = rows.kept[:, None] & columns.kept[None, :]
    same = rows.labels[:, None] == columns.labels[None, :]
    return kept & same & (rows.index[:, None] != columns.index[None, :]), kept & ~same


def dot(rows: Array, columns: Array) -> Array:
    """All inner products, in full precision also on accelerators."""
    return lax.dot_general(rows, columns, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def squared_distances(rows: Array, columns: Array) -> Array:
    """Squared distances; first move the origin among the vectors (`recentered`), or a common offset drowns their differences.

    What rounding cannot tell from 0 is 0; its derivatives are those of any other.
    """
    size = jnp.sum(jnp.square(rows), axis=-1)[:, None] + jnp.sum(jnp.square(columns), axis=-1)[None, :]
    return _snap(size - 2 * dot(rows, columns), size)


def recentered(given: Items) -> Items:
    """The same items around another origin, which changes no distance; all NaN if one is not finite.

    Of three kept items it has the median of each feature: a single one that is far from all others is never taken for their middle.
    """
    first, last = jnp.argmax(given.kept), given.kept.shape[0] - 1 - jnp.argmax(given.kept[::-1])
    beside = jnp.abs(2 * given.index - (first + last).astype(given.index.dtype)).astype(given.vectors.dtype)
    between = nearest(beside[None], given.kept[None])[0]
    a, b, c = (lax.stop_gradient(lax.dynamic_index_in_dim(given.vectors, i, keepdims=True)) for i in (first, between, last))
    origin = jnp.maximum(jnp.minimum(a, b), jnp.minimum(jnp.maximum(a, b), c))
    return given._replace(vectors=jnp.where(given.kept[:, None], given.vectors - origin + nan_if_not_finite(given), 0.0))


def nan_if_not_finite(given: Items) -> Array:
    """0, or NaN if a kept item is not finite: mining would never find an item whose distances are NaN."""
    return jnp.where(jnp.all(jnp.isfinite(given.vectors)), 0.0, jnp.nan).astype(given.vectors.dtype)


def mean_where(values: Array, keep: Array | None) -> Array:
    """The mean of the kept values, all by default; 0 if none is."""
    return safe_divide(sum_where(values, keep), number_of(keep, values).astype(values.dtype))


def sum_where(values: Array, keep: Array | None) -> Array:
    """The sum of the kept values, all by default."""
    return jnp.sum(values if keep is None else jnp.where(keep, values, 0.0))


def number_of(keep: Array | None, each: Array) -> Array:
    """How many are kept; where all are, a size is known and nothing is counted."""
    return jnp.asarray(each.shape[0]).astype(jnp.int32) if keep is None else jnp.sum(keep, dtype=jnp.int32)


def totals(values: Array, keep: Array) -> tuple[Array, Array]:
    """For each row the sum and the number of the kept values."""
    return jnp.sum(jnp.where(keep, values, 0.0), axis=1), jnp.sum(keep.astype(values.dtype), axis=1)


def mean_of_totals(given: tuple[Array, Array]) -> Array:
    """The mean of the kept values of all rows; 0 if there is none, and NaN if one that does not count is."""
    count = jnp.sum(given[1])
    return jnp.sum(given[0]) / jnp.where(count == 0, 1.0, count)


class Marks(NamedTuple):
    """What is known of items without their vectors."""

    labels: Array
    kept: Array
    index: Array  # type: ignore[assignment]  # hides tuple.index
    sizes: Array  # squared lengths


def sums_of_rows(
    function: Callable[[Marks, Marks, Array], list[Array]],
    given: Items,
    arrays: int = 20,
    after: Callable[[list[Array]], Array] | None = None,
) -> list[Array]:
    """The sums over all items of what ``function(rows, columns, products)`` says of each; only the first has a gradient.

    `arrays` is how many numbers the function has for each product: of a large set so few rows are taken at a time that these are fewer
    than the numbers of the set, and so many are multiplied at a time that it pays to add up their gradients. With `after` the sums may be
    arrays, and what it says of them is returned.
    """
    n, _ = given.vectors.shape
    marks = _marks(given)
    if not (is_known(n) and n > UNBLOCKED_ITEMS):
        found = [jnp.sum(x, axis=0) for x in function(marks, marks, dot(given.vectors, given.vectors))]
        return found if after is None else [after(found)]

    def each(products: Array, index: Array, marks: Marks) -> list[Array]:
        return function(_some(marks, index), marks, products)

    size, part = _sizes(given, arrays)
    return sum_over_rows(each, given.vectors, given.vectors, marks, size, part, after)


def _marks(given: Items) -> Marks:
    return Marks(given.labels, given.kept, given.index, jnp.sum(jnp.square(given.vectors), axis=-1))


def _some(marks: Marks, index: Array) -> Marks:
    return jax.tree.map(lambda a: a[index], marks)


def _sizes(given: Items, arrays: int) -> tuple[int, int]:
    """How many rows are multiplied at a time, and how many of them a function with so many arrays is given."""
    n, d = given.vectors.shape
    part = 1 << max((SENSIBLE // n).bit_length(), min(5, (d // arrays).bit_length() - 2), 1)
    return min(max(32, d // 9, 4 * part), 256 if part < 64 else n, n) // part * part, part


def sums_of_rows_sharing(share: Callable[..., Array], function: Callable[..., list[Array]], given: Items, option: Array) -> list[Array]:
    """`sums_of_rows` of ``function(rows, columns, products, mine, all)``, which also knows of each item the number that
    ``share(rows, columns, products, option)`` gives: those of the rows, and those of all items."""
    n, _ = given.vectors.shape
    marks = _marks(given)
    if not (is_known(n) and n > UNBLOCKED_ITEMS):
        products = dot(given.vectors, given.vectors)
        numbers = share(marks, marks, products, option)
        return [jnp.sum(x) for x in function(marks, marks, products, numbers, numbers)]

    def of_rows(products: Array, index: Array, held: tuple[Marks, Array]) -> Array:
        return share(_some(held[0], index), held[0], products, held[1])

    def each(products: Array, index: Array, held: tuple[Marks, Array], mine: Array, numbers: Array) -> list[Array]:
        return function(_some(held[0], index), held[0], products, mine, numbers)

    size, part = _sizes(given, 40)
    return sum_over_rows_sharing(of_rows, each, given.vectors, (marks, option), size, part)


def mean_of_sums(given: list[Array]) -> Array:
    """A sum over a number; 0 if that is 0, and NaN if one that does not count is."""
    return given[0] / jnp.where(given[1] == 0, 1.0, given[1])


def squares_of(rows: Marks, columns: Marks, products: Array) -> Array:
    """`squared_distances` from products."""
    size = rows.sizes[:, None] + columns.sizes[None, :]
    return _snap(size - 2 * products, size)


def unit_distances_of(rows: Marks, columns: Marks, products: Array) -> Array:
    """Distances of unit vectors from products; 0, without a direction, where rounding cannot tell them apart."""
    return safe_sqrt(without_rounding(squares_of(rows, columns, products), 2))


def without_rounding(size: Array, power: int = 1) -> Array:
    """A distance of two unit vectors, or this power of it; 0 where it is the rounding by which the units of parallel vectors differ."""
    return jnp.where(size <= (4 * float(jnp.finfo(size.dtype).eps)) ** power, 0.0, size)


def nearest(rows: Array, where: Array) -> Array:
    """Of each row the index of the smallest of those `where`; of the first if there are several. `jnp.argmin` takes three times as long."""
    return _first(rows, where, jnp.min, jnp.inf)


def farthest(rows: Array, where: Array) -> Array:
    """Of each row the index of the largest of those `where`, which are not negative; of the first if there are several."""
    return _first(rows, where, jnp.max, -1.0)


def _first(rows: Array, where: Array, best: Callable[..., Array], other: float) -> Array:
    rows = jnp.where(where, rows, other)
    columns = lax.broadcasted_iota(jnp.int32, rows.shape, 1)
    return jnp.min(jnp.where(rows == best(rows, axis=1, keepdims=True), columns, rows.shape[1] - 1), axis=1)


def choices(function: Callable[[Items], Any], given: Items, size: int | None = None) -> Any:
    """``function(rows)``, indices of other items, of all items: of a large set `size` rows at a time. It has no derivative."""
    n = given.index.shape[0]
    if not is_known(n) or n <= (UNBLOCKED_ITEMS if size is None else size):
        return function(given)
    return map_over_rows(function, given, 48 if size is None else size)


def sums_of_partners(function: Callable[..., list[Array]], rows: Array, partners: list[Array], *given: Array) -> list[Array]:
    """`sum_over_partners` of ``function(some, others, given)``; of a set that is not large at once."""
    n = rows.shape[0]
    if not (is_known(n) and n > UNBLOCKED_PARTNERS):
        return [jnp.sum(x) for x in function(rows, [rows[p] for p in partners], given)]
    return sum_over_partners(function, rows, partners, given, 64)


def map_rows(function: Callable[[Any], Any], rows: Any, size: int | None = None) -> Any:
    """`function` of blocks of `rows` (arrays with one leading axis), stacked; a block is computed again for its gradient."""
    n = jax.tree.leaves(rows)[0].shape[0]
    if size is None or (is_known(n) and n <= size):
        return function(rows)
    return chunked_map(lambda block, *_: function(block), rows, chunk_size=size)


def by_blocks(function: Callable[[Any], Any], rows: Any, size: int = 128) -> Any:
    """`map_rows` for large sets, whose temporaries then stay below one n x n matrix; the others, and those of unknown size, at once."""
    n = jax.tree.leaves(rows)[0].shape[0]
    return map_rows(function, rows, size if is_known(n) and n > UNBLOCKED_ITEMS else None)


def _snap(squared: Array, size: Array) -> Array:
    nothing = squared - 2 * jnp.finfo(squared.dtype).eps * size <= 0  # not where sizes are infinite
    return jnp.where(nothing, squared - lax.stop_gradient(squared), squared)
