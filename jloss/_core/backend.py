"""What makes a loss faster or smaller on one kind of device. It changes the order of the arithmetic and no number.

XLA for CPUs does not fuse across a reduction as GPUs and TPUs do: what it does not fuse it writes to memory, and pages of more
than a few MiB come anew from the system in each call. The functions here keep it from that. Each says what it measured.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

REORDER_FROM = 1 << 16  # numbers, from which the order of the arithmetic is worth a thought
LATE_FROM = 1 << 21  # bytes, from which one more array leaves the caches: `hinge` of 4 MiB takes a quarter longer with it
RECOMPUTE_FROM = 1 << 24  # bytes, from which it is cheaper to compute twice than to keep


class Hints(NamedTuple):
    """What a core says of itself."""

    recompute_factor: int = 0  # its terms are computed twice from so small a fraction of `RECOMPUTE_FROM` on; 0: never
    any_pixel_order: bool = False  # it adds its pixels by `pixel_sum`, so they may be cut into rows
    sizes: Mapping[str, int] = MappingProxyType({})  # of the core axes of samples, where the usual ones are too small for it


def hint(**hints: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Sets `Hints` of a core; stands below `@loss`."""

    def wrap(core: Callable[..., Any]) -> Callable[..., Any]:
        core.__jloss_hints__ = Hints(**hints)  # type: ignore[attr-defined]
        return core

    return wrap


def hints_of(core: Callable[..., Any]) -> Hints:
    """The hints of a core."""
    return getattr(core, "__jloss_hints__", Hints())


def size_of(arrays: dict[str, Any], bytes: bool = False) -> int:
    """Numbers, or bytes, of the largest input; 0 while sizes are symbolic."""
    known = [a for a in arrays.values() if isinstance(getattr(a, "size", None), int)]
    return max((a.size * (a.dtype.itemsize if bytes else 1) for a in known), default=0)


_FEW = contextvars.ContextVar("few", default=False)


@contextlib.contextmanager
def few_numbers(few: bool) -> Iterator[None]:
    """Says whether the losses that are traced inside have only a few numbers."""
    token = _FEW.set(few)
    try:
        yield
    finally:
        _FEW.reset(token)


def few() -> bool:
    """Whether a loss is traced for so few numbers that it does not matter in which way they are computed.

    Then they are computed the plain way, on every platform: not all exporters and interpreters of jax's programs know what chooses by
    platform, or a derivative of its own.
    """
    return _FEW.get()


def select(condition: Any, x: Any, y: Any) -> Array:
    """`jnp.where`. Where arrays and numbers are selected it makes no function of its own, which takes a third of the time to trace."""
    arrays = [v for v in (x, y) if isinstance(v, Array)]
    numbers = [v for v in (x, y) if type(v) in (int, float)]
    if not arrays or len(arrays) + len(numbers) < 2 or not isinstance(condition, Array) or condition.dtype != bool:
        return jnp.where(condition, x, y)
    like = arrays[0]
    if not jnp.issubdtype(like.dtype, jnp.floating) or any(
        (v.shape, v.dtype, v.aval.weak_type) != (condition.shape, like.dtype, False) for v in arrays
    ):
        return jnp.where(condition, x, y)
    x, y = (v if isinstance(v, Array) else lax.full_like(like, v) for v in (x, y))
    return lax.select_n(condition, y, x)


def is_known_zero(option: Any) -> bool:
    """Whether an option is 0 as the loss is traced, as one that is left at its default of 0: what it multiplies need not be computed."""
    return not isinstance(option, Array) and not np.any(option)


def by_platform(*operands: Any, default: Callable[..., Any], **ways: Callable[..., Any]) -> Any:
    """`lax.platform_dependent`; `default` alone for a `few` numbers."""
    return default(*operands) if few() else lax.platform_dependent(*operands, default=default, **ways)


def with_derivative_of(reference: Callable[..., Array], function: Callable[..., Array]) -> Callable[..., Array]:
    """`function`, with the derivatives that jax has of `reference`. Both compute the same numbers."""

    @jax.custom_jvp
    def same(*inputs: Array) -> Array:
        return function(*inputs)

    @same.defjvp
    def derivative(inputs: Any, tangents: Any) -> tuple[Array, Array]:
        return same(*inputs), jax.jvp(reference, inputs, tangents)[1]

    return same


