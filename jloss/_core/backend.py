"""What makes a loss faster or smaller on one kind of device. It changes the order of the arithmetic and no number.

XLA for CPUs does not fuse across a reduction as GPUs and TPUs do: what it does not fuse it writes to memory, and pages of more
than a few MiB come anew from the system in each call. The functions here keep it from that. Each says what it measured.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jloss._core.programs import any_select, calculates_with_selected, is_dear, is_recomputed

REORDER_FROM = 1 << 16  # numbers, from which the order of the arithmetic is worth a thought
LATE_FROM = 1 << 21  # bytes, from which one more array leaves the caches: `hinge` of 4 MiB takes a quarter longer with it
RECOMPUTE_FROM = 1 << 24  # bytes, from which it is cheaper to compute twice than to keep
BLOCK = 1 << 17  # numbers that fit into the caches with what a formula keeps of them
BLOCK_OF_STEPS = 1 << 13  # numbers of a block of sequences: to start a kernel of so few on several cores takes longer than to run it
LANES = 8  # sequences of such a block, or more: XLA compiles the whole loop over their steps as one function
BLOCK_OF_PAIRS = 1 << 18  # pairs in the tables of a block, which stay in the caches: `soft_dtw` of 64 x 128 x 128 takes 0.4 of the time


class Hints(NamedTuple):
    """What a core says of itself."""

    recompute_factor: int = 0  # its terms are computed twice from so small a fraction of `RECOMPUTE_FROM` on; 0: never
    straight: bool = False  # it has no loops, so it may be traced without the functions that jax makes of its operations
    late: bool = True  # a batch of a few megabytes, too, is to have its gradient after the value, in the place of what that has left
    steps: bool = False  # it runs along the first axis of its inputs, one step after the other
    table: str = ""  # of two core axes: it makes a table of their pairs, so batches are cut into blocks by its size
    any_pixel_order: bool = False  # it adds its pixels by `pixel_sum`, so they may be cut into rows
    blocks: int = 0  # value and gradient are computed a block of examples at a time from so small a fraction of `RECOMPUTE_FROM` on
    keeps: int = 1  # times what a formula usually keeps of a number, so that a block has the less of them
    sizes: Mapping[str, int] = MappingProxyType({})  # of the core axes of samples, where the usual ones are too small for it
    needs: Mapping[str, str] = MappingProxyType({})  # of which axes there must be one or more, and what they count; classes always
    time: str = ""  # sizes with which its operations grow faster than its inputs do: "n^2"
    memory: str = ""  # and what it holds


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


_IN_BLOCK = contextvars.ContextVar("in_block", default=False)


def in_block() -> bool:
    """Whether a loss is traced for one block of a large batch, of which it may keep what it needs."""
    return _IN_BLOCK.get()


def as_primitives(entry: Any) -> Any:
    """While a `straight` core is traced jax makes no function of each operation, to map and differentiate it alone.

    A third of the time to trace `soft_cross_entropy`: 17 ms for 25. A loop would be unrolled; no elementwise formula of ours has one.
    """
    ours = entry.elementwise and entry.core.__module__.startswith("jloss.")
    return jax.disable_jit() if ours or hints_of(entry.core).straight else contextlib.nullcontext()


def program_of(entry: Any, core: Callable[..., Array], arrays: dict[str, Any], reduction: Any, where: Any) -> Any:
    """The program of the formula of a large elementwise loss, to see how its values are best summed; it is what then computes them.

    With a mask the gradient computes functions again: beside bytes LLVM computes 16 at once, for 8 without, so that they cost less than
    to write what they give. `poisson_nll` of 1M numbers: 0.62 ms of processor time for 1.12.
    """
    if not entry.elementwise or reduction == "none" or size_of(arrays) < REORDER_FROM:
        return None
    program = jax.make_jaxpr(core)(*arrays.values())
    if where is None or is_recomputed(program.jaxpr) or not is_dear(program.jaxpr) or jax.default_backend() != "cpu":
        return program
    return jax.make_jaxpr(jax.checkpoint(functools.partial(run, program)))(*jax.tree.leaves([*arrays.values()]))  # a dict would be sorted


def select(condition: Any, x: Any, y: Any) -> Array:
    """`jnp.where`. Where arrays and numbers are selected it makes no function of its own, which takes a third of the time to trace."""
    arrays = [v for v in (x, y) if isinstance(v, Array)]
    numbers = [v for v in (x, y) if type(v) in (int, float)]
    if not arrays or len(arrays) + len(numbers) < 2 or not isinstance(condition, Array) or condition.dtype != bool:
        return jnp.where(condition, x, y)
    like, whole = arrays[0], all(type(v) is int for v in numbers)
    if not jnp.issubdtype(like.dtype, jnp.floating) and not (whole and jnp.issubdtype(like.dtype, jnp.signedinteger)):
        return jnp.where(condition, x, y)
    if any((v.shape, v.dtype, v.aval.weak_type) != (condition.shape, like.dtype, False) for v in arrays):
        return jnp.where(condition, x, y)
    x, y = (v if isinstance(v, Array) else lax.full_like(like, v) for v in (x, y))
    return lax.select_n(condition, y, x)


def is_known_zero(option: Any) -> bool:
    """Whether an option is 0 as the loss is traced, as one that is left at its default of 0: what it multiplies need not be computed."""
    return not isinstance(option, Array) and not np.any(option)


def by_platform(*operands: Any, default: Callable[..., Any], **ways: Callable[..., Any]) -> Any:
    """`lax.platform_dependent`; `default` alone for a `few` numbers, and what CPUs have of it in a block, which only they compute."""
    if few() or in_block():
        return (default if few() else ways.get("cpu", default))(*operands)
    return lax.platform_dependent(*operands, default=default, **ways)


def with_derivative_of(reference: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, with the derivatives that jax has of `reference`. Both compute the same numbers."""

    as_now = functools.partial(jax.disable_jit, jax.config.jax_disable_jit)  # type: ignore[attr-defined]

    @jax.custom_jvp
    def same(*inputs: Array) -> Any:
        return function(*inputs)

    def derivative(inputs: Any, tangents: Any) -> tuple[Any, Any]:
        moving = [i for i, tangent in enumerate(tangents) if not isinstance(tangent, SymbolicZero)]

        def of_moving(*values: Array) -> Any:
            every = dict(enumerate(inputs)) | dict(zip(moving, values, strict=True))
            return reference(*(every[i] for i in range(len(inputs))))

        with as_now():
            return same(*inputs), jax.jvp(of_moving, [inputs[i] for i in moving], [tangents[i] for i in moving])[1]

    same.defjvp(derivative, symbolic_zeros=True)

    return same


