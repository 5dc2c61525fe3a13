"""Sums over all pairs of a set, or of two, that hold neither all pairs nor a copy of the set beside its gradient.

`sum_over_rows` is for what one row says of all columns, `value_of_tiles` for sums over tiles of pairs. Gradients are computed by jax, a
block of pairs at a time, and added in place where the whole gradient will be: the transpose of a `lax.scan` would make an array as large
as the set for every block.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jloss._core.backend import with_gradients
from jloss._core.blocks import _nothing
from jloss._core.chunks import _is_float, _merge, _some, _vary, _varying

COLUMNS = 512  # the gradients of the products with so many columns are added at once


def sum_over_rows(
    function: Callable[[Array, Array, Any], Any],
    rows: Array,
    columns: Array,
    given: Any,
    size: int,
    part: int,
    after: Callable[[list[Array]], Array] | None = None,
) -> list[Array]:
    """The sums over all rows of what ``function(products, index, given)`` says of each, where `products` are those of some rows with
    all columns and `index` is which rows these are. Only the first of the sums has a derivative.

    It is computed beside the value, `size` rows at a time, as gradients with respect to the products; they are added to those of rows and
    columns in place. So nothing is as large as all products, and nothing but the gradients as large as the rows.

    Args:
        function: Gives a list of arrays with a number per row, or an array per row.
        rows: Vectors.
        columns: Vectors; the same array if a set is compared with itself.
        given: Pytree of further arrays.
        size: How many rows are multiplied with the columns at a time; their gradients take the place of the products.
        part: How many of these the function is given at a time; a divisor of `size`. Both are less than there are rows.
        after: A number that is computed of the sums, and then returned in their place; what the sums are worth is then found out first. It
            holds on to no array.
    """
    same, n, m, width = columns is rows, rows.shape[0], columns.shape[0], min(COLUMNS, columns.shape[0])
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, columns, given))))
    rows, columns, given = _vary((rows, columns, given), axes)
    closed, found = _opened(function, axes, _products(rows[:part], columns), jnp.arange(part, dtype=jnp.int32), given)
    leaves, tree = jax.tree.flatten((given, found))
    wanted = [_is_float(a) for a in leaves]

    def sums(products: Array, at: "_Block", floats: Sequence[Array], leaves: Sequence[Array]) -> list[Array]:
        given, found = jax.tree.unflatten(tree, _merge(wanted, floats, leaves))
        values = closed(found, products, at.index, given)
        return [jnp.sum(jnp.where(jnp.expand_dims(at.new, range(1, v.ndim)), v, jnp.zeros_like(v)), axis=0) for v in values]

    def parts(step: Callable[..., Any], start: Any, at: "_Block") -> Any:
        """The steps over the parts of a block: each is given where its products are and which rows they are of."""

        def inner(carry: Any, k: Array) -> Any:
            here = _block(k, size, part)
            return step(carry, here, _Block(at.start + here.start, here.of(at.index), here.of(at.new))), None

        return lax.scan(inner, start, jnp.arange(size // part))[0]

    def shapes(rows: Array, columns: Array, leaves: Sequence[Array]) -> list[Array]:
        each = jax.eval_shape(lambda r, c, s: sums(_products(r, c), _block(0, n, part), _some(wanted, s), s), rows[:part], columns, leaves)
        return _nothing(each, rows, axes)

    def first(rows: Array, columns: Array, leaves: list[Array]) -> list[Array]:
        def step(found: list[Array], i: Array) -> Any:
            at = _block(i, n, size)
            products = _products(at.of(rows), columns)

            def inner(found: list[Array], here: _Block, rows: _Block) -> list[Array]:
                return _added(found, sums(here.of(products), rows, _some(wanted, leaves), leaves))

            return parts(inner, found, at), None

        return lax.scan(step, shapes(rows, columns, leaves), jnp.arange(-(-n // size)))[0]

    def total(rows: Array, columns: Array, leaves: list[Array]) -> list[Array]:
        found = first(rows, columns, leaves)
        return found if after is None else [after(found)]

    def gradients(_: Any, rows: Array, columns: Array, leaves: list[Array]) -> Any:
        columns = rows if same else columns
        floats = _some(wanted, leaves)
        result, worth = (None, None) if after is None else jax.value_and_grad(after)(first(rows, columns, leaves))

        def step(carry: Any, i: Array) -> Any:
            found, row_slopes, column_slopes, slopes = carry
            at = _block(i, n, size)
            some = at.of(rows)

            def differentiate(carry: Any, here: _Block, rows: _Block) -> Any:
                products, found, slopes = carry

                def of(products: Array, floats: list[Array]) -> tuple[Array, list[Array]]:
                    values = sums(products, rows, floats, leaves)
                    return (values[0] if worth is None else _dot(worth, values)), values

                (slope, more), values = jax.grad(of, (0, 1), has_aux=True)(here.of(products), floats)
                return here.put(products, slope), _added(found, values), _added(slopes, more)

            of_products, found, slopes = parts(differentiate, (_products(some, columns), found, slopes), at)

            def inner(carry: Any, j: Array) -> Any:
                mine, column_slopes = carry
                there = _block(_inside(j, i), m, width)
                part = jnp.where(there.new[None, :], lax.dynamic_slice_in_dim(of_products, there.start, width, 1), 0.0)
                to_rows, to_columns = jax.vjp(_products, some, there.of(columns))[1](part)
                return (mine + to_rows, there.added(column_slopes, to_columns)), None

            (mine, column_slopes), _ = lax.scan(inner, (jnp.zeros_like(some), column_slopes), jnp.arange(-(-m // width)))
            if same:
                column_slopes = at.added(column_slopes, mine)
            else:
                row_slopes = at.added(row_slopes, mine)
            return (found, row_slopes, column_slopes, slopes), None

        zeros = None if same else jnp.zeros_like(rows), jnp.zeros_like(columns), _nothing(floats, rows, axes)
        start = shapes(rows, columns, leaves), *zeros
        values: Any
        (values, row_slopes, column_slopes, slopes), _ = lax.scan(step, start, jnp.arange(-(-n // size)))
        of_vectors = [column_slopes, None] if same else [row_slopes, column_slopes]
        return values if result is None else [result], [*of_vectors, *_merge(wanted, slopes, [None] * len(wanted))]

    sums_of = with_gradients(total, gradients)
    return sums_of(rows, lax.stop_gradient(columns) if same else columns, leaves)


def sum_over_rows_sharing(
    share: Callable[..., Array], function: Callable[..., list[Array]], vectors: Array, given: Any, size: int, part: int, few: int = 16
) -> list[Array]:
    """`sum_over_rows` of what ``function(products, index, given, mine, all)`` says of each row, which also knows of all of them what
    ``share(products, index, given)`` says, a number each: `mine` are those of the rows at hand.

    The gradient first finds out what these numbers are worth, and is then that of one sum over rows.

    Args:
        share: Gives a number per row.
        function: Gives a list of arrays with a number per row.
        vectors: The set, compared with itself.
        given: Pytree of further arrays.
        size: As in `sum_over_rows`.
        part: The same.
        few: How many rows are multiplied with all at a time to find out what the numbers are worth; twice as many for the numbers.
    """
    n = vectors.shape[0]
    few = min(few, n // 2)
    axes = frozenset().union(*map(_varying, jax.tree.leaves((vectors, given))))
    vectors, given = _vary((vectors, jax.tree.map(jnp.asarray, given)), axes)
    leaves, tree = jax.tree.flatten(given)
    wanted, count = [_is_float(a) for a in leaves], -(-n // few)

    def shared(vectors: Array, given: Any) -> Array:
        def step(numbers: Array, i: Array) -> Any:
            at = _block(i, n, 2 * few)
            return at.put(numbers, share(_products(at.of(vectors), vectors), at.index, given)), None

        zeros = _nothing([jax.ShapeDtypeStruct((n,), vectors.dtype)], vectors, axes)[0]
        return lax.scan(step, zeros, jnp.arange(-(-n // (2 * few))))[0]

    def sums(vectors: Array, given: Any, numbers: Array, i: Any) -> list[Array]:
        at = _block(i, n, few)
        found = function(_products(at.of(vectors), vectors), at.index, given, at.of(numbers), numbers)
        return [jnp.sum(jnp.where(at.new, x, jnp.zeros_like(x))) for x in found]

    def total(vectors: Array, leaves: list[Array]) -> list[Array]:
        given = jax.tree.unflatten(tree, leaves)
        of_block = functools.partial(sums, vectors, given, shared(vectors, given))
        start = _nothing(jax.eval_shape(of_block, 0), vectors, axes)
        return lax.scan(lambda found, i: (_added(found, of_block(i)), None), start, jnp.arange(count))[0]

    def gradients(_: Any, vectors: Array, leaves: list[Array]) -> Any:
        given = jax.tree.unflatten(tree, leaves)
        numbers = shared(vectors, given)

        def step(carry: Any, i: Array) -> Any:
            def of_first(numbers: Array) -> tuple[Array, list[Array]]:
                found = sums(vectors, given, numbers, i)
                return found[0], found

            worths, found = jax.grad(of_first, has_aux=True)(numbers)
            return (_added(carry[0], found), carry[1] + worths), None

        start = _nothing(jax.eval_shape(functools.partial(sums, vectors, given, numbers), 0), vectors, axes), jnp.zeros_like(numbers)
        (found, worths), _ = lax.scan(step, start, jnp.arange(count))

        def first(vectors: Array, floats: list[Array]) -> Array:
            def each(products: Array, index: Array, held: Any) -> list[Array]:
                given, numbers, worths = held
                direct, *_ = function(products, index, given, numbers[index], numbers)
                return [direct + worths[index] * share(products, index, given)]

            given = jax.tree.unflatten(tree, _merge(wanted, floats, leaves))
            return sum_over_rows(each, vectors, vectors, (given, numbers, worths), size, part)[0]

        slopes, of_given = jax.grad(first, (0, 1))(vectors, _some(wanted, leaves))
        return found, [slopes, *_merge(wanted, of_given, [None] * len(wanted))]

    return with_gradients(total, gradients)(vectors, leaves)


def sum_over_partners(function: Callable[..., Any], rows: Array, partners: Sequence[Array], given: Any, size: int) -> list[Array]:
    """The sums over all rows of what ``function(some, others, given)`` says of each: `some` are a block of rows, `others` a list of the
    rows that are their partners, and of the arrays in `given` it gets the same block. Only the first sum has a derivative, in the rows.

    Args:
        function: Gives a list of arrays with one number per row.
        rows: Vectors.
        partners: For each row the index of another, once or several times.
        given: Pytree of arrays with one number per row.
        size: How many rows at a time.
    """
    n = rows.shape[0]
    size = min(size, n)
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, partners, given))))
    rows, partners, given = _vary((rows, list(partners), given), axes)
    start = _block(0, n, size)
    closed, held = _opened(function, axes, start.of(rows), [start.of(rows) for _ in partners], start.of(given))
    steps = range(-(-n // size))

    def sums(some: Array, others: list[Array], at: "_Block", given: Any, held: list[Array]) -> list[Array]:
        return [jnp.sum(jnp.where(at.new, v, jnp.zeros_like(v))) for v in closed(held, some, others, at.of(given))]

    def shapes(rows: Array, partners: Any, given: Any, held: list[Array]) -> list[Array]:
        each = jax.eval_shape(lambda r, g, h: sums(r, [r] * len(partners), _block(0, n, size), g, h), rows[:size], given, held)
        return _nothing(each, rows, axes)

    def total(rows: Array, partners: list[Array], given: Any, held: list[Array]) -> list[Array]:
        def step(found: list[Array], i: Array) -> Any:
            at = _block(i, n, size)
            more = sums(at.of(rows), [rows[at.of(p)] for p in partners], at, given, held)
            return _added(found, more), None

        return lax.scan(step, shapes(rows, partners, given, held), jnp.arange(len(steps)))[0]

    def gradients(_: Any, rows: Array, partners: list[Array], given: Any, held: list[Array]) -> Any:
        floats, are_floats = _floats(held), [_is_float(a) for a in held]

        def step(carry: Any, i: Array) -> Any:
            found, slopes, more = carry
            at = _block(i, n, size)
            chosen = [at.of(p) for p in partners]

            def of(some: Array, others: list[Array], floats: list[Array]) -> tuple[Array, list[Array]]:
                values = sums(some, others, at, given, _refilled(held, are_floats, floats))
                return values[0], values

            slope, values = jax.grad(of, (0, 1, 2), has_aux=True)(at.of(rows), [rows[c] for c in chosen], floats)
            slopes = at.added(slopes, slope[0])
            for where, part in zip(chosen, slope[1], strict=True):
                slopes = slopes.at[where].add(part)
            return (_added(found, values), slopes, _added(more, slope[2])), None

        start = shapes(rows, partners, given, held), jnp.zeros_like(rows), _nothing(floats, rows, axes)
        (values, slopes, more), _ = lax.scan(step, start, jnp.arange(len(steps)))
        constant = [None] * len(jax.tree.leaves((partners, given)))
        return values, [slopes, *constant, *_merge(are_floats, more, [None] * len(held))]

    return with_gradients(total, gradients)(rows, partners, given, held)


def map_over_rows(function: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """``function(some)`` of blocks of rows, arrays with one leading axis, put together. It has no derivative."""
    rows = lax.stop_gradient(rows)
    n = jax.tree.leaves(rows)[0].shape[0]
    size = min(size, n)
    axes = frozenset().union(*map(_varying, jax.tree.leaves(rows)))

    def step(results: Any, i: Array) -> Any:
        at = _block(i, n, size)
        return jax.tree.map(at.put, results, function(at.of(rows))), None

    kinds = jax.eval_shape(function, _block(0, n, size).of(rows))
    start = jax.tree.map(lambda a: _vary(jnp.zeros((n, *a.shape[1:]), a.dtype), axes), kinds)
    return lax.scan(step, start, jnp.arange(-(-n // size)))[0]


def value_of_tiles(
    tile: Callable[..., Any], after: Callable[[Any, Any], Array], rows: Any, columns: Any, size: int, triangle: bool = False
) -> Array:
    """``after(to_rows, to_columns)``, a number, of the sums that all tiles give to each row and to each column.

    The derivative computes every tile again, once it is known what the sums are worth, and adds to the gradients in place.

    Args:
        tile: Of some rows and some columns, and of which of them are new: what they give to these rows and to these columns, a list each.
        after: The value.
        rows: Pytree of arrays with one leading axis.
        columns: The same.
        size: Rows and columns of a tile.
        triangle: Whether the columns are the rows: tiles below the diagonal are left out, and what is given to either is given to both.
    """
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, columns))))
    rows, columns = _vary((rows, columns), axes)
    columns = rows if triangle else columns
    plan = _plan(rows, columns, size, triangle)
    examples = plan.examples(rows, columns)
    tile, of_tile = _opened(tile, axes, *examples)
    after, of_after = _opened(after, axes, *plan.start(tile, of_tile, examples, 0.0, axes))
    leaves, tree = jax.tree.flatten((rows, None if triangle else columns, of_tile, of_after))
    wanted = [_is_float(a) for a in leaves]

    def parts(leaves: Sequence[Array]) -> Any:
        rows, columns, of_tile, of_after = jax.tree.unflatten(tree, leaves)
        return rows, rows if triangle else columns, of_tile, of_after

    def value(leaves: list[Array]) -> Array:
        rows, columns, of_tile, of_after = parts(leaves)
        return after(of_after, *_totals(tile, of_tile, rows, columns, plan, axes))

    def gradients(_: Any, leaves: list[Array]) -> Any:
        rows, columns, of_tile, of_after = parts(leaves)
        sums = _totals(tile, of_tile, rows, columns, plan, axes)
        end, of_end = _of_floats(lambda held: functools.partial(after, held), of_after)
        result, (worth, after_slopes) = jax.value_and_grad(lambda sums, floats: end(floats)(*sums), (0, 1))(sums, *of_end)
        worth = (jax.tree.map(jnp.add, *worth),) * 2 if triangle else worth  # the same sums stand for both

        def step(carry: Any, at: tuple[Array, Array]) -> Any:
            row_slopes, column_slopes, slopes = carry
            here, there = plan.blocks(*at)
            of, floats = _of_floats(
                lambda row, column, held: tile(held, row, column, here.new, there.new), here.of(rows), there.of(columns), of_tile
            )
            left = [jnp.where(at[0] == at[1], jnp.zeros_like(x), x) if triangle else x for x in there.of(worth[1])]
            to_row, to_column, more = jax.vjp(of, *floats)[1]((here.of(worth[0]), left))
            column_slopes = jax.tree.map(there.added, column_slopes, to_column)
            if triangle:
                column_slopes = jax.tree.map(here.added, column_slopes, to_row)
            else:
                row_slopes = jax.tree.map(here.added, row_slopes, to_row)
            return (row_slopes, column_slopes, jax.tree.map(jnp.add, slopes, more)), None

        zeros = [_nothing(_floats(x), _floats(rows)[0], axes) for x in (rows, columns, of_tile)]
        start = ([] if triangle else zeros[0], *zeros[1:])
        every = jax.tree.leaves((lax.scan(step, start, plan.pairs)[0], after_slopes))
        return result, _merge(wanted, every, [None] * len(leaves))

    return with_gradients(value, gradients)(leaves)


def largest_of_tiles(tile: Callable[..., Any], rows: Any, columns: Any, size: int, triangle: bool = False) -> Any:
    """The largest of what all tiles give to each row and to each column, -inf where nothing is given. It has no derivative."""
    rows, columns = lax.stop_gradient((rows, columns))
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, columns))))
    plan = _plan(rows, columns, size, triangle)
    tile, held = _opened(tile, axes, *plan.examples(rows, columns))
    return _totals(tile, held, rows, columns, plan, axes, jnp.maximum, -jnp.inf)


class _Plan(NamedTuple):
    """How rows and columns are cut into tiles, and which tiles there are."""

    n: int
    m: int
    height: int
    width: int
    triangle: bool
    pairs: tuple[Any, Any]  # of NumPy: a derivative may be traced when what is traced now is gone

    def blocks(self, i: Any, j: Any) -> tuple["_Block", "_Block"]:
        return _block(i, self.n, self.height), _block(j, self.m, self.width)

    def examples(self, rows: Any, columns: Any) -> tuple[Any, Any, Array, Array]:
        """What the first tile is given."""
        here, there = self.blocks(0, 0)
        return here.of(rows), there.of(columns), here.new, there.new

    def start(self, tile: Callable[..., Any], held: Any, examples: Any, number: float, axes: frozenset[str]) -> list[list[Array]]:
        """That number for each row and for each column, in arrays of the kind that tiles give."""
        kinds = jax.eval_shape(tile, held, *examples)
        return [
            [_vary(jnp.full((k, *a.shape[1:]), number, a.dtype), axes) for a in side]
            for k, side in zip((self.n, self.m), kinds, strict=True)
        ]


def _plan(rows: Any, columns: Any, size: int, triangle: bool) -> _Plan:
    n, m = (jax.tree.leaves(given)[0].shape[0] for given in (rows, columns))
    height, width = min(size, n), min(size, m)
    counts = -(-n // height), -(-m // width)
    pairs = np.triu_indices(counts[0]) if triangle else tuple(x.ravel() for x in np.indices(counts))
    return _Plan(n, m, height, width, triangle, (pairs[0].astype(np.int32), pairs[1].astype(np.int32)))


def _totals(
    tile: Callable[..., Any],
    held: Any,
    rows: Any,
    columns: Any,
    plan: _Plan,
    axes: frozenset[str],
    merge: Callable[[Array, Array], Array] = jnp.add,
    number: float = 0.0,
) -> tuple[Any, Any]:
    """What all tiles give to each row and to each column, merged."""

    def step(carry: Any, at: tuple[Array, Array]) -> Any:
        to_rows, to_columns = carry
        here, there = plan.blocks(*at)
        right, left = tile(held, here.of(rows), there.of(columns), here.new, there.new)
        if plan.triangle:
            left = [jnp.where(at[0] == at[1], jnp.full_like(x, number), x) for x in left]
        to_rows = [here.put(x, merge(here.of(x), y)) for x, y in zip(to_rows, right, strict=True)]
        to_columns = [there.put(x, merge(there.of(x), y)) for x, y in zip(to_columns, left, strict=True)]
        return (to_rows, to_columns), None

    start = plan.start(tile, held, plan.examples(rows, columns), number, axes)
    to_rows, to_columns = lax.scan(step, tuple(start), plan.pairs)[0]
    if plan.triangle:
        to_rows = to_columns = jax.tree.map(merge, to_rows, to_columns)
    return to_rows, to_columns


def _floats(tree: Any) -> list[Array]:
    return [a for a in jax.tree.leaves(tree) if _is_float(a)]


def _of_floats(function: Callable[..., Any], *trees: Any) -> tuple[Callable[..., Any], list[list[Array]]]:
    """The function of the floating arrays of its arguments alone, and these."""

    def of(*floats: Any) -> Any:
        return function(*(_refilled(t, [_is_float(a) for a in jax.tree.leaves(t)], f) for t, f in zip(trees, floats, strict=True)))

    return of, [_floats(t) for t in trees]


class _Block(NamedTuple):
    """Neighbours along the first axis. The last block reaches back over some that are `new` in the one before."""

    start: Any
    index: Any  # hides tuple.index
    new: Any

    def of(self, tree: Any) -> Any:
        """The block of each array."""
        return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, self.start, self.index.shape[0]), tree)

    def added(self, total: Array, part: Array) -> Array:
        """The total with a block added to it, in place."""
        return self.put(total, self.of(total) + part)

    def put(self, total: Array, part: Array) -> Array:
        """The total with a block replaced."""
        return lax.dynamic_update_slice_in_dim(total, part, self.start, 0)


def _block(i: Any, size: int, each: int) -> _Block:
    first = jnp.asarray(i, jnp.int32) * each
    start = jnp.minimum(first, size - each)
    index = start + jnp.arange(each, dtype=jnp.int32)
    return _Block(start, index, index >= first)


def _added(totals: Sequence[Array], more: Sequence[Array]) -> list[Array]:
    return [x + y for x, y in zip(totals, more, strict=True)]


def _dot(slopes: Sequence[Array], changes: Sequence[Array]) -> Array:
    return jnp.asarray(sum(jnp.sum(g * t) for g, t in zip(slopes, changes, strict=True)))


def _inside(j: Array, i: Array) -> Array:
    """The step of an inner loop, tied to that of the outer one: else jax cuts all columns into blocks, a copy, before the outer loop."""
    return lax.optimization_barrier((j, i))[0]


def _products(rows: Array, columns: Array) -> Array:
    return lax.dot_general(rows, columns, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST)


def _opened(function: Callable[..., Any], axes: frozenset[str], *examples: Any) -> tuple[Callable[..., Any], list[Array]]:
    """The function with what it holds on to as its first argument, and that: a derivative must see it come in."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*examples)

    def opened(held: Sequence[Array], *given: Any) -> Any:
        results = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, held))(*jax.tree.leaves(given))
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return opened, _vary([jnp.asarray(x) for x in closed.consts], axes)


def _refilled(tree: Any, wanted: Sequence[bool], floats: Sequence[Any]) -> Any:
    """The tree with other floating arrays."""
    leaves, structure = jax.tree.flatten(tree)
    return jax.tree.unflatten(structure, _merge(wanted, floats, leaves))