def recomputed_if_large(core: Callable[..., Array], elementwise: bool, arrays: dict[str, Any]) -> Callable[..., Array]:
    """`core`, whose backward pass computes the formula again from large inputs instead of keeping intermediate arrays.

    `poisson_nll` of 16M numbers: 40 ms for 74, and no temporary.
    """
    factor = hints_of(core).recompute_factor or int(elementwise)
    if factor * size_of(arrays, bytes=True) < RECOMPUTE_FROM:
        return core

    def recomputed(*inputs: Any, **options: Any) -> Array:
        leaves, tree = jax.tree.flatten((inputs, options))
        is_array = [isinstance(leaf, Array) for leaf in leaves]

        def plain(*arrays: Array) -> Array:
            given = iter(arrays)
            inputs, options = jax.tree.unflatten(tree, [next(given) if a else leaf for a, leaf in zip(is_array, leaves, strict=True)])
            return core(*inputs, **options)

        def again(*arrays: Array) -> Array:
            # One by one: jax 0.12 cannot transpose a barrier that only some of its arrays need.
            return plain(*lax.platform_dependent(*arrays, cpu=lambda *a: [lax.optimization_barrier(x) for x in a], default=lambda *a: [*a]))

        return with_derivative_of(again, plain)(*(leaf for a, leaf in zip(is_array, leaves, strict=True) if a))

    return recomputed


def fused_sum(entry: Any, core: Callable[..., Array], arrays: dict[str, Any], values: Array, reduction: Any) -> tuple[Array, Array | None]:
    """The values of a large batch, and their number, such that value and gradient are summed without an array between."""
    if reduction == "none" or size_of(arrays) < REORDER_FROM:
        return values, None
    if entry.elementwise and any_select(jax.make_jaxpr(core)(*arrays.values()).jaxpr):
        values = fused(values)
    return values, None if reduction == "sum" else late_count(entry, values, arrays)


def fused(x: Array) -> Array:
    """`x`, computed in one loop: a select as its last step keeps XLA's sum from splitting the formula.

    `binary_cross_entropy` of 16M numbers: 56 ms for 151.
    """
    if few():
        return x

    def select(x: Array) -> Array:
        return lax.platform_dependent(x, cpu=lambda x: jnp.where(x == x, x, jnp.nan), default=lambda x: x)

    return with_derivative_of(lambda x: x, select)(x)


def any_select(jaxpr: Any) -> bool:
    """Whether a program compares and selects, also in what it calls."""
    inner = [getattr(p, "jaxpr", p) for e in jaxpr.eqns for v in e.params.values() for p in (v if isinstance(v, list | tuple) else [v])]
    return any(e.primitive is lax.select_n_p for e in jaxpr.eqns) or any(any_select(j) for j in inner if hasattr(j, "eqns"))


def late_count(entry: Any, values: Array, arrays: dict[str, Any]) -> Array | None:
    """The number of examples, hidden behind a sort, so that XLA computes the gradient after the value and in its place.

    With a constant 1 / n it computes the gradient first and holds both. `hinge` of 16M numbers: 39 ms for 66. None where that
    gains nothing: losses of long vectors have no such temporary, and one of less than `LATE_FROM` bytes costs no time; the sort takes
    a fifth of the time to compile.
    """
    shapes = {dims for n, dims in entry.inputs.items() if arrays[n] is not None}
    is_small = size_of(arrays, bytes=True) < LATE_FROM or not isinstance(values.size, int)
    if is_small or not shapes <= {(), ("k",), ("4",)} or values.size >= 1 << 31:
        return None

    def hidden(n: Array) -> Array:
        return lax.sort(jnp.stack([lax.optimization_barrier(n)] * 2))[0]

    return lax.platform_dependent(jnp.asarray(values.size, jnp.int32), cpu=hidden, default=lambda n: n)


def count_true(where: Array) -> tuple[Array, Array]:
    """A mask and how many it keeps. CPUs add bytes first, 32 to one, before the loss: an eighth of the time of a sum of int32."""

    def summed(where: Array) -> tuple[Array, Array]:
        return where, jnp.sum(where, dtype=jnp.int32)

    def in_bytes(where: Array) -> tuple[Array, Array]:
        columns = where.astype(jnp.uint8).reshape(*where.shape[:-1], where.shape[-1] // 512, 32, 16)
        exact = jnp.float32 if where.size <= 1 << 24 else jnp.int32
        counts = jnp.sum(columns, axis=-2, dtype=jnp.uint8)
        return lax.optimization_barrier((where, jnp.sum(counts.astype(exact)).astype(jnp.int32)))

    # A last axis that devices share is split evenly into blocks of 512.
    if not all(isinstance(n, int) for n in where.shape) or not where.ndim or where.shape[-1] % 512 or any(spec_of(where)):
        return summed(where)
    return lax.platform_dependent(where, cpu=in_bytes, default=summed)


def spec_of(x: Array) -> tuple[Any, ...]:
    """The mesh axes over which each axis is explicitly sharded, or None."""
    spec = getattr(getattr(jax.typeof(x), "sharding", None), "spec", ())
    return (*spec, *[None] * (x.ndim - len(spec)))
