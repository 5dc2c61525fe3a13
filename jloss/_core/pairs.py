"""Sums over all pairs of a set, or of two, that hold neither all pairs nor a copy of the set beside its gradient.

`sum_over_rows` is for what one row says of all columns, `value_of_tiles` for sums over tiles of pairs. Gradients are computed by jax, a
block of pairs at a time, and added in place where the whole gradient will be: the transpose of a `lax.scan` would make an array as large
as the set for every block. Each is a `custom_jvp` whose tangent is the gradient times the change, so that everything composes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jloss._core.chunks import _is_float, _merge, _some, _vary, _varying

COLUMNS = 1024  # the gradients of the products with so many columns are added at once


def sum_over_rows(function: Callable[[Array, Array, Any], Any], rows: Array, columns: Array, given: Any, size: int) -> Any:
    """The sums over all rows of what ``function(products, index, given)`` says of each, where `products` are those of some rows with
    all columns and `index` is which rows these are. Only the first of the sums has a derivative.

    It is computed beside the value, `size` rows at a time, as gradients with respect to the products; they are added to those of rows and
    columns in place. So nothing is as large as all products, and nothing but the gradients as large as the rows.

    Args:
        function: Gives a list of arrays with one number per row.
        rows: Vectors.
        columns: Vectors; the same array if a set is compared with itself.
        given: Pytree of further arrays.
        size: How many rows at a time.
    """
    same, n, m = columns is rows, rows.shape[0], columns.shape[0]
    size, width = min(size, n), min(COLUMNS, m)
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, columns, given))))
    rows, columns, given = _vary((rows, columns, given), axes)
    closed, found = _opened(function, axes, _products(rows[:size], columns), jnp.arange(size), given)
    leaves, tree = jax.tree.flatten((given, found))
    wanted = [_is_float(a) for a in leaves]

    def sums(products: Array, at: Any, floats: Sequence[Array], leaves: Sequence[Array]) -> list[Array]:
        given, found = jax.tree.unflatten(tree, _merge(wanted, floats, leaves))
        values = closed(found, products, at.index, given)
        return [jnp.sum(jnp.where(at.new, v, jnp.zeros_like(v))) for v in values]

    def shapes(rows: Array, columns: Array, leaves: Sequence[Array]) -> list[Array]:
        each = jax.eval_shape(lambda r, c, s: sums(_products(r, c), _block(0, n, size), _some(wanted, s), s), rows[:size], columns, leaves)
        return [_vary(jnp.zeros(a.shape, a.dtype), axes) for a in each]

    @jax.custom_jvp
    def total(rows: Array, columns: Array, leaves: list[Array]) -> list[Array]:
        def step(found: list[Array], i: Array) -> Any:
            at = _block(i, n, size)
            more = sums(_products(at.of(rows), columns), at, _some(wanted, leaves), leaves)
            return [x + y for x, y in zip(found, more, strict=True)], None

        return lax.scan(step, shapes(rows, columns, leaves), jnp.arange(-(-n // size)))[0]

    @total.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        rows, columns, leaves = primals
        columns = rows if same else columns
        floats = _some(wanted, leaves)

        def step(carry: Any, i: Array) -> Any:
            found, row_slopes, column_slopes, slopes = carry
            at = _block(i, n, size)
            some = at.of(rows)

            def of(products: Array, floats: list[Array]) -> tuple[Array, list[Array]]:
                values = sums(products, at, floats, leaves)
                return values[0], values

            (_, values), (of_products, more) = jax.value_and_grad(of, (0, 1), has_aux=True)(_products(some, columns), floats)

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
            found = [x + y for x, y in zip(found, values, strict=True)]
            slopes = [x + y for x, y in zip(slopes, more, strict=True)]
            return (found, row_slopes, column_slopes, slopes), None

        zeros = [None if same else jnp.zeros_like(rows), jnp.zeros_like(columns), [jnp.zeros_like(a) for a in floats]]
        start = shapes(rows, columns, leaves), *zeros
        (values, row_slopes, column_slopes, slopes), _ = lax.scan(step, start, jnp.arange(-(-n // size)))
        of_rows, of_columns, of_leaves = tangents
        changes = [of_rows if same else of_columns, *_some(wanted, of_leaves)]
        change = _dot([column_slopes, *slopes], changes) if same else _dot([row_slopes, column_slopes, *slopes], [of_rows, *changes])
        return values, [change.astype(values[0].dtype), *map(jnp.zeros_like, values[1:])]

    return total(rows, lax.stop_gradient(columns) if same else columns, leaves)


def value_of_tiles(
    tile: Callable[..., Any], after: Callable[[Any, Any], Array], rows: Any, columns: Any, size: int, triangle: bool = False
) -> Array:
    """``after(to_rows, to_columns)``, a number, of the sums that all tiles give to each row and to each column.

    The derivative computes every tile again, once it is known what the sums are worth, and adds to the gradients in place.

    Args:
        tile: Of some rows and some columns, and of which of them count: what they give to these rows and to these columns, a list each.
        after: The value.
        rows: Pytree of arrays with one leading axis.
        columns: The same.
        size: Rows and columns of a tile.
        triangle: Whether the columns are the rows: tiles below the diagonal are left out, and what is given to either is given to both.
    """
    axes = frozenset().union(*map(_varying, jax.tree.leaves((rows, columns))))
    rows, columns = _vary((rows, columns), axes)
    columns = rows if triangle else columns
    n, m = (jax.tree.leaves(given)[0].shape[0] for given in (rows, columns))
    height, width = min(size, n), min(size, m)
    steps = jnp.arange(-(-n // height)), jnp.arange(-(-m // width))
    here, there = _block(0, n, height), _block(0, m, width)
    tile, of_tile = _opened(tile, axes, here.of(rows), there.of(columns), here.new, there.new)
    kinds = jax.eval_shape(tile, of_tile, here.of(rows), there.of(columns), here.new, there.new)
    right, left = ([_vary(jnp.zeros(k, a.dtype), axes) for a in side] for k, side in zip((n, m), kinds, strict=True))
    after, of_after = _opened(after, axes, right, left)
    leaves, tree = jax.tree.flatten((rows, None if triangle else columns, of_tile, of_after))
    wanted = [_is_float(a) for a in leaves]

    def parts(floats: Sequence[Array], leaves: Sequence[Array]) -> Any:
        rows, columns, of_tile, of_after = jax.tree.unflatten(tree, _merge(wanted, floats, leaves))
        return rows, rows if triangle else columns, of_tile, of_after

    def totals(rows: Any, columns: Any, of_tile: Any) -> Any:
        def outer(carry: Any, i: Array) -> Any:
            to_rows, to_columns = carry
            at = _block(i, n, height)
            row = at.of(rows)

            def inner(carry: Any, j: Array) -> Any:
                def some(mine: Any, to_columns: Any) -> Any:
                    there = _block(_inside(j, i), m, width)
                    right, left = tile(of_tile, row, there.of(columns), at.new, there.new)
                    left = [jnp.where(i == j, jnp.zeros_like(x), x) for x in left] if triangle else left
                    return jax.tree.map(jnp.add, mine, right), jax.tree.map(there.added, to_columns, left)

                if triangle:
                    return lax.cond(j < i, lambda *same: same, some, *carry), None
                return some(*carry), None

            (mine, to_columns), _ = lax.scan(inner, ([lax.slice_in_dim(x, 0, height) for x in right], to_columns), steps[1])
            return (jax.tree.map(at.added, to_rows, mine), to_columns), None

        to_rows, to_columns = lax.scan(outer, (right, left), steps[0])[0]
        if triangle:
            to_rows = to_columns = jax.tree.map(jnp.add, to_rows, to_columns)
        return to_rows, to_columns

    @jax.custom_jvp
    def value(leaves: list[Array]) -> Array:
        rows, columns, of_tile, of_after = parts(_some(wanted, leaves), leaves)
        return after(of_after, *totals(rows, columns, of_tile))

    @value.defjvp
    def derivative(primals: Any, tangents: Any) -> Any:
        (leaves,), (changes,) = primals, tangents
        rows, columns, of_tile, of_after = parts(_some(wanted, leaves), leaves)
        given = totals(rows, columns, of_tile)
        kinds = [[_is_float(a) for a in found] for found in (of_tile, of_after)]
        of_after_floats = _some(kinds[1], of_after)

        def end(sums: Any, floats: Any) -> Array:
            return after(_merge(kinds[1], floats, of_after), *sums)

        result, (worth, of_after_slopes) = jax.value_and_grad(end, (0, 1))(given, of_after_floats)
        if triangle:  # the same sums stand for both
            worth = (jax.tree.map(jnp.add, *worth),) * 2
        fixed = [_is_float(a) for a in jax.tree.leaves(rows)], [_is_float(a) for a in jax.tree.leaves(columns)]

        def outer(carry: Any, i: Array) -> Any:
            row_slopes, column_slopes, slopes = carry
            at = _block(i, n, height)
            row = at.of(rows)

            def inner(carry: Any, j: Array) -> Any:
                def some(mine: Any, column_slopes: Any, slopes: Any) -> Any:
                    there = _block(_inside(j, i), m, width)
                    column = there.of(columns)

                    def of(row_floats: Any, column_floats: Any, found: Any) -> Any:
                        some = _refilled(row, fixed[0], row_floats), _refilled(column, fixed[1], column_floats)
                        return tile(_merge(kinds[0], found, of_tile), *some, at.new, there.new)

                    left = [jnp.where(i == j, jnp.zeros_like(x), x) if triangle else x for x in there.of(worth[1])]
                    floats = _some(fixed[0], jax.tree.leaves(row)), _some(fixed[1], jax.tree.leaves(column)), _some(kinds[0], of_tile)
                    to_row, to_column, more = jax.vjp(of, *floats)[1]((at.of(worth[0]), left))
                    column_slopes = jax.tree.map(there.added, column_slopes, to_column)
                    return jax.tree.map(jnp.add, mine, to_row), column_slopes, jax.tree.map(jnp.add, slopes, more)

                if triangle:
                    return lax.cond(j < i, lambda *same: same, some, *carry), None
                return some(*carry), None

            start = jax.tree.map(jnp.zeros_like, _some(fixed[0], jax.tree.leaves(row))), column_slopes, slopes
            (mine, column_slopes, slopes), _ = lax.scan(inner, start, steps[1])
            if triangle:
                return (row_slopes, jax.tree.map(at.added, column_slopes, mine), slopes), None
            return (jax.tree.map(at.added, row_slopes, mine), column_slopes, slopes), None

        zeros = [jax.tree.map(jnp.zeros_like, _some(f, jax.tree.leaves(x))) for f, x in zip(fixed, (rows, columns), strict=True)]
        start = [] if triangle else zeros[0], zeros[1], jax.tree.map(jnp.zeros_like, _some(kinds[0], of_tile))
        (row_slopes, column_slopes, slopes), _ = lax.scan(outer, start, steps[0])
        every = [*row_slopes, *column_slopes, *slopes, *of_after_slopes]
        return result, _dot(every, _some(wanted, changes)).astype(result.dtype)

    return value(leaves)


class _Block(NamedTuple):
    """Neighbours along the first axis. The last block reaches back over some that are `new` in the one before."""

    start: Any
    index: Any  # type: ignore[assignment]  # hides tuple.index
    new: Any

    def of(self, tree: Any) -> Any:
        """The block of each array."""
        return jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, self.start, self.index.shape[0]), tree)

    def added(self, total: Array, part: Array) -> Array:
        """The total with a block added to it, in place."""
        return lax.dynamic_update_slice_in_dim(total, self.of(total) + part, self.start, 0)


def _block(i: Any, size: int, each: int) -> _Block:
    start = jnp.minimum(jnp.asarray(i) * each, size - each)
    index = start + jnp.arange(each)
    return _Block(start, index, index >= jnp.asarray(i) * each)


def _dot(slopes: Sequence[Array], changes: Sequence[Array]) -> Array:
    return jnp.asarray(sum(jnp.sum(g * t) for g, t in zip(slopes, changes, strict=True)))


def _inside(j: Array, i: Array) -> Array:
    """The step of an inner loop, tied to that of the outer one: otherwise jax cuts all columns into blocks, a copy, before the outer loop."""
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