def gram(product: Callable[[Array, Array], Array], x: Array) -> Array:
    """`product(x, x)`, of which exchanged factors give the transpose (conjugate): so its derivative takes one product, not two.

    `deep_clustering` of 4 x 12800 bins: 4.6 ms for 5.5.
    """
    squared = jax.custom_jvp(lambda x: product(x, x))

    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        half = jax.jvp(functools.partial(product, *primals), primals, tangents)[1]
        return squared(*primals), half + half.mT.conj()

    squared.defjvp(derivative)
    result: Array = product(x, x) if few() else squared(x)
    return result


def with_gradients(function: Callable[..., Any], gradients: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose gradient jax computes beside the value, a part at a time, where it has only the value and the parts at hand.

    The result of ``function(*operands)`` is a number, or a list of which the first number alone has a derivative.
    ``gradients(wanted, *operands)`` gives that result and the gradient in those leaves of the operands whose places are `wanted`; None
    stands for 0. A tangent is the gradient times the change, so that everything composes.
    """

    @jax.custom_jvp
    def same(*operands: Any) -> Any:
        return function(*operands)

    def derivative(operands: Any, tangents: Any) -> tuple[Any, Any]:
        changes = jax.tree.leaves(tangents)
        floats = [jnp.issubdtype(x.dtype, jnp.inexact) for x in jax.tree.leaves(operands)]
        wanted = [i for i, t in enumerate(changes) if floats[i] and not isinstance(t, SymbolicZero)]
        if not wanted:
            found = same(*operands)
            return found, jax.tree.map(jnp.zeros_like, found)
        found, slopes = gradients(wanted, *operands)
        first, *others = jax.tree.leaves(found)
        along = [jnp.sum(slopes[i].astype(first.dtype) * changes[i].astype(first.dtype)) for i in wanted if slopes[i] is not None]
        change = functools.reduce(jnp.add, along) if along else jnp.zeros_like(first)
        return found, jax.tree.unflatten(jax.tree.structure(found), [change, *map(jnp.zeros_like, others)])

    same.defjvp(derivative, symbolic_zeros=True)
    return same


def _merged(places: Sequence[int], some: Sequence[Any], count: int) -> list[Any]:
    """A list of so many entries, with some at their places and None elsewhere."""
    at = dict(zip(places, some, strict=True))
    return [at.get(i) for i in range(count)]


def run(program: Any, *arrays: Array) -> Any:
    """The results of a program of `jax.make_jaxpr`."""
    from jax.extend.core import jaxpr_as_fun  # here: it takes as long to import as half of jloss

    return jaxpr_as_fun(program)(*arrays)


def recomputed_if_large(core: Callable[..., Array], elementwise: bool, arrays: dict[str, Any]) -> Callable[..., Array]:
    """`core`, whose backward pass computes the formula again from large inputs instead of keeping intermediate arrays.

    `poisson_nll` of 16M numbers: 40 ms for 74, and no temporary.
    """
    factor = hints_of(core).recompute_factor or int(elementwise)
    if factor * size_of(arrays, bytes=True) < RECOMPUTE_FROM or jax.default_backend() != "cpu":
        return core

    def recomputed(*inputs: Any, **given: Any) -> Array:
        named = {n: v for n, v in given.items() if isinstance(v, Array)}
        return jax.checkpoint(lambda inputs, named: core(*inputs, **(given | named)))(inputs, named)

    return recomputed


def computed_again(function: Callable[..., Array]) -> Callable[..., Array]:
    """`function`, which the gradient computes again: what both need of a cheap formula XLA on CPUs would write, to read it twice.

    `triplet_margin` of 1M numbers: 0.61 ms of processor time for 0.98.
    """
    return function if few() or jax.default_backend() != "cpu" else jax.checkpoint(function)


class Cut(NamedTuple):
    """Blocks of a batch axis of `size` examples; what is left over is one more."""

    level: int
    size: int
    blocks: int
    small: bool = False  # each is computed on one core, which takes less time than to begin on several


def cut_of(entry: Any, batch: Any, reduction: Any) -> Cut | None:
    """How a large batch is cut for `sum_of_blocks`; None where it is computed at once."""
    whole = reduction not in ("mean", "sum", "parts") or not batch.shape or not all(isinstance(n, int) for n in batch.shape)
    hints, size = hints_of(entry.core), size_of(batch.arrays)
    large = size >= 4 * BLOCK_OF_STEPS if hints.steps else hints.blocks * size_of(batch.arrays, bytes=True) >= RECOMPUTE_FROM
    if hints.table and not whole:
        size = math.prod(batch.shape) * table_of(entry, batch)
        large = size >= 2 * BLOCK_OF_PAIRS
    if whole or not large or not on_one_cpu():
        return None
    if any(getattr(a, "dtype", None) == jnp.float16 for a in batch.arrays.values()):
        return None  # the gradient of a sum, which is divided by the mass only afterwards, leaves its range
    level = max(range(len(batch.shape)), key=lambda i: batch.shape[i])
    length = batch.shape[level]
    if hints.table:
        wanted = min(length, size // BLOCK_OF_PAIRS)
    else:
        wanted = min(length // LANES, size // BLOCK_OF_STEPS) if hints.steps else min(length, hints.keeps * size // BLOCK)
    blocks = next((n for n in range(wanted, min(2 * wanted, length) + 1) if n and length % n == 0), wanted)
    return Cut(level, length, blocks, small=hints.steps or bool(hints.table)) if blocks > 1 else None


def table_of(entry: Any, batch: Any) -> int:
    """The cells of the table that an example makes; 0 while a size is symbolic."""
    sizes = {dim: batch.arrays[n].shape[i] for n, at in batch.axes.items() for dim, i in zip(entry.inputs[n], at.core, strict=True)}
    cells = math.prod(sizes[dim] for dim in hints_of(entry.core).table.split())
    return cells if isinstance(cells, int) else 0


def on_one_cpu() -> bool:
    """Whether all is computed by one CPU: of an axis that devices share a block would have to be gathered."""
    return jax.default_backend() == "cpu" and jax.device_count() == 1 and not jax.sharding.get_abstract_mesh().axis_names


def sum_of_blocks(function: Callable[..., Array], operands: list[Array], axes: list[int | None], cut: Cut) -> Array:
    """``function(*operands)``, a sum over examples: on CPUs a block of them at a time, and with it the gradient that is asked for.

    What value and gradient have in common stays in the caches, and nothing but the gradient is as large as an input. Each kernel
    inside of the loop runs on all cores. `sigmoid_focal` of 8M numbers: 16 ms for 40, and 3 MB of temporaries for 34. `axes` says
    where the examples of an operand lie, None that all share it. The derivatives are those of jax, of every order and kind.
    """
    of_block = _said_to_be_in_block(function)
    width, rest = divmod(cut.size, cut.blocks)

    def block(operands: Sequence[Array], start: Any, length: int) -> list[Array]:
        return [x if at is None else lax.dynamic_slice_in_dim(x, start, length, at) for x, at in zip(operands, axes, strict=True)]

    def value(*operands: Array) -> Array:
        def add(total: Array, start: Any, length: int) -> Array:
            return total + of_block(*block(operands, start, length))

        nothing = jnp.zeros_like(jax.eval_shape(function, *operands))
        total: Array = lax.fori_loop(0, cut.blocks, lambda i, total: add(total, i * width, width), nothing)
        return add(total, width * cut.blocks, rest) if rest else total

    def slopes(wanted: list[int], operands: Sequence[Array], function: Callable[..., Array] = function) -> tuple[Array, tuple[Array, ...]]:
        def of_wanted(*some: Array) -> Array:
            replaced = dict(zip(wanted, some, strict=True))
            return function(*(replaced.get(i, x) for i, x in enumerate(operands)))

        found: Any = jax.value_and_grad(of_wanted, tuple(range(len(wanted))))(*(operands[i] for i in wanted))
        return found

    def slopes_in_blocks(wanted: list[int], operands: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        def add(sums: Any, start: Any, length: int) -> Any:
            def compute() -> Any:
                return slopes(wanted, block(operands, start, length), of_block)

            def nothing() -> Any:
                return jax.tree.map(jnp.zeros_like, jax.eval_shape(compute))

            # Behind a condition, which always holds: XLA would compute the gradients as it writes them, on one core.
            total, found = compute() if cut.small else lax.cond(start >= 0, compute, nothing)
            places = (axes[i] for i in wanted)
            kept = (
                s + g if at is None else lax.dynamic_update_slice_in_dim(s, g, start, at)
                for s, g, at in zip(sums[1], found, places, strict=True)
            )
            return sums[0] + total, tuple(kept)

        zeros = jnp.zeros_like(jax.eval_shape(function, *operands)), tuple(jnp.zeros_like(operands[i]) for i in wanted)
        sums = lax.fori_loop(0, cut.blocks, lambda i, sums: add(sums, i * width, width), zeros)
        return add(sums, width * cut.blocks, rest) if rest else sums

    def both(wanted: list[int], *operands: Array) -> tuple[Array, list[Any]]:
        at_once, in_blocks = (functools.partial(f, wanted) for f in (slopes, slopes_in_blocks))
        found, kept = lax.platform_dependent(operands, cpu=in_blocks, default=at_once)
        return found, _merged(wanted, kept, len(operands))

    total: Array = with_gradients(lambda *operands: lax.platform_dependent(*operands, cpu=value, default=function), both)(*operands)
    return total


def _said_to_be_in_block(function: Callable[..., Any]) -> Callable[..., Any]:
    def inside(*operands: Any) -> Any:
        token = _IN_BLOCK.set(True)
        try:
            return function(*operands)
        finally:
            _IN_BLOCK.reset(token)

    return inside


class Sum(NamedTuple):
    """How the values of a batch are added up."""

    values: Array
    sorts: int = 0  # as in `late_mean`
    lanes: bool = False  # as in `sum_in_lanes`


def how_to_sum(entry: Any, closed: Any, arrays: dict[str, Any], values: Array, where: Any, reduction: Any) -> Sum:
    """The values of a large batch, such that value and gradient are summed without an array between; `closed` is of `program_of`."""
    if reduction == "none" or size_of(arrays) < REORDER_FROM:
        return Sum(values)
    program = None if closed is None else closed.jaxpr
    # Other arithmetic without a select is summed by XLA itself as it computes it.
    squared = program is not None and [eqn.primitive.name for eqn in program.eqns] == ["sub", "square"]
    split = program is not None and (where is not None or squared or any_select(program))
    if program is not None and split and lanes_of(values) and not is_dear(program):
        return Sum(values, lanes=True)
    if where is not None:
        return Sum(values)
    return Sum(fused(values) if program is not None and calculates_with_selected(program) else values, sorts_of(entry, values, arrays))


def lanes_of(x: Array) -> int:
    """How many numbers of the last axis `sum_in_lanes` adds side by side; 0 where they do not divide it, or devices share it."""
    if not all(isinstance(n, int) for n in x.shape) or not x.ndim or any(spec_of(x)):
        return 0
    size, shares = (x.size, 1) if on_one_cpu() else (x.shape[-1], jax.device_count())
    return next((n for n in (512, 256, 128, 64) if size and size % (4 * n * shares) == 0), 0)


def sum_in_lanes(x: Array, where: Array | None = None) -> Array:
    """The sum of what is cheap to compute: in the loop that computes it four numbers are added, and only their sum is written.

    XLA's sum on CPUs reads numbers that another loop has written. `squared_error` of 1M numbers: 0.31 ms for 0.42. A select as the
    last step keeps that sum from taking the additions. Of the numbers that a mask drops CPUs clear the bits, which takes fewer
    operations than to select: `hinge_embedding` with a mask, on one core, 0.34 ms for 0.35.
    """

    def in_lanes(x: Array, where: Array | None = None) -> Array:
        kept = x if where is None else with_cleared_bits(x, where)
        lanes = lanes_of(x)
        columns = kept.reshape(*(() if on_one_cpu() else x.shape[:-1]), -1, 4, lanes)
        first, *others = (lax.index_in_dim(columns, i, -2, keepdims=False) for i in range(4))
        sums = functools.reduce(lax.add, others, first)
        return sum_all(select(lax.eq(sums, sums), sums, math.nan))

    def plain(x: Array, where: Array | None = None) -> Array:
        return sum_all(x if where is None else select(where, x, 0.0))

    inputs = (x,) if where is None else (x, where)
    return with_derivative_of(plain, lambda *inputs: by_platform(*inputs, cpu=in_lanes, default=plain))(*inputs)


def with_cleared_bits(x: Array, where: Array) -> Array:
    """`x`, and 0 where a mask is False."""
    integers = jnp.dtype(f"int{8 * x.dtype.itemsize}")
    ones = lax.neg(where.astype(jnp.int8).astype(integers))  # -1, all of whose bits are 1, or 0
    return lax.bitcast_convert_type(lax.bitcast_convert_type(x, integers) & ones, x.dtype)


def sum_all(x: Array) -> Array:
    """`jnp.sum` of floats, without a function of its own, which takes a millisecond to trace, map and differentiate."""
    return lax.reduce_sum(x, range(x.ndim))


def fused(x: Array) -> Array:
    """`x`, computed in one loop: a select as its last step keeps XLA's sum from splitting the formula.

    `binary_cross_entropy` of 16M numbers: 56 ms for 151.
    """
    return x if few() else with_derivative_of(lambda x: x, lambda x: select(x == x, x, math.nan))(x)


def sorts_of(entry: Any, values: Array, arrays: dict[str, Any]) -> int:
    """Behind how many sorts a mean is to be late. None of long vectors: they have no temporary in whose place the gradient could come."""
    shapes, size = {dims for n, dims in entry.inputs.items() if arrays[n] is not None}, size_of(arrays, bytes=True)
    if (
        size < (LATE_FROM if hints_of(entry.core).late else RECOMPUTE_FROM)
        or not isinstance(values.size, int)
        or not shapes <= {(), ("k",), ("4",)}
    ):
        return 0
    return 1 if size < RECOMPUTE_FROM else 2


def late_mean(total: Array, mass: Array | np.ndarray, sorts: int) -> Array:
    """The total over the mass, times a 1 hidden behind sorts, so that XLA computes the gradient after the value and in its place.

    With a constant 1 / n it computes the gradient first and holds both. `hinge` of 16M numbers: 39 ms for 66. The longer the way to
    that 1, the later the gradient. Hidden behind the total itself it would keep what value and gradient have in common.
    """

    def hidden(share: Array) -> Array:
        numbers = lax.optimization_barrier(np.array([1, 2], np.int32))
        for _ in range(sorts):
            numbers = lax.sort(numbers)
        one = lax.index_in_dim(numbers, 0, keepdims=False)
        return lax.mul(share, lax.convert_element_type(one, share.dtype))

    return total * lax.platform_dependent(1 / mass, cpu=hidden, default=lambda share: share)


def count_true(where: Array) -> tuple[Array, Array]:
    """A mask and how many it keeps. CPUs add bytes first, 32 to one, before the loss: an eighth of the time of a sum of int32."""

    def summed(where: Array) -> tuple[Array, Array]:
        exact = isinstance(where.size, int) and where.size <= 1 << 24  # in float32, of which CPUs have faster sums
        return where, jnp.sum(where, dtype=jnp.float32).astype(jnp.int32) if exact else jnp.sum(where, dtype=jnp.int32)

    def in_bytes(where: Array) -> tuple[Array, Array]:
        columns = where.astype(jnp.uint8).reshape(*where.shape[:-1], where.shape[-1] // 512, 32, 16)
        exact = jnp.float32 if where.size <= 1 << 24 else jnp.int32
        counts = jnp.sum(columns, axis=-2, dtype=jnp.uint8)
        return lax.optimization_barrier((where, jnp.sum(counts.astype(exact)).astype(jnp.int32)))

    # A last axis that devices share is split evenly into blocks of 512.
    known = all(isinstance(n, int) for n in where.shape)
    if not known or where.size < REORDER_FROM or where.shape[-1] % 512 or any(spec_of(where)):
        return summed(where)
    return lax.platform_dependent(where, cpu=in_bytes, default=summed)


def spec_of(x: Array) -> tuple[Any, ...]:
    """The mesh axes over which each axis is explicitly sharded, or None."""
    spec = getattr(getattr(jax.typeof(x), "sharding", None), "spec", ())
    return (*spec, *[None] * (x.ndim - len(spec)))
