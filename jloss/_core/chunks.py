"""Sums over rows of something too large to hold for all rows at once, evaluated a chunk of rows at a time.

A row is whatever differs: a token, an embedding, a pair. Beside the rows there are shared arrays: the vocabulary matrix, all
other embeddings. ``function(rows, shared, where)`` is given a chunk of rows; what is large lives only inside of it.

The derivative has two schedules, and both get it from jax:

- ``"cached"``: the forward pass calls `jax.value_and_grad` on each chunk and keeps the gradients alone. Nothing is computed twice,
  and a value without a gradient costs nothing more. For a scalar that is summed over chunks, in reverse mode.
- ``"recompute"``: `jax.checkpoint` around each chunk. Everything composes: jvp, hessian, values per row.

The gradient of shared half-precision arrays is summed over chunks in float32, or, on one device, in two bfloat16 numbers that are half as
large where the upper one is already the gradient. Chunks are strided: each takes every c-th row, so
that rows sharded over devices give each chunk a slice of every shard, and nothing moves between devices. On a single CPU
they are slices, which need not be moved to the front and back. This is the one
module of jloss with a `custom_vjp`; its rules decide when a derivative is computed, never what it is.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jloss._core import backend

Backward = Literal["cached", "recompute"]
CHUNKS = 16  # large chunks: matrix products stay efficient, and a sixteenth of the memory is left
FEWEST = 64  # tokens whose logits are never split by default: a loop over less takes longer to compile and to run than it saves memory
ENOUGH = 512  # tokens from which on the products of a chunk take longer than reading the kernel and adding to its gradient


def chunked_sum(
    function: Callable[[Any, Any, Array | None], Array],
    rows: Any,
    shared: Any = (),
    where: Array | None = None,
    *,
    levels: int = 1,
    chunk_size: int | None = None,
    backward: Backward = "cached",
) -> Array:
    """The sum over chunks of ``function(rows, shared, where)``, a number for each chunk.

    Args:
        function: Gives the sum over a chunk of rows; it must leave out the rows where its third argument, unless None, is False.
        rows: Pytree of arrays with `levels` leading batch axes in common.
        shared: Pytree of arrays that every chunk needs.
        where: Boolean with the batch axes: the rows that count.
        levels: Number of batch axes.
        chunk_size: Rows in a chunk, at most; by default there are sixteen chunks.
        backward: When the derivative is computed.
    """
    layout = _layout(_batch(rows, where, levels), chunk_size, _shards(rows, where, levels))
    if backward == "cached":
        return _cached(function, layout, rows, where, shared)
    return jnp.sum(_scan(*_checkpointed(function, layout.split(rows), layout.split_where(where), shared)))


def chunked_map(
    function: Callable[[Any, Any, Array | None], Any],
    rows: Any,
    shared: Any = (),
    where: Array | None = None,
    *,
    levels: int = 1,
    chunk_size: int | None = None,
) -> Any:
    """``function(rows, shared, where)``, values with the batch axes in front, a chunk at a time; the derivative recomputes."""
    layout = _layout(_batch(rows, where, levels), chunk_size, _shards(rows, where, levels))
    return layout.join(_scan(*_checkpointed(function, layout.split(rows), layout.split_where(where), shared)))


def fewest(features: Sequence[Any]) -> int:
    """Tokens whose logits are not split by default; `features` are those of each head. All its logits are no larger than a kernel."""
    return max(FEWEST, *(min(n, ENOUGH) // len(features) for n in features if isinstance(n, int)), 1)


# ---------------------------------------------------------------- schedules


def _scan(function: Callable[..., Any], rows: Any, where: Any, shared: Any) -> Any:
    """The results of all chunks, stacked."""
    return _over_chunks(lambda carry, chunk: (carry, function(chunk[0], shared, chunk[1])), None, (rows, where))[1]


def _over_chunks(step: Callable[..., Any], carry: Any, chunks: Any) -> Any:
    """`lax.scan`; a single chunk needs no loop, which is half of the time to compile `linear_head` for a few tokens."""
    if jax.tree.leaves(chunks)[0].shape[0] != 1:
        return lax.scan(step, carry, chunks)
    carry, results = step(carry, _first(chunks))
    return carry, jax.tree.map(lambda a: jnp.expand_dims(a, 0), results)


def _checkpointed(function: Callable[..., Any], rows: Any, where: Any, shared: Any) -> tuple[Callable[..., Any], Any, Any, Any]:
    """The function under `jax.checkpoint`, and its shared arrays widened, so that their gradients add up in float32."""
    axes = _varying_axes(function, _first(rows), shared, _first(where))
    dtypes = jax.tree.map(lambda a: a.dtype, shared)

    def body(rows: Any, wide: Any, where: Array | None) -> Any:
        return function(rows, jax.tree.map(lambda a, dtype: a.astype(dtype), wide, dtypes), where)

    return jax.checkpoint(body, prevent_cse=False), *_vary((rows, where, _widened(shared)), axes)


def _cached(function: Callable[..., Array], layout: "_Layout", rows: Any, where: Array | None, shared: Any) -> Array:
    """The sum whose gradients are computed beside it, chunk by chunk, and scaled when the outer cotangent is known.

    Shared arrays come wide and are narrowed at once, so that devices, too, add up their gradients in float32. float16 stays wide: the
    gradient of a sum over a chunk, which is divided by the mass only afterwards, leaves its range.
    """
    axes = _varying_axes(function, layout.one(rows), shared, layout.one(layout.mask(where)))
    rows, where = _vary((rows, where), axes)
    dtypes = [_chunk_dtype(a) for a in jax.tree.leaves(shared)]
    wide = _vary(_widened(shared), axes)
    narrow = jax.tree.map(lambda a, like: a.astype(_chunk_dtype(like)), wide, shared)
    first = _in_chunk_dtype(layout.one(rows)), narrow, layout.one(layout.mask(where))
    closed, found = jax.closure_convert(function, *first)  # it may hold on to what is differentiated
    dtypes += [a.dtype for a in found]
    in_two = _is_on_one_device((rows, shared, where))
    row_leaves, row_tree = jax.tree.flatten(rows)
    shared_leaves, shared_tree = jax.tree.flatten((wide, found))
    dtype = jnp.float64 if any(a.dtype == jnp.float64 for a in [*row_leaves, *shared_leaves]) else jnp.float32

    def call(row_leaves: Sequence[Any], shared_leaves: Sequence[Any], where: Array | None) -> Array:
        row_leaves = _in_chunk_dtype(row_leaves)
        shared, found = jax.tree.unflatten(shared_tree, shared_leaves)
        return closed(jax.tree.unflatten(row_tree, row_leaves), shared, where, *found).astype(dtype)

    @jax.custom_vjp
    def total(rows: list[Array], shared: list[Array], where: Array | None) -> Array:
        return jnp.sum(_scan(call, layout.split(rows), layout.split_where(where), _as(dtypes, shared)))

    def forward(rows: Any, shared: Any, where: Any) -> tuple[Array, Any]:
        wanted = [[p.perturbed and _is_float(p.value) for p in leaves] for leaves in (rows, shared)]
        rows, shared, where = jax.tree.map(lambda p: p.value, (rows, shared, where), is_leaf=lambda p: hasattr(p, "perturbed"))
        shared = _as(dtypes, shared)

        def step(sums: tuple[Array, list[Array]], chunk: Any) -> Any:
            chunk_rows, chunk_where = _in_chunk_dtype(chunk[0]), chunk[1]

            def of(row_some: list[Array], shared_some: list[Array]) -> Array:
                return call(_merge(wanted[0], row_some, chunk_rows), _merge(wanted[1], shared_some, shared), chunk_where)

            value, (row_slopes, shared_slopes) = jax.value_and_grad(of, (0, 1))(_some(wanted[0], chunk_rows), _some(wanted[1], shared))
            return (sums[0] + value, [_plus(s, g) for s, g in zip(sums[1], shared_slopes, strict=True)]), row_slopes

        zeros = [_zeros(a, in_two) for a in _some(wanted[1], shared)]
        start = _vary(jnp.zeros((), dtype), axes), zeros
        (value, shared_slopes), row_slopes = _over_chunks(step, start, (layout.split(rows), layout.split_where(where)))
        nothing: list[Any] = [None] * (len(rows) + len(shared))
        row_slopes = lax.optimization_barrier(layout.join(row_slopes))  # or a TPU widens half-precision ones before it joins them
        row_slopes = _merge(wanted[0], row_slopes, nothing[: len(rows)])
        return value, (row_slopes, _merge(wanted[1], shared_slopes, nothing[len(rows) :]))

    def backward(kept: Any, cotangent: Any) -> tuple[Any, Any, None]:
        row_slopes, shared_slopes = kept
        if isinstance(cotangent, SymbolicZero):
            return None, None, None
        scaled = [
            [None if g is None else _times(g, cotangent).astype(a.dtype) for g, a in zip(gs, leaves, strict=True)]
            for gs, leaves in ((row_slopes, row_leaves), (shared_slopes, shared_leaves))
        ]
        return scaled[0], scaled[1], None

    total.defvjp(forward, backward, symbolic_zeros=True)
    return total(row_leaves, shared_leaves, where)


class _InTwo(NamedTuple):
    """A float32 number, but for its last 7 digits of 24, as the sum of two bfloat16."""

    upper: Array  # the nearest bfloat16
    lower: Array


def _zeros(like: Array, in_two: bool) -> Any:
    """Where the gradient of a shared array is summed up. In two bfloat16 the upper is the result, and no float32 is held beside it."""
    if in_two and like.dtype == jnp.bfloat16:
        return _InTwo(jnp.zeros_like(like), jnp.zeros_like(like))
    return jnp.zeros_like(like, dtype=_wide(like))


def _plus(total: Any, slope: Array) -> Any:
    if not isinstance(total, _InTwo):
        return total + slope.astype(total.dtype)
    exact = _whole(total) + slope.astype(jnp.float32)
    upper = exact.astype(jnp.bfloat16)
    return _InTwo(upper, (exact - upper.astype(jnp.float32)).astype(jnp.bfloat16))


def _whole(total: _InTwo) -> Array:
    return total.upper.astype(jnp.float32) + total.lower.astype(jnp.float32)


def _times(slope: Any, factor: Array) -> Array:
    """The slope times a number, wide. Where that is 1, as of a mean that is differentiated by itself, XLA leaves the slope as it is."""
    if isinstance(slope, _InTwo):
        factor = factor.astype(jnp.float32)
        return jnp.where(factor == 1, slope.upper.astype(jnp.float32), _whole(slope) * factor)
    return slope.astype(_wide(slope)) * factor.astype(_wide(slope))


def _is_on_one_device(tree: Any) -> bool:
    """Whether no array is of a mesh: there XLA adds up gradients over devices once, but only if every chunk does no more than add."""
    meshes = [getattr(getattr(jax.typeof(a), "sharding", None), "mesh", None) for a in jax.tree.leaves(tree)]
    meshes.append(jax.sharding.get_abstract_mesh())
    return all(mesh is None or mesh.size <= 1 for mesh in meshes)


def _as(dtypes: Sequence[Any], leaves: Sequence[Array]) -> list[Array]:
    return [lax.convert_element_type(a, dtype) for a, dtype in zip(leaves, dtypes, strict=True)]


def _some(wanted: Sequence[bool], leaves: Sequence[Any]) -> list[Any]:
    return [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]


def _merge(wanted: Sequence[bool], some: Sequence[Any], leaves: Sequence[Any]) -> list[Any]:
    """`leaves` with those that are wanted replaced by `some`."""
    replacement = iter(some)
    return [next(replacement) if want else leaf for leaf, want in zip(leaves, wanted, strict=True)]


def _is_float(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)


def _wide(array: Array) -> Any:
    return jnp.float64 if array.dtype == jnp.float64 else jnp.float32


def _chunk_dtype(array: Array) -> Any:
    return jnp.float32 if array.dtype == jnp.float16 else array.dtype


def _in_chunk_dtype(tree: Any) -> Any:
    return jax.tree.map(lambda a: a.astype(jnp.float32) if a.dtype == jnp.float16 else a, tree)


def _first(tree: Any) -> Any:
    return jax.tree.map(lambda a: lax.index_in_dim(a, 0, keepdims=False), tree)


def _widened(tree: Any) -> Any:
    return jax.tree.map(lambda a: a.astype(_wide(a)) if _is_float(a) else a, tree)


def _varying_axes(function: Callable[..., Any], *first: Any) -> frozenset[str]:
    """Inside `jax.shard_map`: the mesh axes over which the result varies."""
    if not jax.sharding.get_abstract_mesh().axis_names:
        return frozenset()
    return frozenset().union(*map(_varying, jax.tree.leaves(jax.eval_shape(function, *first))))


def _vary(tree: Any, axes: frozenset[str]) -> Any:
    """The arrays, varying over the axes over which the result varies, so that every device scales its own gradients. The
    transpose sums those of replicated arrays over devices once, after the last chunk, and not in each."""

    def vary(array: Array) -> Array:
        missing = tuple(sorted(axes - _varying(array)))
        return lax.pcast(array, missing, to="varying") if missing else array

    return jax.tree.map(vary, tree)


def _varying(array: Array) -> frozenset[str]:
    kind = jax.typeof(array)
    return getattr(getattr(kind, "manual_axis_type", None), "varying", getattr(kind, "vma", frozenset()))


# ---------------------------------------------------------------- rows into chunks


class _Layout(NamedTuple):
    """How each batch axis is cut: its size, into how many strides, its size with the padding; and whether CPUs take slices."""

    sizes: tuple[Any, ...]
    counts: tuple[Any, ...]
    padded: tuple[Any, ...]
    may_be_slices: bool

    def split(self, tree: Any) -> Any:
        """Chunks in front: ``(c, n / c, ...)`` from ``(n, ...)``; padding is zeros."""
        return jax.tree.map(self._split, tree)

    def split_where(self, where: Array | None) -> Array | None:
        """The mask in chunks; padded rows do not count. None if there is neither."""
        return self.split(self.mask(where))

    def mask(self, where: Array | None) -> Array | None:
        """The mask, which there is wherever rows are padded."""
        return jnp.ones(self.sizes, bool) if where is None and self.sizes != self.padded else where

    def one(self, tree: Any) -> Any:
        """As many rows as there are in a chunk."""
        if not all(isinstance(n, int) for n in self.sizes):  # a slice of a symbolic size is of another one
            return _first(self.split(tree))
        return jax.tree.map(lambda a: lax.slice(a, [0] * a.ndim, (*self._inside, *a.shape[len(self.sizes) :])), tree)

    def join(self, tree: Any) -> Any:
        """The inverse of `split`, without the padding."""
        return jax.tree.map(self._join, tree)

    @property
    def _inside(self) -> tuple[Any, ...]:
        return tuple(p // c for p, c in zip(self.padded, self.counts, strict=True))

    def _split(self, array: Array) -> Array:
        levels, core = len(self.sizes), array.shape[len(self.sizes) :]
        pads = [(0, p - n) for p, n in zip(self.padded, self.sizes, strict=True)] + [(0, 0)] * len(core)
        array = array if self.sizes == self.padded else jnp.pad(array, pads)
        inside = self._inside

        def strided(array: Array) -> Array:
            array = array.reshape(*(size for pair in zip(inside, self.counts, strict=True) for size in pair), *core)
            array = jnp.moveaxis(array, range(1, 2 * levels, 2), range(levels))
            return array.reshape(math.prod(self.counts), *inside, *core)

        def slices(array: Array) -> Array:
            return array.reshape(self.counts[0], *inside, *core)

        return backend.by_platform(array, cpu=slices, default=strided) if self.may_be_slices else strided(array)

    def _join(self, array: Array) -> Array:
        levels, core = len(self.sizes), array.shape[len(self.sizes) + 1 :]

        def strided(array: Array) -> Array:
            array = array.reshape(*self.counts, *array.shape[1 : levels + 1], *core)
            return jnp.moveaxis(array, range(levels), range(1, 2 * levels, 2)).reshape(*self.padded, *core)

        def slices(array: Array) -> Array:
            return array.reshape(*self.padded, *core)

        array = backend.by_platform(array, cpu=slices, default=strided) if self.may_be_slices else strided(array)
        return array if self.sizes == self.padded else array[tuple(slice(0, n) for n in self.sizes)]


def _batch(rows: Any, where: Array | None, levels: int) -> tuple[Any, ...]:
    return tuple(jax.tree.leaves((rows, where))[0].shape[:levels])


def _shards(rows: Any, where: Array | None, levels: int) -> tuple[int, ...]:
    """Over how many devices each batch axis is explicitly sharded: jax then wants rows of all of them in each chunk."""
    counts = [1] * levels
    for array in jax.tree.leaves((rows, where)):
        mesh, spec = jax.typeof(array).sharding.mesh, backend.spec_of(array)
        for at, names in enumerate(spec[:levels]):
            if names is not None:
                counts[at] = math.prod(mesh.shape[n] for n in ((names,) if isinstance(names, str) else names))
    return tuple(counts)


def _layout(sizes: tuple[Any, ...], chunk_size: int | None, shards: tuple[int, ...] = ()) -> _Layout:
    """Cuts the longest axis first, where possible into equal strides; one that devices share into equal ones of all devices."""
    known = all(isinstance(n, int) for n in sizes)
    total = math.prod(sizes)
    wanted = CHUNKS if chunk_size is None else -(-total // chunk_size)
    counts: dict[int, Any] = {}
    for at in sorted(range(len(sizes)), key=lambda i: sizes[i] if known else 0, reverse=True):
        counts[at] = _count(sizes[at], wanted, shards[at] if shards else 1)
        wanted = -(-wanted // counts[at]) if known else 1
    padded = tuple(-(-n // counts[i]) * counts[i] for i, n in enumerate(sizes))
    one = bool(sizes) and known and backend.on_one_cpu() and all(counts[i] == 1 for i in range(1, len(sizes)))
    return _Layout(sizes, tuple(counts[i] for i in range(len(sizes))), padded, one)


def _count(size: Any, wanted: Any, shards: int) -> Any:
    """Into how many strides an axis is cut: a divisor close above `wanted`, if there is one."""
    if not isinstance(size, int) or not isinstance(wanted, int):
        return wanted
    if shards > 1:
        return next((c for c in range(max(1, wanted), size // shards) if size // shards % c == 0), max(1, size // shards))
    wanted = max(1, min(wanted, size))
    return next((c for c in range(wanted, min(2 * wanted, size) + 1) if size % c == 0), wanted)
